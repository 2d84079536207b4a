"""One step of the optimiser: what decays, at which rate, clipped to what, and made of how many batches."""

from __future__ import annotations

import gc
import math
import weakref

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.precision import MixedPrecision

from scget.model import GET
from scget.train._plan import rate_at

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL = {"width": 8, "n_layers": 2, "n_heads": 2, "window": 16, "drop_path": 0.0}


class Steps(Callback):
    """Gradients (as the optimiser uses them), rates and weights before and after each step."""

    def __init__(self, change=None) -> None:
        self.change = change
        self.gradients, self.before, self.after, self.rates = [], [], [], []

    def on_fit_start(self, trainer, pl_module) -> None:
        self.plan, (optimiser,) = pl_module, trainer.optimizers
        self.groups = optimiser.param_groups
        optimiser.register_step_pre_hook(self._look_before)
        optimiser.register_step_post_hook(self._look_after)

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        for parameter in pl_module.parameters() if self.change else ():
            parameter.grad = self.change(parameter)

    def _look_before(self, optimiser, args, kwargs) -> None:
        self.before.append({n: p.detach().clone() for n, p in self.plan.module.named_parameters()})
        self.rates.append([group["lr"] for group in optimiser.param_groups])

    def _look_after(self, optimiser, args, kwargs) -> None:
        named = dict(self.plan.module.named_parameters())
        self.gradients.append({n: p.grad.clone() for n, p in named.items()})
        self.after.append({n: p.detach().clone() for n, p in named.items()})

    def norms(self) -> np.ndarray:
        return np.array([math.sqrt(sum(float(g.square().sum()) for g in grads.values())) for grads in self.gradients])


def build(mdata, **kwargs):
    GET.setup_mudata(mdata)
    return GET(mdata, **{**SMALL, **kwargs})


def watched(mdata, change=None, **kwargs):
    spy, model = Steps(change), build(mdata, **kwargs.pop("model", {}))
    model.train(kwargs.pop("max_epochs", 1), callbacks=[spy], **kwargs, **QUIET)
    return spy, model


def test_matrices_decay_by_rate_times_decay_and_nothing_else_does(toy):
    """With all gradients 0 a step of AdamW leaves decay alone: w (1 - rate x decay)."""
    plan = {"lr": 0.1, "weight_decay": 0.2, "warmup": 0.0}
    spy, model = watched(toy, torch.zeros_like, batch_size=1000, plan_kwargs=plan)
    decaying = {f"{n}.weight" for n in ("region_embed.embed", "region_embed.sums.code", "region_embed.sums.embed")}
    decaying.add("head_exp.head.weight")
    for block in range(2):
        decaying |= {f"encoder.blocks.{block}.{n}.weight" for n in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")}
    start = build(toy).module.state_dict()
    assert len(start) == len(spy.after[0]) == 38
    for name, tensor in spy.after[0].items():
        share = 1 - 0.1 * 0.2 if name in decaying else 1.0
        torch.testing.assert_close(tensor, start[name] * share, rtol=1e-6, atol=0)
    for kind in ("bias", "norm", "token", "slope"):  # each kind is there, and kept
        assert any(kind in name for name in set(start) - decaying)


def test_first_step_by_closed_form(toy):
    """AdamW's first step is rate x sign(gradient) beside decay; the rate is that of step 1 of the warm-up, not the full."""
    plan = {"lr": 0.01, "weight_decay": 0.0, "warmup": 0.5}
    spy, _ = watched(toy, max_epochs=4, batch_size=20, plan_kwargs=plan)
    total = len(spy.rates)
    rising = round(0.5 * total)
    assert rising > 3
    for rates, share in zip(spy.rates, (1 / rising, 2 / rising, 3 / rising), strict=False):
        assert rates == pytest.approx([0.01 * share] * len(rates))
    for name, gradient in spy.gradients[0].items():
        clear = gradient.abs() > 1e-5  # against AdamW's eps of 1e-8
        moved = (spy.after[0][name] - spy.before[0][name])[clear]
        torch.testing.assert_close(moved, -0.01 / rising * gradient[clear].sign(), rtol=2e-3, atol=1e-7)


def test_steps_by_adamw_in_float64(toy):
    """Weights after several steps, from the first ones and the gradients and rates of each, by Loshchilov and Hutter's formula."""
    plan = {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.95)}
    spy, _ = watched(toy, max_epochs=3, batch_size=20, plan_kwargs=plan)
    assert len(spy.rates) >= 6
    assert all(group["fused"] for group in spy.groups)
    decay = {id(p): group["weight_decay"] for group in spy.groups for p in group["params"]}
    for name, parameter in spy.plan.module.named_parameters():
        weight, mean, square = spy.before[0][name].double().numpy(), 0.0, 0.0
        for step, (rates, gradients) in enumerate(zip(spy.rates, spy.gradients, strict=True), start=1):
            gradient = gradients[name].double().numpy()
            mean, square = 0.8 * mean + 0.2 * gradient, 0.95 * square + 0.05 * gradient**2
            moved = mean / (1 - 0.8**step) / (np.sqrt(square / (1 - 0.95**step)) + 1e-8)
            weight = weight * (1 - rates[0] * decay[id(parameter)]) - rates[0] * moved
        np.testing.assert_allclose(spy.after[-1][name].numpy(), weight, rtol=1e-5, atol=1e-6, err_msg=name)


