"""Pictures of the answers."""

from ._attribution import attribution
from ._perturbed import perturbed, screened
from ._predicted import predicted
from ._scores import scores
from ._variants import variants

__all__ = ["attribution", "perturbed", "predicted", "scores", "screened", "variants"]
