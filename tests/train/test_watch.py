"""What is watched while training, which weights are kept, averaged and put back."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from scget._errors import InputError
from scget.model import GET
from scget.train._delta_r import delta_r

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL = {"width": 8, "n_layers": 2, "n_heads": 2, "window": 16, "drop_path": 0.0}
FAST = {"plan_kwargs": {"lr": 3e-2, "mix_rows": False, "motif_dropout": 0.0}, "validation_chroms": ["chr2"]}


def build(mdata, **kwargs):
    GET.setup_mudata(mdata)
    return GET(mdata, **{**SMALL, **kwargs})


def tensors(model):
    return {name: tensor.detach().clone() for name, tensor in model.module.state_dict().items()}


def column(model, name):
    return model.history[name][name].to_numpy(dtype=float)


class Epochs(Callback):
    """Weights after each optimiser step and at each validation."""

    def __init__(self) -> None:
        self.steps, self.validated = [], []

    def on_train_batch_end(self, trainer, pl_module, *args) -> None:
        self.steps.append(copy.deepcopy(pl_module.module.state_dict()))

    def on_validation_batch_start(self, trainer, pl_module, *args) -> None:
        if len(self.validated) == trainer.current_epoch:
            self.validated.append({n: t.detach().clone() for n, t in pl_module.module.state_dict().items()})


class Crash(Callback):
    """A checkpoint after one epoch, then the end."""

    def __init__(self, path, epoch: int) -> None:
        self.path, self.epoch = path, epoch

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        if trainer.current_epoch == self.epoch:
            raise OSError("killed")

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        if trainer.current_epoch == self.epoch - 1:
            trainer.save_checkpoint(self.path)


def expected_delta_r(model, rows, chrom):
    """By numpy: every window through the network one by one, slots averaged, rows correlated, rows averaged."""
    table, scaling = model.table(), model.scaling
    tokens, observed = np.flatnonzero(table.chrom_p == chrom), table.expression_kg.astype(np.float64)
    slots = {(p, s): q for q, (p, s) in enumerate(zip(table.promoters.region_q, table.promoters.strand_q, strict=True))}
    mean, scores = observed[rows].mean(axis=0), []
    for row in rows:
        shown = tokens[(table.counts_kp[row, tokens] > 0) | table.is_promoter_p[tokens]]
        said = {}
        for begin in np.unique([*range(0, len(shown) - 16, 8), len(shown) - 16]):
            window = shown[begin : begin + 16]
            features = np.hstack([scaling.motifs(table)[window], scaling.channels(table)[row, window]])
            with torch.no_grad():
                out = model.module(torch.tensor(features)[None], torch.tensor(table.regions.centers[window])[None])[0]
            for at, region in enumerate(window):
                for strand in (0, 1):
                    if (region, strand) in slots:
                        said.setdefault(slots[region, strand], []).append(out[at, strand - 2].item())
        genes = [table.promoters.gene_n[table.promoters.slot_n == q] for q in said]
        departure = [(observed[row] - mean)[g].mean() for g in genes]
        level = 0 if model.config.deviation else np.array([mean[g].mean() for g in genes])
        scores.append(np.corrcoef(np.array([np.mean(v) for v in said.values()]) - level, departure)[0, 1])
    return np.mean(scores)


@pytest.mark.parametrize("settings", [{}, {"baseline": "zero"}, {"task": "both"}])
def test_delta_r_against_numpy_whatever_the_batch_size(toy, settings):
    found = []
    for batch_size in (1000, 3):
        model = build(toy, **settings)
        # a rate of nothing, so that both runs validate the same weights
        plan = {"lr": 1e-12}
        model.train(2, holdout_obs=["T5"], validation_chroms=["chr2"], batch_size=batch_size, plan_kwargs=plan, **QUIET)
        found.append(column(model, "validation_delta_r"))
        assert len(found[-1]) == 2
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    assert found[0][-1] == pytest.approx(expected_delta_r(model, range(5), 1), abs=1e-5)


def test_delta_r_follows_training(toy):
    model = build(toy, width=16)
    model.train(25, **{**FAST, "plan_kwargs": {"lr": 1e-2}}, **QUIET)
    series = column(model, "validation_delta_r")
    assert series[-1] == pytest.approx(expected_delta_r(model, range(6), 1), abs=1e-5)
    assert series[-1] > 0.5 > series[0]
    model.train(1, **QUIET)
    assert len(column(model, "validation_delta_r")) == 25  # nothing was watched


def test_delta_r_of_numbers(rng):
    predicted, observed = rng.normal(size=(2, 5, 30))
    predicted[1, :4], observed[2, 3], observed[3] = np.nan, np.nan, 0.7  # no window, no target, nothing to tell
    expected = []
    for row in (0, 1, 2, 4):
        known = np.isfinite(predicted[row]) & np.isfinite(observed[row])
        expected.append(np.corrcoef(predicted[row, known], observed[row, known])[0, 1])
    as_tensors = torch.tensor(predicted), torch.tensor(observed)
    assert delta_r(*as_tensors).item() == pytest.approx(np.mean(expected), abs=1e-6)
    assert delta_r(as_tensors[0] * 3 + 1, as_tensors[1]).item() == pytest.approx(np.mean(expected), abs=1e-6)
    assert np.isnan(delta_r(torch.zeros(3, 4), torch.ones(3, 4)).item())


@pytest.mark.parametrize(
    ("by", "name", "sign"), [("loss", "validation_loss", 1), ("delta_r", "validation_delta_r", -1)]
)
def test_best_epoch_is_put_back(toy, by, name, sign, tmp_path):
    spy, model = Epochs(), build(toy, distance_sums=False)
    model.train(8, restore_best=by, callbacks=[spy], **FAST, **QUIET)
    best = int(np.argmin(sign * column(model, name)))
    assert model.best_epoch == best < 7  # so that the last would be another
    for tensor_name, tensor in tensors(model).items():
        assert torch.equal(tensor, spy.validated[best][tensor_name]), tensor_name
    assert expected_delta_r(model, range(6), 1) == pytest.approx(column(model, "validation_delta_r")[best], abs=1e-5)
    model.save(tmp_path / "model")
    assert GET.load(tmp_path / "model", accelerator="cpu").best_epoch == best
    model.train(1, **QUIET)
    assert model.best_epoch is None  # the last training put nothing back


@pytest.mark.parametrize(("by", "name", "sign"), [(True, "validation_loss", 1), ("delta_r", "validation_delta_r", -1)])
def test_early_stopping_stops_and_puts_back(toy, by, name, sign, capsys):
    model = build(toy)
    model.train(60, early_stopping=by, early_stopping_patience=3, **FAST, **QUIET)
    series = sign * column(model, name)
    assert len(series) < 60 and model.best_epoch == np.argmin(series) == len(series) - 4
    other = build(toy)
    other.train(60, early_stopping=by, early_stopping_patience=3, restore_best=False, **FAST, **QUIET)
    np.testing.assert_array_equal(sign * column(other, name), series)
    assert other.best_epoch is None
    assert any(not torch.equal(tensor, tensors(model)[n]) for n, tensor in tensors(other).items())
    assert name in capsys.readouterr().out  # scvi-tools says why it stopped


def test_average_by_the_recursion(toy):
    spy, model, plain = Epochs(), build(toy), build(toy)
    model.train(3, ema=0.8, batch_size=20, callbacks=[spy], **FAST, **QUIET)
    n, per_epoch = len(spy.steps), len(spy.steps) // 3
    assert per_epoch > 2
    averages = [spy.steps[0]]
    for weights in spy.steps[1:]:
        averages.append({name: 0.8 * a + 0.2 * weights[name] for name, a in averages[-1].items()})
    closed = {k: 0.8 ** (n - 1) * v for k, v in spy.steps[0].items()}
    for i, weights in enumerate(spy.steps[1:], start=2):
        closed = {k: v + 0.2 * 0.8 ** (n - i) * weights[k] for k, v in closed.items()}
    for name, tensor in tensors(model).items():
        torch.testing.assert_close(tensor, averages[-1][name], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(tensor, closed[name], rtol=1e-4, atol=1e-6)
        for epoch, looked_at in enumerate(spy.validated):
            wanted = averages[(epoch + 1) * per_epoch - 1][name]
            torch.testing.assert_close(looked_at[name], wanted, rtol=1e-5, atol=1e-6)
    assert expected_delta_r(model, range(6), 1) == pytest.approx(column(model, "validation_delta_r")[-1], abs=1e-4)
    plain.train(3, batch_size=20, **FAST, **QUIET)
    for name, tensor in tensors(plain).items():  # the steps themselves are those of a run without average
        assert torch.equal(tensor, spy.steps[-1][name]), name


def test_average_counts_steps_and_is_what_the_best_epoch_holds(toy):
    spy, model = Epochs(), build(toy)
    model.train(
        6, ema=0.5, restore_best=True, accumulate_grad_batches=2, batch_size=20, callbacks=[spy], **FAST, **QUIET
    )
    per_epoch = len(spy.steps) // 6
    stepped = [w for i, w in enumerate(spy.steps) if i % per_epoch % 2 == 1 or i % per_epoch == per_epoch - 1]
    average, at = stepped[0], []
    for i, weights in enumerate(stepped):
        average = weights if i == 0 else {name: 0.5 * a + 0.5 * weights[name] for name, a in average.items()}
        at.append(average)
    steps = len(stepped) // 6
    assert model.best_epoch == np.argmin(column(model, "validation_loss"))
    for name, tensor in tensors(model).items():
        torch.testing.assert_close(tensor, at[(model.best_epoch + 1) * steps - 1][name], rtol=1e-5, atol=1e-6)


def test_a_run_taken_up_again_ends_the_same(toy, tmp_path):
    options = {"ema": 0.9, "early_stopping": "delta_r", "early_stopping_patience": 4, "batch_size": 20, **FAST}
    whole = build(toy)
    whole.train(6, **options, **QUIET)
    with pytest.raises(OSError, match="killed"):
        build(toy).train(6, callbacks=[Crash(tmp_path / "run.ckpt", 3)], **options, **QUIET)
    state = torch.load(tmp_path / "run.ckpt", weights_only=True)  # tensors and plain values, no code
    assert {"WeightAverage", "RestoreBest"} <= {key.split("{")[0] for key in state["callbacks"]}
    again = build(toy)
    again.train(6, ckpt_path=tmp_path / "run.ckpt", **options, **QUIET)
    assert again.best_epoch == whole.best_epoch
    np.testing.assert_array_equal(column(again, "validation_delta_r"), column(whole, "validation_delta_r")[3:])
    for name, tensor in tensors(whole).items():
        assert torch.equal(tensor, tensors(again)[name]), name


def test_the_same_in_pretraining_and_fine_tuning(toy):
    model = build(toy)
    model.pretrain(4, early_stopping=True, ema=0.5, **{**FAST, "plan_kwargs": {"lr": 3e-2}}, **QUIET)
    assert model.best_epoch == np.argmin(column(model, "validation_loss"))
    assert "validation_delta_r" not in model.history
    start = tensors(model)
    lora = {"how": "lora", "rank": 2, "ema": 0.5, "restore_best": "delta_r"}
    report = model.finetune(6, **lora, **FAST, **QUIET)
    best = int(np.argmax(column(model, "validation_delta_r")[-6:]))
    assert model.best_epoch == best
    assert report["end"] == pytest.approx(column(model, "validation_loss")[-6:][best], rel=1e-5)
    for name, tensor in tensors(model).items():
        kept = name.replace("parametrizations.weight.original", "weight")
        if kept in start and not kept.startswith("head_exp"):
            assert torch.equal(tensor, start[kept]), name  # the average of frozen weights is these weights, to the bit


@pytest.mark.parametrize(
    ("call", "arguments", "message"),
    [
        ("train", {"early_stopping": "loss"}, r"early_stopping needs validation_chroms=\[...\]"),
        ("train", {"restore_best": True}, "restore_best needs validation_chroms"),
        ("train", {"early_stopping": "auc"}, "early_stopping='auc'; True, False, 'loss' or 'delta_r'"),
        ("pretrain", {"early_stopping": "delta_r", **FAST}, "0 promoters to learn expression of. Use 'loss'"),
        ("pretrain", {"restore_best": "delta_r", **FAST}, "restore_best='delta_r' is how well .* Use 'loss'"),
        ("train", {"restore_best": "delta_r", **FAST, "holdout_obs": [f"T{i}" for i in range(5)]}, "there are 1 rows"),
        ("train", {"ema": 1.0}, "ema=1.0; a decay between 0 and 1"),
        ("train", {"ema": 0.9, "strategy": "fsdp"}, "copy whole weights, which strategy='fsdp' splits"),
        ("train", {"precision": "bf16-true"}, "precision='bf16-true' would leave weights that are not float32"),
        ("train", {"compile": "no_such_backend"}, "torch.compile does not work here .*'no_such_backend', device 'cpu'"),
    ],
)
def test_refusals_leave_the_model_as_it_was(toy, call, arguments, message):
    model = build(toy)
    before = tensors(model)
    with pytest.raises(InputError, match=message):
        getattr(model, call)(2, **arguments, **QUIET)
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors(model).items())
    assert model.holdout is None


def test_bfloat16_is_refused_where_a_gpu_would_imitate_it(monkeypatch):
    from scget.train import check_device

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(InputError, match="precision='bf16-mixed': Tesla T4 has no bfloat16"):
        check_device("bf16-mixed", torch.device("cuda"))
    check_device("16-mixed", torch.device("cuda"))
    check_device("bf16-mixed", torch.device("cpu"))


def test_a_missing_compiler_is_named(toy, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nand more")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(
        InputError, match=r"does not work here .*No working C\+\+ compiler found\. The default backend needs"
    ):
        build(toy).train(1, compile=True, **QUIET)


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor"
)  # torch's own, which it hides unless it is an error
@pytest.mark.slow
def test_compiled_is_the_same(toy):
    """The graph that torch.compile captures, forward and backward, without a C++ compiler (backend aot_eager)."""
    plain, fast = build(toy), build(toy)
    shared = {"batch_size": 1000, "validation_chroms": ["chr2"], "gradient_clip_val": None}
    plain.train(1, **shared, **QUIET)
    fast.train(1, compile="aot_eager", **shared, **QUIET)
    assert list(tensors(fast)) == list(tensors(plain))
    for name in ("train_loss", "validation_loss", "validation_delta_r"):
        np.testing.assert_allclose(column(fast, name), column(plain, name), atol=1e-5)
    pd.testing.assert_frame_equal(fast.predict(), plain.predict(), atol=1e-5, rtol=0)
    assert fast.module.encoder._compiled_call_impl is None  # nothing of it is left behind
