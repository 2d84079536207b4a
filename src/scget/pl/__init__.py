"""Pictures of the answers."""

from ._attribution import attribution
from ._predicted import predicted

__all__ = ["attribution", "predicted"]
