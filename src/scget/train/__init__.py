"""One training step, one optimiser."""

from ._guard import KeepBetter
from ._masked import Mask, MaskedPlan, MaskTarget
from ._plan import ExpressionPlan

__all__ = ["ExpressionPlan", "KeepBetter", "Mask", "MaskTarget", "MaskedPlan"]
