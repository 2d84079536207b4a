"""Windows of each epoch, as Lightning asks for them; apart from the batches, since to load Lightning takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import lightning.pytorch as lightning
import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from ._loader import WindowBatches
from ._windows import Windows


class _From(Sampler[int]):
    """Batches from ``done`` on; counts all of them, since the length of an epoch sets the learning rate."""

    def __init__(self, done: int, n: int) -> None:
        self.done, self.n = done, n

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.done, self.n))


class WindowDataModule(lightning.LightningDataModule):
    """Training windows redrawn each epoch from (seed, epoch); validation windows fixed.

    Parameters
    ----------
    draw
        Makes the windows of one epoch from a generator.
    validation
        Windows to validate on. None: no validation.
    batch_size
        Windows per step and process.

    Attributes
    ----------
    resumed
        An epoch and how many of its batches were done before a resumed run: they are left out.
    """

    def __init__(
        self, draw: Callable[[np.random.Generator], Windows], validation: Windows | None, batch_size: int, seed: int
    ) -> None:
        super().__init__()
        self.draw, self.validation, self.batch_size, self.seed = draw, validation, batch_size, seed
        self.resumed = (0, 0)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """Batches of the trainer's current epoch."""
        epoch = self.trainer.current_epoch if self.trainer is not None else 0
        rng = np.random.default_rng([self.seed, epoch])
        batches = WindowBatches(self.draw(rng), self.batch_size, rng=rng, **self._share())
        done = self.resumed[1] if epoch == self.resumed[0] else 0
        return DataLoader(batches, batch_size=None, sampler=_From(done, len(batches)))

    def val_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]] | list[None]:
        """Batches in genome order; an empty list, as Lightning wants it, where there are none."""
        if self.validation is None:
            return []
        return DataLoader(WindowBatches(self.validation, self.batch_size, **self._share()), batch_size=None)

    def _share(self) -> dict[str, Any]:
        return {} if self.trainer is None else {"rank": self.trainer.global_rank, "world": self.trainer.world_size}
