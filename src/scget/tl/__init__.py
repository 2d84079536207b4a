"""Questions asked of a trained model; the answers are written into the MuData."""

from ._attribute import attribute
from ._broadcast import broadcast
from ._embed import embed
from ._predict import predict
from ._transfer import transfer_labels

__all__ = ["attribute", "broadcast", "embed", "predict", "transfer_labels"]
