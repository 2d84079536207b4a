"""The mean of a loss over an epoch: one number over all processes, and kept in a checkpoint made half-way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from scget.module import average_over_processes


class EpochMean(Metric):
    """Mean of losses weighed by their number of windows; torchmetrics' own drops losses that are no number."""

    full_state_update = False
    total: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "weight"):
            self.add_state(name, torch.tensor(0.0), dist_reduce_fx="sum", persistent=True)

    def update(self, loss: Tensor, n_windows: int) -> None:
        """Add one batch; the windows of all processes count for each, as its loss was weighed among them."""
        weight = average_over_processes(n_windows, loss.device)
        weight = torch.tensor(float(n_windows), device=loss.device) if weight is None else weight
        self.total = self.total + loss.detach() * weight
        self.weight = self.weight + weight

    def compute(self) -> Any:
        """NaN where nothing was added."""
        return self.total / self.weight
