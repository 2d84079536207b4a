"""Fine-tuning must not make a model worse: the better of start and end on the validation windows is kept."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor

from ._mean import EpochMean
from ._plan import _Plan


class KeepBetter(lightning.Callback):
    """Compare the validation loss before the first and after the last step; go back to the start if it was not higher.

    ``start`` and ``end`` are the losses, on the same windows in eval mode (None without validation windows), ``kept``
    says whose weights the network has.
    """

    def __init__(self) -> None:
        self.start: float | None = None
        self.end: float | None = None
        self.kept = "end"
        self._weights: dict[str, Tensor] = {}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Keep the weights and their loss; a resumed run has them."""
        if self._weights:
            return
        self.start = validation_loss(trainer, pl_module)
        if self.start is not None:
            self._weights = {n: t.detach().clone() for n, t in pl_module.module.state_dict().items()}

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Put the first weights back unless the last are better."""
        self.end = validation_loss(trainer, pl_module)
        if self.start is None or self.end is None:
            return
        if any(not name.startswith("module.") for name, _ in pl_module.named_parameters()):
            self.start = self._start_again(trainer, pl_module)
        if not self.end < self.start:  # a loss that is no number is not better
            pl_module.module.load_state_dict(self._weights)
            self.kept = "start"
        self._weights = {}

    def _start_again(self, trainer: Any, pl_module: Any) -> float:
        """Loss of the first weights where the loss has learnt too, such as a dispersion, so that this is no gain."""
        last = {n: t.detach().clone() for n, t in pl_module.module.state_dict().items()}
        pl_module.module.load_state_dict(self._weights)
        start = validation_loss(trainer, pl_module)
        pl_module.module.load_state_dict(last)
        return float("nan") if start is None else start

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint half-way."""
        return {"start": self.start, "weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint half-way."""
        self.start, self._weights = state_dict["start"], state_dict["weights"]


@torch.no_grad()
def validation_loss(trainer: Any, plan: _Plan) -> float | None:
    """Mean loss of the validation windows, without dropout; None where there are none."""
    batches = trainer.datamodule.val_dataloader()
    if not len(batches):
        return None
    training = plan.module.training
    plan.module.eval()
    mean = EpochMean().to(plan.device)
    for row_b, index_br in batches:
        loss = plan.loss(plan.source.gather(row_b.to(plan.device), index_br.to(plan.device)))
        mean.update(loss, len(row_b))
    plan.module.train(training)
    return mean.compute().item()
