"""Training windows shift anew each epoch, as a function of seed and epoch alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from scget.model import GET

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL = {"width": 8, "n_layers": 1, "n_heads": 2, "window": 16}


class Batches(Callback):
    """Rows and regions of every training batch, by epoch."""

    def __init__(self) -> None:
        self.by_epoch = {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.data = trainer.datamodule
        row_b, index_br = batch
        self.by_epoch.setdefault(trainer.current_epoch, []).append(torch.cat([row_b[:, None], index_br], dim=1))

    def windows(self, epoch: int) -> set[tuple[int, ...]]:
        return {tuple(window) for batch in self.by_epoch[epoch] for window in batch.tolist()}


def recorded(mdata, how="train", *, seed=0, max_epochs=4, **kwargs):
    GET.setup_mudata(mdata)
    spy = Batches()
    getattr(GET(mdata, seed=seed, **SMALL), how)(max_epochs, callbacks=[spy], **kwargs, **QUIET)
    return spy


def same(one, other) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("how", ["train", "pretrain"])
def test_windows_are_redrawn_each_epoch_from_seed_and_epoch(toy, how):
    one, other, elsewhere = recorded(toy, how), recorded(toy, how, max_epochs=3), recorded(toy, how, seed=1)
    assert [len(one.by_epoch), len(other.by_epoch)] == [4, 3]
    for epoch in range(3):
        assert same(one.by_epoch[epoch], other.by_epoch[epoch])  # whatever the number of epochs
        assert not same(one.by_epoch[epoch], elsewhere.by_epoch[epoch])
        assert one.windows(epoch) != one.windows(epoch + 1)  # not the same in another order
    one.data.trainer = SimpleNamespace(current_epoch=2, global_rank=0, world_size=1)  # no epoch has gone before
    again = [torch.cat([row_b[:, None], index_br], dim=1) for row_b, index_br in one.data.train_dataloader()]
    assert same(again, one.by_epoch[2])


def test_shifts_are_even_over_half_a_step_to_either_side(toy):
    data = recorded(toy, "pretrain", max_epochs=1).data
    grid = data.draw(None)
    first_w = np.array([grid.start_w[grid.stop_w == stop].min() for stop in grid.stop_w])
    inner = (grid.start_w - 4 >= first_w) & (grid.start_w + 3 <= grid.stop_w - 16)  # away from the ends of a chromosome
    shift_ew = np.array([data.draw(np.random.default_rng([0, epoch])).start_w - grid.start_w for epoch in range(200)])
    shifts, times = np.unique(shift_ew[:, inner], return_counts=True)
    assert shifts.tolist() == list(range(-4, 4))  # the step is half the window of 16
    n = times.sum()
    assert np.abs(times - n / 8).max() < 5 * np.sqrt(n / 8 * 7 / 8)  # 5 standard deviations of a fair draw
    assert ((grid.start_w + shift_ew >= first_w) & (grid.start_w + shift_ew <= grid.stop_w - 16)).all()
