"""Questions asked of a trained model; the answers are written into the MuData."""

from scget.model._changes import Change

from ._attribute import attribute
from ._broadcast import broadcast
from ._embed import embed
from ._perturb import perturb
from ._predict import predict
from ._screen import screen
from ._transfer import transfer_labels

__all__ = ["Change", "attribute", "broadcast", "embed", "perturb", "predict", "screen", "transfer_labels"]
