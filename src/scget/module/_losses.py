"""Predictions and targets to one number, in float32."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ._processes import over_processes


def poisson_loss(rate: Tensor, target: Tensor) -> Tensor:
    """Mean of ``rate - target * log(rate + 1e-8)``, the published fine-tuning loss on log10(CPM + 1)."""
    mean = F.poisson_nll_loss(rate.float(), target.float(), log_input=False, full=False, eps=1e-8)
    return over_processes(mean, target.numel())


def deviation_loss(out_bro: Tensor, target_bro: Tensor) -> Tensor:
    """Mean squared error over the promoters, where the target is a number; 0 for a batch without promoters.

    Level and deviation are both in units of their standard deviation over training, so neither drowns the other.
    """
    known = torch.isfinite(target_bro)
    error = torch.where(known, out_bro.float() - torch.where(known, target_bro, 0.0), 0.0)
    return over_processes(error.square().sum() / known.sum().clamp(min=1), known.sum())


def masked_region_loss(predicted_nf: Tensor, tokens_brf: Tensor, mask_br: Tensor) -> Tensor:
    """Mean squared error between predicted and true features of the hidden regions; 0 where none is hidden."""
    error = predicted_nf.float() - tokens_brf[mask_br].float()
    return over_processes(error.square().sum() / max(error.numel(), 1), error.numel())
