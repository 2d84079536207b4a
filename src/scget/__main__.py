"""``python -m scget demo``."""

from __future__ import annotations

from scget._demo import main

if __name__ == "__main__":
    main()
