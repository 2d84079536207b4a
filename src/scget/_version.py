"""The version of what is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def scget_version() -> str:
    """Version of the installed package; ``"0+unknown"`` for a source folder on the path."""
    try:
        return version("scget")
    except PackageNotFoundError:
        return "0+unknown"
