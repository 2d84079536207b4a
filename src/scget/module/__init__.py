"""The network: tensors only."""

from ._get import ExpressionNet, GETConfig, MaskedNet
from ._losses import average_over_processes, deviation_loss, masked_region_loss, poisson_loss

__all__ = [
    "ExpressionNet",
    "GETConfig",
    "MaskedNet",
    "average_over_processes",
    "deviation_loss",
    "masked_region_loss",
    "poisson_loss",
]
