"""One training step, one optimiser."""

from ._best import RestoreBest
from ._compile import compiled
from ._guard import KeepBetter
from ._options import Options, Watch, check_device
from ._plan import ExpressionPlan, MaskedPlan
from ._resume import Resume, find

__all__ = [
    "ExpressionPlan",
    "KeepBetter",
    "MaskedPlan",
    "Options",
    "RestoreBest",
    "Resume",
    "Watch",
    "check_device",
    "compiled",
    "find",
]
