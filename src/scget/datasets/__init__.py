"""Small data with a known answer."""

from ._simulated import Simulated, simulated

__all__ = ["Simulated", "simulated"]
