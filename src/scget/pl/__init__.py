"""Pictures of the answers."""

from ._attribution import attribution
from ._calibration import calibration
from ._crispri import crispri
from ._design import design
from ._embedding import embedding
from ._history import history
from ._links import links
from ._motif_heatmap import motif_heatmap
from ._motif_network import motif_network
from ._mpra import mpra
from ._perturbed import perturbed, screened
from ._predicted import predicted
from ._regulators import regulators
from ._scores import scores
from ._variants import variants

__all__ = [
    "attribution",
    "calibration",
    "crispri",
    "design",
    "embedding",
    "history",
    "links",
    "motif_heatmap",
    "motif_network",
    "mpra",
    "perturbed",
    "predicted",
    "regulators",
    "scores",
    "screened",
    "variants",
]
