"""Questions asked of a trained model; the answers are written into the MuData."""

from scget.model._changes import Change
from scget.model._design import Designs

from ._attribute import attribute
from ._broadcast import broadcast
from ._design import design
from ._embed import embed
from ._export import to_bedpe, to_peak_annotation
from ._links import links
from ._perturb import perturb
from ._predict import predict
from ._screen import screen
from ._transfer import transfer_labels

__all__ = [
    "Change",
    "Designs",
    "attribute",
    "broadcast",
    "design",
    "embed",
    "links",
    "perturb",
    "predict",
    "screen",
    "to_bedpe",
    "to_peak_annotation",
    "transfer_labels",
]
