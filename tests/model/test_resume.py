"""A killed run goes on from its last checkpoint and ends with the bits of one never killed."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import lightning.pytorch as lightning
import numpy as np
import pytest
import torch

import scget
from scget._errors import CheckpointError, InputError, ScgetWarning

ARGUMENTS = {
    "max_epochs": 3,
    "holdout_obs": ["T5"],
    "validation_chroms": ["chr2"],
    "batch_size": 8,
    "accelerator": "cpu",
    "enable_progress_bar": False,
}

# Children are forked before torch computes anything, so that they start at once; the parent kills from outside.
KILLED = """
import json, os, signal, sys, time
import lightning.pytorch as lightning, numpy as np, torch, torch._dynamo
sys.path.insert(0, sys.argv[1])
from conftest import make_toy
import scget

scget.model.GET  # loads it, and with torch._dynamo what takes long, once
ARGUMENTS, folder = json.loads(sys.argv[2]), sys.argv[3]

class Report(lightning.Callback):
    def __init__(self, pipe, last):
        self.pipe, self.last = pipe, last
    def on_train_batch_end(self, trainer, *args):
        os.write(self.pipe, b"%d\\n" % trainer.global_step)
        if trainer.global_step == self.last:
            time.sleep(60)

def child(stage, name, pipe, last, **kept):
    torch.set_num_threads(1)
    mdata = make_toy()
    scget.model.GET.setup_mudata(mdata)
    model = scget.model.GET(mdata, width=16, n_layers=2, n_heads=2, window=16, drop_path=0.3)
    getattr(model, stage)(**ARGUMENTS, **kept, callbacks=[Report(pipe, last)])
    torch.save([model.module.state_dict(), {n: t[n].tolist() for n, t in model.history.items()}], f"{folder}/{name}")

def start(kill_at, *args, **kept):
    ends = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(ends[0])
        child(*args, ends[1], kill_at + 2 if kill_at else -1, **kept)
        os._exit(0)
    os.close(ends[1])
    for line in os.fdopen(ends[0]):
        if int(line) == kill_at:
            os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]

rng = np.random.default_rng()
for stage in ("pretrain", "train"):
    assert start(0, stage, stage) == 0
    for i, kill_at in enumerate(rng.integers(3, 9, 3).tolist()):
        kept = {"ckpt_dir": f"{folder}/{stage}-{i}-kept", "ckpt_every": int(rng.integers(1, 3))}
        print(stage, "killed at", kill_at, kept, flush=True)
        assert start(kill_at, stage, "none", **kept) == signal.SIGKILL
        assert any(name.startswith("step-") for name in os.listdir(kept["ckpt_dir"]))
        assert start(0, stage, f"{stage}-{i}", **kept) == 0
        assert os.listdir(kept["ckpt_dir"]) == []
