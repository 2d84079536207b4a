"""One training step, one optimiser."""

from ._plan import ExpressionPlan, MaskedPlan

__all__ = ["ExpressionPlan", "MaskedPlan"]
