"""The network: tensors only."""

from ._config import GETConfig
from ._get import ExpressionNet, MaskedNet
from ._losses import masked_region_loss, negative_binomial_loss, poisson_loss, squared_loss
from ._processes import average_over_processes, gather_objects, rank

__all__ = [
    "ExpressionNet",
    "GETConfig",
    "MaskedNet",
    "average_over_processes",
    "gather_objects",
    "masked_region_loss",
    "negative_binomial_loss",
    "poisson_loss",
    "rank",
    "squared_loss",
]