def test_schedule_by_closed_form(toy):
    spy, _ = watched(toy, max_epochs=5, batch_size=20, plan_kwargs={"lr": 0.02, "warmup": 0.2})
    total = len(spy.rates)
    rising = round(0.2 * total)
    half = 0.5 * (1 + np.cos(np.pi * np.arange(total - rising) / (total - rising)))
    expected = 0.02 * np.r_[np.arange(1, rising + 1) / rising, half]
    np.testing.assert_allclose([rates[0] for rates in spy.rates], expected, rtol=1e-9)
    assert rate_at(0, 1, 10) == 1 and rate_at(10, 1, 10) == 0 and rate_at(11, 1, 10) == 0


def test_betas_are_passed_on(toy):
    spy, _ = watched(toy, plan_kwargs={"betas": (0.9, 0.95)})
    assert {group["betas"] for group in spy.groups} == {(0.9, 0.95)}


def test_gradients_are_clipped_to_the_norm_asked_for(toy):
    runs = {clip: watched(toy, max_epochs=2, gradient_clip_val=clip)[0] for clip in (None, 0.01)}
    free, clipped = runs[None].norms(), runs[0.01].norms()
    assert free.min() > 0.02
    np.testing.assert_allclose(clipped, 0.01, rtol=1e-4)
    for name, gradient in runs[None].gradients[0].items():  # the first step starts from the same weights
        torch.testing.assert_close(runs[0.01].gradients[0][name], gradient * 0.01 / free[0], rtol=1e-3, atol=1e-8)
    default, _ = watched(toy, max_epochs=2)
    np.testing.assert_allclose(default.norms()[0], min(free[0], 1.0), rtol=1e-4)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_gradients_are_clipped_in_every_precision(toy, precision):
    """In mixed precision too, where Lightning is wary of fused optimisers; those of float16 are scaled back before."""
    how = {"precision": precision}
    if precision == "16-mixed":  # which Lightning takes for GPUs alone; 256: so that nothing overflows
        how = {"plugins": [MixedPrecision(precision, "cpu", torch.amp.GradScaler("cpu", init_scale=256.0))]}
    spy, model = watched(toy, max_epochs=3, gradient_clip_val=0.01, **how)
    assert all(group["fused"] for group in spy.groups) and len(spy.rates) > 0
    np.testing.assert_allclose(spy.norms(), 0.01, rtol=1e-4)
    start = build(toy).module.state_dict()
    assert any(not torch.equal(start[name], weight) for name, weight in model.module.state_dict().items())
    plain, _ = watched(toy, max_epochs=3, gradient_clip_val=0.01)
    for name, gradient in plain.gradients[0].items():  # of the same weights and batch, but for rounding
        torch.testing.assert_close(spy.gradients[0][name], gradient, rtol=0.2, atol=2e-4)


