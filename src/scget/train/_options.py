"""What a training is asked for beside the optimiser: what is watched, kept, averaged and compiled; checked in one place."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import lightning.pytorch as lightning
import numpy as np
import torch

from scget._errors import InputError

from ._average import WeightAverage
from ._best import MONITORS, RestoreBest
from ._delta_r import DeltaR

Watch = bool | Literal["loss", "delta_r"]


@dataclass(frozen=True)
class Options:
    """``early_stopping``, ``restore_best``, ``ema``, ``compile`` and ``precision`` as :meth:`scget.model.GET.train`."""

    early_stopping: Watch = False
    restore_best: Watch | None = None
    ema: float | None = None
    compile: bool | str = False

    @classmethod
    def take(cls, arguments: dict[str, Any]) -> Options:
        """Options among ``arguments``, which are taken out of there."""
        return cls(**{field.name: arguments.pop(field.name) for field in fields(cls) if field.name in arguments})

    @property
    def stop_by(self) -> str | None:
        """``"loss"``, ``"delta_r"`` or None: what early stopping looks at."""
        return _by(self.early_stopping)

    @property
    def restore_by(self) -> str | None:
        """What the best epoch is judged by; as early stopping does where not said otherwise."""
        if self.restore_best is None or self.restore_best is True:
            return self.stop_by or ("loss" if self.restore_best else None)
        return _by(self.restore_best)

    def check(self, trainer_kwargs: dict[str, Any], *, watched: bool, n_rows: int, n_slots: int) -> None:
        """Refuse what cannot be done, before any work.

        Parameters
        ----------
        trainer_kwargs
            Further arguments, of which ``strategy`` and ``precision`` are read.
        watched
            Whether there are validation windows.
        n_rows, n_slots
            Training rows, and promoter slots watched; no slots where expression is not learnt.
        """
        for name, by in (("early_stopping", self.early_stopping), ("restore_best", self.restore_best)):
            if by not in (True, False, None, *MONITORS):
                raise InputError(f"{name}={by!r}; True, False, 'loss' or 'delta_r' is needed")
            if by and not watched:
                raise InputError(f"{name} needs validation_chroms=[...]: what is held out is never looked at")
            if by == "delta_r" and (n_rows < 2 or n_slots < 3):
                raise InputError(
                    f"{name}='delta_r' is how well expression of >= 2 training rows is told apart at >= 3 promoters of "
                    f"validation_chroms; there are {n_rows} rows and {n_slots} promoters to learn expression of. Use 'loss'"
                )
        if self.ema is not None and (not isinstance(self.ema, float) or not 0 < self.ema < 1):
            raise InputError(f"ema={self.ema!r}; a decay between 0 and 1, as 0.999, is needed, or None")
        batches = trainer_kwargs.get("accumulate_grad_batches", 1)
        if type(batches) is not int or batches < 1:
            raise InputError(f"accumulate_grad_batches={batches!r}; a whole number of at least 1 is needed")
        strategy = str(trainer_kwargs.get("strategy", ""))
        if (self.ema or self.restore_by) and strategy.startswith(("fsdp", "deepspeed")):
            raise InputError(f"ema and restore_best copy whole weights, which strategy={strategy!r} splits; use 'ddp'")
        precision = str(trainer_kwargs.get("precision", ""))
        if precision.endswith("true") and not precision.startswith("32"):
            raise InputError(f"precision={precision!r} would leave weights that are not float32; use 'bf16-mixed'")

    def callbacks(self, row_k: np.ndarray, *, watched: bool, expression: bool) -> list[lightning.Callback]:
        """Lightning's callbacks, in the order they must run in."""
        average = None if self.ema is None else WeightAverage(self.ema)
        chosen: list[lightning.Callback | None] = [
            DeltaR(row_k) if watched and expression else None,
            average,
            None if self.restore_by is None else RestoreBest(self.restore_by, average),
        ]
        return [callback for callback in chosen if callback is not None]

    def trainer(self) -> dict[str, Any]:
        """Arguments of scvi-tools' Trainer."""
        monitor, mode = MONITORS[self.stop_by or "loss"]
        return {
            "early_stopping": self.stop_by is not None,
            "early_stopping_monitor": monitor,
            "early_stopping_mode": mode,
        }


def check_device(precision: Any, device: torch.device) -> None:
    """Refuse bfloat16 where the GPU would only imitate it."""
    if (
        "bf16" in str(precision)
        and device.type == "cuda"
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        raise InputError(
            f"precision={precision!r}: {torch.cuda.get_device_name(device)} has no bfloat16 (Ampere or newer has); leave "
            "precision out, or use '16-mixed'"
        )


def _by(value: Watch | None) -> str | None:
    return "loss" if value is True else value or None
