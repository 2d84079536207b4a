"""Training may end past its best: the weights of the best validation go back into the network."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor

from ._average import WeightAverage
from ._delta_r import DELTA_R

MONITORS = {"loss": ("validation_loss", "min"), "delta_r": (DELTA_R, "max")}


class RestoreBest(lightning.Callback):
    """Keep the weights of the best validation, and put them back when training ends.

    ``epoch`` (from 0) and ``score`` say which; of equals the first. A score that is no number is never best. The state
    is part of Lightning's checkpoints.

    Parameters
    ----------
    by
        ``"loss"`` or ``"delta_r"``.
    average
        The average that validation looks at in place of the network's own weights, if any.
    """

    def __init__(self, by: str, average: WeightAverage | None = None) -> None:
        self.monitor, self.mode = MONITORS[by]
        self.average = average
        self.epoch: int | None = None
        self.score: float | None = None
        self._weights: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep the weights just looked at if they are better."""
        score = float(trainer.callback_metrics[self.monitor])
        better = score == score and (
            self.score is None or (score < self.score if self.mode == "min" else score > self.score)
        )
        if trainer.sanity_checking or not better:
            return
        self.epoch, self.score = trainer.current_epoch, score
        looked_at = pl_module.module.state_dict() if self.average is None else self.average.weights()
        self._weights = {name: tensor.detach().to("cpu", copy=True) for name, tensor in looked_at.items()}

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Put the best weights into the network."""
        if self.epoch is not None:
            pl_module.module.load_state_dict(self._weights)
            self._weights = {}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"epoch": self.epoch, "score": self.score, "weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self.epoch, self.score = state_dict["epoch"], state_dict["score"]
        self._weights = {name: torch.as_tensor(tensor) for name, tensor in state_dict["weights"].items()}
