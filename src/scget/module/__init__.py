"""The network: tensors only."""

from ._get import ExpressionNet, GETConfig, MaskedNet
from ._losses import deviation_loss, masked_region_loss, poisson_loss
from ._processes import average_over_processes, gather_objects, rank

__all__ = [
    "ExpressionNet",
    "GETConfig",
    "MaskedNet",
    "average_over_processes",
    "deviation_loss",
    "gather_objects",
    "masked_region_loss",
    "poisson_loss",
    "rank",
]
