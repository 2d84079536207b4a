"""Predictions and targets to one number, in float32."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F


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


def over_processes(mean: Tensor, count: Tensor | int) -> Tensor:
    """Weigh a mean of ``count`` terms such that its average over all processes is the mean of all their terms.

    Lightning's DDP averages gradients over processes, whose batches hold unequal numbers of promoters. Every process
    must call this equally often. Without processes beside this one it is ``mean`` itself.
    """
    average = average_over_processes(count, mean.device)
    return mean if average is None else mean * (count / average.clamp(min=1e-12))


def average_over_processes(value: Tensor | float, device: torch.device) -> Tensor | None:
    """Mean of a number over all processes; None where this is the only one."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return None
    total = torch.as_tensor(value, dtype=torch.float32, device=device).clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