@pytest.mark.parametrize(
    ("model", "loss"),
    [
        ({}, None),
        ({"baseline": "zero"}, "nb"),
        ({"baseline": "zero", "closed": "drop"}, "poisson"),
        ({"task": "accessibility"}, None),
    ],
    ids=["departure", "counts", "published", "accessibility"],
)
def test_small_batches_accumulated_are_one_large_batch(toy, model, loss):
    """Batches of unequal numbers of windows, promoters and padding: each region or promoter counts once."""
    plan = {"lr": 1e-3, "mix_rows": False, "motif_dropout": 0.0}  # drawn by the batch
    shared = {"model": model, "max_epochs": 3, "plan_kwargs": plan, "loss": loss}
    whole, one = watched(toy, batch_size=1000, **shared)
    n = max(len(part) for part in one.trainer.train_dataloader.dataset.parts)
    parts, several = watched(toy, batch_size=-(-n // 3), accumulate_grad_batches=3, **shared)
    assert {len(p) for p in several.trainer.train_dataloader.dataset.parts} != {n // 3}
    assert len(parts.rates) == len(whole.rates) == 3
    np.testing.assert_allclose(parts.rates, whole.rates, rtol=1e-12)  # the schedule counts steps, not batches
    for name, gradient in whole.gradients[0].items():
        torch.testing.assert_close(parts.gradients[0][name], gradient, rtol=1e-4, atol=1e-7)
    single, _ = watched(toy, batch_size=-(-n // 3), **shared)
    assert len(single.rates) == 9
    ends = (dict(m.module.state_dict()) for m in (several, one))
    torch.testing.assert_close(next(ends), next(ends), rtol=1e-2, atol=1e-4)  # AdamW divides by the gradient's own size


def test_bfloat16_in_the_network_and_float32_in_the_loss(toy):
    """Trained in mixed precision, expression of every gene and row stays within 0.25 log10(CPM + 1) of float32's, 0.02 on average."""
    inside, losses = set(), set()

    class Look(Callback):
        def on_fit_start(self, trainer, pl_module) -> None:
            block = pl_module.module.encoder.blocks[0]
            block.mlp["fc1"].register_forward_hook(lambda module, args, out: inside.add(out.dtype))
            pl_module.module.register_forward_hook(lambda module, args, out: losses.add(out.dtype))

        def on_train_batch_end(self, trainer, pl_module, outputs, *args) -> None:
            losses.add(outputs["loss"].dtype)

    shared = {"plan_kwargs": {"lr": 1e-2}, "holdout_obs": ["T5"]}
    alone = {"baseline": "training_mean"}  # which predicts nothing in training
    models = {"32-true": build(toy, **alone), "bf16-mixed": build(toy, **alone)}
    for precision, model in models.items():
        model.train(20, precision=precision, callbacks=[Look()] if "bf16" in precision else [], **shared, **QUIET)
    assert inside == {torch.bfloat16} and losses == {torch.float32}
    assert {p.dtype for p in models["bf16-mixed"].module.parameters()} == {torch.float32}
    full, half = (model.predict().iloc[:, :50].to_numpy() for model in models.values())
    assert np.abs(half - full).max() < 0.25
    assert 0 < np.abs(half - full).mean() < 0.02
    ends = [float(m.history["train_loss"].iloc[-1, 0]) for m in models.values()]
    assert ends[1] == pytest.approx(ends[0], rel=0.05)


def test_features_go_with_the_training(toy):
    """The trainer stays with the model, as scvi-tools has it; features, which are most of the memory, do not."""
    seen = []

    class Look(Callback):
        def on_fit_start(self, trainer, pl_module) -> None:
            seen.append(weakref.ref(pl_module.source))

    model = build(toy)
    for learn in (model.pretrain, model.train):
        learn(1, callbacks=[Look()], **QUIET)
    gc.collect()
    assert model.trainer is not None and [source() for source in seen] == [None, None]
