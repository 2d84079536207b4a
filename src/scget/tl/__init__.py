"""Questions asked of a trained model; the answers are written into the MuData."""

from scget.model._changes import Change

from ._attribute import attribute
from ._broadcast import broadcast
from ._perturb import perturb
from ._predict import predict
from ._screen import screen

__all__ = ["Change", "attribute", "broadcast", "perturb", "predict", "screen"]