"""


class Stopped(Exception):
    pass


class StopAt(lightning.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *args) -> None:
        if trainer.global_step == self.step:
            raise Stopped


def fresh(mdata, **changes):
    scget.model.GET.setup_mudata(mdata)
    return scget.model.GET(
        mdata, **{"width": 16, "n_layers": 2, "n_heads": 2, "window": 16, "drop_path": 0.3, **changes}
    )


def go(model, stage="train", stop=-1, **changes):
    return getattr(model, stage)(**{**ARGUMENTS, **changes}, callbacks=[StopAt(stop)])


def weights(model):
    return {name: tensor.clone() for name, tensor in model.module.state_dict().items()}


def assert_same(one, other) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.fixture
def stopped(toy, tmp_path) -> Path:
    """Folder of a run of ``fresh(toy)`` that stopped in step 8 of 15, the checkpoint of step 6 in it."""
    with pytest.raises(Stopped):
        go(fresh(toy), stop=8, ckpt_every=3, ckpt_dir=tmp_path / "kept")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["step-0000000006"]
    return tmp_path / "kept"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_killed_at_any_step_the_weights_end_the_same(tmp_path):
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        KILLED,
        str(Path(__file__).parents[1]),
        json.dumps(ARGUMENTS | {"max_epochs": 2}),
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(tmp_path)], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    for stage in ("pretrain", "train"):
        whole, history = torch.load(tmp_path / stage, weights_only=True)
        for i in range(3):
            resumed, again = torch.load(tmp_path / f"{stage}-{i}", weights_only=True)
            assert_same(whole, resumed)
            assert again == history, done.stdout


@pytest.mark.parametrize(("every", "stop"), [(1, 5), (1, 6), (5, 7)])  # 5 steps make an epoch
def test_around_the_end_of_an_epoch_too(toy, tmp_path, every, stop):
    whole = fresh(toy)
    go(whole)
    kept = {"ckpt_every": every, "ckpt_dir": tmp_path}
    with pytest.raises(Stopped):
        go(fresh(toy), stop=stop, **kept)
    again = fresh(toy)
    go(again, **kept)
    assert_same(weights(whole), weights(again))
    for name, table in whole.history.items():
        assert table[name].tolist() == again.history[name][name].tolist()
        assert table.index.equals(again.history[name].index)


def test_accumulated_gradients_are_not_lost(toy, tmp_path):
    whole, accumulated = fresh(toy), {"accumulate_grad_batches": 2, "batch_size": 4}
    go(whole, **accumulated)
    with pytest.raises(Stopped):
        go(fresh(toy), stop=4, ckpt_every=3, ckpt_dir=tmp_path, **accumulated)
    again = fresh(toy)
    go(again, ckpt_every=3, ckpt_dir=tmp_path, **accumulated)
    assert_same(weights(whole), weights(again))


def test_averages_the_best_epoch_and_patience_are_remembered(toy, tmp_path):
    watched = {"ema": 0.8, "restore_best": "delta_r", "early_stopping": "loss", "early_stopping_patience": 1}
    watched |= {"plan_kwargs": {"lr": 0.1}, "max_epochs": 6}  # too high: it stops early
    whole, again = fresh(toy), fresh(toy)
    go(whole, **watched)
    assert whole.trainer.current_epoch < 5
    with pytest.raises(Stopped):
        go(fresh(toy), stop=7, ckpt_every=1, ckpt_dir=tmp_path, **watched)
    go(again, ckpt_every=1, ckpt_dir=tmp_path, **watched)
    assert_same(weights(whole), weights(again))
    assert whole.best_epoch == again.best_epoch
    assert whole.history["validation_delta_r"].equals(again.history["validation_delta_r"])


def test_the_guard_of_finetuning_remembers_its_start(toy, tmp_path):
    def trained():
        model = fresh(toy, drop_path=0.0)
        go(model, max_epochs=1)
        return model

    rate = {"how": "lora", "rank": 2, "plan_kwargs": {"lr": 3.0}}  # too high: it goes back to its start
    whole, again = trained(), trained()
    with pytest.warns(ScgetWarning, match="did not help"):
        kept = go(whole, "finetune", **rate)
    with pytest.raises(Stopped):
        go(trained(), "finetune", stop=7, ckpt_every=2, ckpt_dir=tmp_path, **rate)
    with pytest.warns(ScgetWarning, match="did not help"):
        assert go(again, "finetune", ckpt_every=2, ckpt_dir=tmp_path, **rate) == kept
    assert_same(weights(whole), weights(again))


def test_checkpoints_change_nothing_and_go_with_the_run(toy, tmp_path):
    plain, kept = fresh(toy), fresh(toy)
    go(plain)
    go(kept, ckpt_every=2, ckpt_dir=tmp_path / "a" / "b")
    assert_same(weights(plain), weights(kept))
    assert list((tmp_path / "a" / "b").iterdir()) == []


DIFFERENT = [
    ({"seed": 1}, {}, "init.seed: 0 there, 1 now"),
    ({"width": 32}, {}, "init.width: 16 there, 32 now"),
    ({}, {"max_epochs": 4}, "call.max_epochs: 3 there, 4 now"),
    ({}, {"batch_size": 4}, "call.batch_size: 8 there, 4 now"),
    ({}, {"plan_kwargs": {"lr": 0.1}}, r"call.plan_kwargs.lr: null there, 0\.1 now"),
    ({}, {"holdout_obs": ["T4"]}, r'call.holdout_obs: \["T5"\] there, \["T4"\] now'),
    ({}, {"gradient_clip_val": 0.5}, "gradient_clip_val: null there, 0.5 now"),
    ({}, {"ema": 0.9}, "ema: null there, 0.9 now"),
    ({}, {"stage": "pretrain"}, 'stage: "ExpressionPlan" there, "MaskedPlan" now'),
]


def test_the_checkpoint_of_another_run_is_refused_by_what_differs(toy, stopped):
    for model, call, said in DIFFERENT:
        other = fresh(toy, **model)
        before = weights(other)
        with pytest.raises(CheckpointError, match=said):
            go(other, ckpt_every=3, ckpt_dir=stopped, **call)
        assert_same(before, weights(other))


def test_other_data_and_other_starting_weights_are_refused(toy, stopped):
    model = fresh(toy)
    with torch.no_grad():
        model.module.cls_token += 1
    with pytest.raises(CheckpointError, match="start.weights"):
        go(model, ckpt_every=3, ckpt_dir=stopped)
    toy["atac"].X[0, 0] += 1
    with pytest.raises(CheckpointError, match="data.counts_kp"):
        go(fresh(toy), ckpt_every=3, ckpt_dir=stopped)


def test_what_only_shows_or_places_the_run_may_change(toy, stopped):
    whole, again = fresh(toy), fresh(toy)
    go(whole)
    go(again, ckpt_every=2, ckpt_dir=stopped, log_every_n_steps=3)
    assert_same(weights(whole), weights(again))


def test_damaged_files_are_refused(toy, stopped):
    step = stopped / "step-0000000006"
    rng = np.random.default_rng(0)
    for name in ("state.ckpt", "run.json"):
        content = (step / name).read_bytes()
        flipped = bytearray(content)
        flipped[int(rng.integers(len(content))) if name == "state.ckpt" else 0] ^= 255
        for damaged in (bytes(flipped), content[: len(content) // 2], b""):
            (step / name).write_bytes(damaged)
            with pytest.raises(CheckpointError, match=r"damaged|sha256|JSON"):
                go(fresh(toy), ckpt_every=3, ckpt_dir=stopped)
        (step / name).unlink()
        with pytest.raises(CheckpointError, match="cannot be read"):
            go(fresh(toy), ckpt_every=3, ckpt_dir=stopped)
        (step / name).write_bytes(content)
    (step / "run.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="not as scget writes it"):
        go(fresh(toy), ckpt_every=3, ckpt_dir=stopped)


class Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_no_code_of_a_checkpoint_runs(toy, stopped, tmp_path):
    import hashlib

    step, touched = stopped / "step-0000000006", tmp_path / "touched"
    evil = pickle.dumps(Touch(touched), protocol=2)
    run = json.loads((step / "run.json").read_text())
    (step / "state.ckpt").write_bytes(evil)
    (step / "run.json").write_text(json.dumps(run | {"sha256": hashlib.sha256(evil).hexdigest()}))
    with pytest.raises(CheckpointError, match="not a checkpoint of scget"):
        go(fresh(toy), ckpt_every=3, ckpt_dir=stopped)
    assert not touched.exists()


def test_an_unfinished_checkpoint_is_passed_over(toy, stopped):
    (stopped / "step-0000000009.partial").mkdir()
    (stopped / "step-0000000009.partial" / "state.ckpt").write_bytes(b"half")
    whole, again = fresh(toy), fresh(toy)
    go(whole)
    go(again, ckpt_every=3, ckpt_dir=stopped)
    assert_same(weights(whole), weights(again))
    assert list(stopped.iterdir()) == []


def test_arguments_are_checked(toy, tmp_path):
    with pytest.raises(InputError, match="go together"):
        go(fresh(toy), ckpt_every=3)
    with pytest.raises(InputError, match="at least 1"):
        go(fresh(toy), ckpt_every=0, ckpt_dir=tmp_path)
    with pytest.raises(InputError, match="whole weights"):
        go(fresh(toy), ckpt_every=1, ckpt_dir=tmp_path, strategy="fsdp")
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="is a file"):
        go(fresh(toy), ckpt_every=1, ckpt_dir=tmp_path / "file")
