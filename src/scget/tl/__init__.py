"""Questions asked of a trained model; the answers are written into the MuData."""

from ._attribute import attribute
from ._broadcast import broadcast
from ._export import to_bedpe, to_peak_annotation
from ._links import links
from ._predict import predict

__all__ = ["attribute", "broadcast", "links", "predict", "to_bedpe", "to_peak_annotation"]
