"""Exponential moving average of the weights.

torch's AveragedModel over the network alone: Lightning's WeightAveraging would copy the data beside it, which the plan
holds as buffers, and average region positions as if they were weights.
"""

from __future__ import annotations

from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class WeightAverage(lightning.Callback):
    """After each optimiser step ``average = decay * average + (1 - decay) * weights``, beginning with the first step's.

    Validation looks at the average, and the network holds it when training ends. The state is part of Lightning's
    checkpoints.

    Parameters
    ----------
    decay
        Between 0 and 1; about ``1 / (1 - decay)`` steps are averaged over.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._average: AveragedModel | None = None
        self._last_step = 0
        self._loaded: dict[str, Any] = {}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Copy the network, which now stands on its device and is restored if the run is resumed."""
        self._average = AveragedModel(pl_module.module, multi_avg_fn=get_ema_multi_avg_fn(self.decay))
        self._last_step = trainer.global_step
        if self._loaded:
            self._average.load_state_dict(self._loaded["average"])

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        """Take the new weights in, once per optimiser step."""
        if trainer.global_step > self._last_step:
            self._copy().update_parameters(pl_module.module)
            self._last_step = trainer.global_step

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Show the average to validation."""
        self._swap(pl_module)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Go on training the network's own weights."""
        self._swap(pl_module)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Leave the average in the network."""
        pl_module.module.load_state_dict(self.weights())

    def weights(self) -> dict[str, Tensor]:
        """The average, by the network's names."""
        return self._copy().module.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {} if self._average is None else {"average": self._average.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self._loaded = state_dict

    def _copy(self) -> AveragedModel:
        if self._average is None:
            raise RuntimeError("training has not started")
        return self._average

    @torch.no_grad()
    def _swap(self, pl_module: Any) -> None:
        if self._average is None:  # a sanity check before training
            return
        for mine, its in zip(self._average.module.parameters(), pl_module.module.parameters(), strict=True):
            kept = mine.clone()
            mine.copy_(its)
            its.copy_(kept)
