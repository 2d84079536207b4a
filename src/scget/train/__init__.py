"""One training step, one optimiser."""

from ._best import RestoreBest
from ._compile import compiled
from ._guard import KeepBetter
from ._masked import Mask, MaskedPlan, MaskTarget
from ._options import Options, Watch, check_device
from ._plan import ExpressionPlan
from ._resume import Resume, find, random_state, set_random_state

__all__ = [
    "ExpressionPlan",
    "KeepBetter",
    "Mask",
    "MaskTarget",
    "MaskedPlan",
    "Options",
    "RestoreBest",
    "Resume",
    "Watch",
    "check_device",
    "compiled",
    "find",
    "random_state",
    "set_random_state",
]
