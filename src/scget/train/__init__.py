"""One training step, one optimiser."""

from ._guard import KeepBetter
from ._plan import ExpressionPlan, MaskedPlan

__all__ = ["ExpressionPlan", "KeepBetter", "MaskedPlan"]
