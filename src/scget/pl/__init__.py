"""Pictures of the answers."""

from ._attribution import attribution
from ._motif_network import motif_network
from ._perturbed import perturbed, screened
from ._predicted import predicted
from ._scores import scores

__all__ = ["attribution", "motif_network", "perturbed", "predicted", "scores", "screened"]
