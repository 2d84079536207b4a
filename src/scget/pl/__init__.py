"""Pictures of the answers."""

from ._attribution import attribution
from ._mpra import mpra
from ._perturbed import perturbed, screened
from ._predicted import predicted
from ._scores import scores

__all__ = ["attribution", "mpra", "perturbed", "predicted", "scores", "screened"]
