"""Predictions and targets to one number, in float32."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import NegativeBinomial
from torch.nn import functional as F


def poisson_loss(rate: Tensor, target: Tensor) -> Tensor:
    """Mean of ``rate - target * log(rate + 1e-8)``, the published fine-tuning loss on log10(CPM + 1)."""
    return F.poisson_nll_loss(rate.float(), target.float(), log_input=False, full=False, eps=1e-8)


def squared_loss(out_bro: Tensor, target_bro: Tensor) -> Tensor:
    """Mean squared error where the target is a number; 0 where none is.

    Level and deviation are both in units of their standard deviation over training, so neither drowns the other.
    """
    known = torch.isfinite(target_bro)
    error = torch.where(known, out_bro.float() - torch.where(known, target_bro, 0.0), 0.0)
    return error.square().sum() / known.sum().clamp(min=1)


def negative_binomial_loss(out_bro: Tensor, target_bro: Tensor, depth_b: Tensor, log_theta: Tensor) -> Tensor:
    """Mean negative log-likelihood of counts where the target is a number; 0 where none is.

    Parameters
    ----------
    out_bro, target_bro
        Predicted and observed log10(CPM + 1), at least 0.
    depth_b
        Counts of each window's row, the offset: a count is CPM x depth / 1e6.
    log_theta
        Logarithm of the inverse dispersion: variance = mean + mean^2 / theta.
    """
    known = torch.isfinite(target_bro)
    millions_bro = (depth_b.float() / 1e6)[:, None, None].expand_as(out_bro)[known]
    mean_n, count_n = (torch.expm1(v.float()[known] * math.log(10)) * millions_bro for v in (out_bro, target_bro))
    logits_n = mean_n.clamp(min=1e-8).log() - log_theta
    likelihood = NegativeBinomial(log_theta.exp().expand_as(logits_n), logits=logits_n, validate_args=False)
    return -likelihood.log_prob(count_n).sum() / max(len(count_n), 1)


def masked_region_loss(predicted_nf: Tensor, tokens_brf: Tensor, mask_br: Tensor) -> Tensor:
    """Mean squared error between predicted and true features of the hidden regions; 0 where none is hidden."""
    error = predicted_nf.float() - tokens_brf[mask_br].float()
    return error.square().sum() / max(error.numel(), 1)
