"""One training step, one optimiser."""

from ._guard import KeepBetter
from ._plan import ExpressionPlan, MaskedPlan
from ._resume import Resume, find

__all__ = ["ExpressionPlan", "KeepBetter", "MaskedPlan", "Resume", "find"]
