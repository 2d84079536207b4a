"""Pictures of the answers."""

from ._attribution import attribution
from ._predicted import predicted
from ._scores import scores

__all__ = ["attribution", "predicted", "scores"]
