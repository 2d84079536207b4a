"""Questions asked of a trained model; the answers are written into the MuData."""

from scget.model._changes import Change
from scget.model._design import Designs

from ._attribute import attribute
from ._broadcast import broadcast
from ._design import design
from ._embed import embed
from ._export import to_bedpe, to_peak_annotation
from ._links import links
from ._motif_network import motif_network
from ._motif_pairs import motif_pairs
from ._mpra import mpra, mpra_finetune
from ._net import to_net
from ._perturb import perturb
from ._predict import predict
from ._regulators import regulators
from ._screen import screen
from ._transfer import transfer_labels
from ._variants import variants

__all__ = [
    "Change",
    "Designs",
    "attribute",
    "broadcast",
    "design",
    "embed",
    "links",
    "motif_network",
    "motif_pairs",
    "mpra",
    "mpra_finetune",
    "perturb",
    "predict",
    "regulators",
    "screen",
    "to_bedpe",
    "to_net",
    "to_peak_annotation",
    "transfer_labels",
    "variants",
]
