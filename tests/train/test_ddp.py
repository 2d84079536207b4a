"""Two processes train as one with the doubled batch does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import scget
from scget.data import WindowBatches, lay_tokens, training_windows

TESTS = Path(__file__).parents[1]

TWO = """
import os, sys, torch
sys.path.insert(0, sys.argv[1])
from conftest import make_toy
import scget

torch.set_num_threads(1)
mdata = make_toy()
scget.model.GET.setup_mudata(mdata)
model = scget.model.GET(mdata, width=16, n_layers=2, n_heads=2, window=16, drop_path=0.0)
model.train(
    3, holdout_obs=["T5"], validation_chroms=["chr2"], batch_size=4, enable_progress_bar=False,
    accelerator="cpu", devices=2, strategy="ddp", ckpt_every=2, ckpt_dir="kept",
    plan_kwargs={"mix_rows": False, "motif_dropout": 0.0},  # drawn by each process for itself
)
history = {name: table[name].tolist() for name, table in model.history.items()}
torch.save([model.module.state_dict(), history], f"rank{torch.distributed.get_rank()}")
model.save("saved")
torch.manual_seed(5)
model = scget.model.GET(mdata, width=16, n_layers=2, n_heads=2, window=16, drop_path=0.0)
model.pretrain(1, batch_size=4, enable_progress_bar=False, accelerator="cpu", devices=2, strategy="ddp")
torch.save(model.module.state_dict(), f"pretrained{torch.distributed.get_rank()}")
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """Working directory of a run on two processes."""
    folder = tmp_path_factory.mktemp("two")
    source = Path(scget.__file__).parents[1]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(source), "PYTHONWARNINGS": "ignore"}
    (folder / "two.py").write_text(TWO)
    done = subprocess.run(
        [sys.executable, "two.py", TESTS], cwd=folder, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_two_processes_learn_what_one_does_with_the_doubled_batch(two, toy):
    scget.model.GET.setup_mudata(toy)
    one = scget.model.GET(toy, width=16, n_layers=2, n_heads=2, window=16, drop_path=0.0)
    quiet = {"enable_progress_bar": False, "accelerator": "cpu"}
    plan = {"mix_rows": False, "motif_dropout": 0.0}
    one.train(3, holdout_obs=["T5"], validation_chroms=["chr2"], batch_size=8, plan_kwargs=plan, **quiet)
    (weights, history), (others, elsewhere) = (torch.load(two / f"rank{i}", weights_only=True) for i in (0, 1))
    assert [name for name in weights if not torch.equal(weights[name], others[name])] == []
    assert elsewhere == {}  # kept by the first process alone
    assert history.keys() == one.history.keys() >= {"train_loss", "validation_loss", "validation_delta_r"}
    for name, values in history.items():
        np.testing.assert_allclose(values, one.history[name][name].tolist(), rtol=0, atol=1e-4)
    for name, tensor in one.module.state_dict().items():
        torch.testing.assert_close(weights[name], tensor, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_the_first_process_alone_writes(two, toy):
    assert sorted(p.name for p in two.iterdir()) == sorted(
        ["kept", "pretrained0", "pretrained1", "rank0", "rank1", "saved", "two.py"]
    )
    assert list((two / "kept").iterdir()) == []  # the run is finished
    weights = torch.load(two / "rank0", weights_only=True)[0]
    saved = scget.model.GET.load(two / "saved", accelerator="cpu").module.state_dict()
    assert [name for name in weights if not torch.equal(weights[name], saved[name])] == []


@pytest.mark.slow
def test_pretraining_on_two_processes_ends_with_one_network(two, toy):
    one, other = (torch.load(two / f"pretrained{i}", weights_only=True) for i in (0, 1))
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    scget.model.GET.setup_mudata(toy)
    first = scget.model.GET(toy, width=16, n_layers=2, n_heads=2, window=16, drop_path=0.0).module.state_dict()
    moved = {name for name in one if not torch.equal(one[name], first[name])}
    assert moved == {name for name in one if not name.startswith(("head_exp.", "region_embed.sums."))}


@pytest.mark.parametrize("world", [2, 3])
def test_the_parts_of_the_processes_are_the_batches_of_one(world):
    tokens = lay_tokens(
        np.ones((3, 50)), np.zeros(50, bool), np.zeros(50, int), np.arange(3), np.ones(50, bool), closed="drop"
    )
    windows = training_windows(tokens, 8, 4)

    def batches(batch_size: int, **share: int) -> WindowBatches:
        return WindowBatches(windows, batch_size, rng=np.random.default_rng(1), **share)

    whole = batches(2 * world)
    parts = [batches(2, rank=rank, world=world) for rank in range(world)]
    assert {len(part) for part in parts} == {len(whole)}
    for i, (row_b, index_br) in enumerate(whole):
        seen = [np.c_[part[i][0], part[i][1]] for part in parts]
        assert max(map(len, seen)) - min(map(len, seen)) <= 1
        assert sorted(map(tuple, np.concatenate(seen))) == sorted(map(tuple, np.c_[row_b, index_br]))


def test_more_processes_than_windows_are_refused():
    tokens = lay_tokens(np.ones((1, 8)), np.zeros(8, bool), np.zeros(8, int), np.arange(1), np.ones(8, bool))
    tokens = training_windows(tokens, 8, 4)
    with pytest.raises(scget._errors.InputError, match="1 windows for 2 processes"):
        WindowBatches(tokens, 1, world=2)
