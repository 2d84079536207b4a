"""Small data with a known answer, and loaders of public data."""

from ._motifs import motifs
from ._simulated import Simulated, simulated

__all__ = ["Simulated", "motifs", "simulated"]
