"""Several processes that train one network: their losses as one."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def over_processes(mean: Tensor, count: Tensor | int) -> Tensor:
    """Weigh a mean of ``count`` terms such that its average over all processes is the mean of all their terms.

    Lightning's DDP averages gradients over processes, whose batches hold unequal numbers of promoters. Every process
    must call this equally often. Without processes beside this one it is ``mean`` itself.
    """
    average = average_over_processes(count, mean.device)
    return mean if average is None else mean * (count / average.clamp(min=1e-12))


def average_over_processes(value: Tensor | float, device: torch.device) -> Tensor | None:
    """Mean of a number over all processes; None where this is the only one."""
    if not _together() or dist.get_world_size() == 1:
        return None
    total = torch.as_tensor(value, dtype=torch.float32, device=device).clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def gather_objects(value: Any) -> list[Any]:
    """That of every process, by rank."""
    if not _together():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def rank() -> int:
    """Number of this process; 0 writes the files."""
    return int(dist.get_rank()) if _together() else 0


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()
