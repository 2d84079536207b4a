"""The network: tensors only."""

from ._get import ExpressionNet, GETConfig, MaskedNet
from ._losses import masked_region_loss, negative_binomial_loss, poisson_loss, squared_loss

__all__ = [
    "ExpressionNet",
    "GETConfig",
    "MaskedNet",
    "masked_region_loss",
    "negative_binomial_loss",
    "poisson_loss",
    "squared_loss",
]
