"""Questions asked of a trained model; the answers are written into the MuData."""

from ._attribute import attribute
from ._broadcast import broadcast
from ._predict import predict

__all__ = ["attribute", "broadcast", "predict"]
