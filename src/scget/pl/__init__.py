"""Pictures of the answers."""

from ._attribution import attribution
from ._design import design
from ._perturbed import perturbed, screened
from ._predicted import predicted
from ._scores import scores

__all__ = ["attribution", "design", "perturbed", "predicted", "scores", "screened"]
