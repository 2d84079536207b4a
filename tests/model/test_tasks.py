"""Presets, losses, tasks and extra channels on the model a person holds."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix
from scipy.special import gammaln
from scipy.stats import nbinom

import scget
from scget._errors import InputError
from scget.model import GET
from scget.module import ExpressionNet, GETConfig, negative_binomial_loss, poisson_loss

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL = {"width": 16, "n_layers": 1, "n_heads": 2, "window": 16, "drop_path": 0.0}


def build(mdata, *, extra_keys=None, **kwargs):
    GET.setup_mudata(mdata, extra_keys=extra_keys)
    return GET(mdata, **{**SMALL, **kwargs})


def test_negative_binomial_is_that_of_scipy():
    rng = np.random.default_rng(0)
    out, target = rng.uniform(0.1, 4, (2, 5, 2)), rng.uniform(0, 4, (2, 5, 2))
    target[0, 0, 0] = np.nan
    depth, theta = np.array([2e5, 5e6]), 0.7
    count = (10.0**target - 1) * depth[:, None, None] / 1e6
    mean = (10.0**out - 1) * depth[:, None, None] / 1e6
    whole = np.floor(count)  # scipy knows whole counts alone
    p = theta / (theta + mean)
    wanted = -np.nanmean(np.where(np.isnan(count), np.nan, nbinom.logpmf(whole, theta, p)))
    as_target = torch.tensor(np.log10(whole * 1e6 / depth[:, None, None] + 1))
    found = negative_binomial_loss(torch.tensor(out), as_target, torch.tensor(depth), torch.tensor(np.log(theta)))
    assert found.item() == pytest.approx(wanted, rel=1e-4)
    between = gammaln(count + theta) - gammaln(theta) - gammaln(count + 1) + theta * np.log(p) + count * np.log1p(-p)
    arguments = (torch.tensor(out), torch.tensor(target), torch.tensor(depth), torch.tensor(np.log(theta)))
    assert negative_binomial_loss(*arguments).item() == pytest.approx(-np.nanmean(between), rel=1e-4)
    nothing = torch.full((1, 2, 2), torch.nan)
    assert negative_binomial_loss(torch.ones(1, 2, 2), nothing, torch.ones(1), torch.zeros(())).item() == 0


def test_poisson_is_smallest_at_the_target():
    target = torch.tensor([0.5, 2.0, 3.5])
    rate = target.clone().requires_grad_()
    poisson_loss(rate, target).backward()
    np.testing.assert_allclose(rate.grad, 0, atol=1e-7)


@pytest.mark.parametrize(("loss", "epochs", "least"), [("mse", 40, 0.85), ("nb", 80, 0.8), ("poisson", 120, 0.6)])
def test_each_loss_learns_expression(toy, loss, epochs, least):
    """Genes of training rows are learnt by heart, in one unit; slowest by Poisson, which learns 0 elsewhere besides."""
    model = build(toy, baseline="zero")
    model.train(epochs, loss=loss, plan_kwargs={"lr": 1e-2, "weight_decay": 0.0}, **QUIET)
    pairs = model.table().promoters
    alone_n = (np.bincount(pairs.gene_n)[pairs.gene_n] == 1) & (np.bincount(pairs.slot_n)[pairs.slot_n] == 1)
    predicted, observed = (
        v[:, pairs.gene_n[alone_n]] for v in (model.predict().to_numpy(), model.table().expression_kg)
    )
    assert np.corrcoef(predicted.ravel(), observed.ravel())[0, 1] > least
    assert np.abs(predicted - observed).mean() < np.abs(observed - observed.mean()).mean()


def test_losses_that_do_not_fit_are_refused(toy):
    with pytest.raises(InputError, match="loss='nb': one of 'mse', 'poisson', 'nb'; departures .* baseline='zero'"):
        build(toy).train(1, loss="nb", **QUIET)
    with pytest.raises(InputError, match="loss='huber': one of 'mse', 'poisson', 'nb'"):
        build(toy, baseline="zero").train(1, loss="huber", **QUIET)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "published"}, "preset='published': one of 'default', 'compat'"),
        (
            {"baseline": "mean"},
            "baseline='mean': one of 'similar_rows', 'gene_activity', 'training_mean', 'zero', None",
        ),
        ({"preset": "compat", "baseline": "gene_activity"}, "needs accessibility over its training mean"),
        ({"accessibility": "open"}, "accessibility='open': one of 'quantitative', 'binary', None"),
        ({"task": "atac"}, "task='atac': one of 'expression', 'accessibility', 'both'"),
        ({"task": "both", "accessibility": "binary"}, "open regions are all 1, so there is nothing to learn"),
    ],
)
def test_settings_that_are_refused(toy, arguments, message):
    with pytest.raises(InputError, match=message):
        build(toy, **arguments)


def test_compat_is_the_published_network(toy):
    model = build(toy, preset="compat")
    assert (model.config.n_channels, model.config.deviation, model.config.distance_bias) == (1, False, False)
    assert model.closed == "drop" and GET(toy, preset="compat", width=12).window == 200
    model.train(2, **QUIET)
    assert (model.predict().to_numpy()[np.isfinite(model.predict())] > 0).all()
    asked = build(toy, preset="compat", closed="keep", baseline="training_mean", distance_bias=True)
    assert asked.config.deviation and asked.config.distance_bias and asked.rules.closed == "keep"
    assert asked.rules.cutoff == 0.05


def test_parameters_of_the_accessibility_network():
    with torch.device("meta"):
        assert sum(p.numel() for p in ExpressionNet(GETConfig(task="accessibility")).parameters()) == 85_266_433
        both = ExpressionNet(GETConfig(task="both"))
    assert sum(p.numel() for p in both.parameters()) == 85_267_202 + 769


def test_accessibility_is_told_from_motifs_alone():
    """B9: the columns of accessibility are overwritten before the embedding; the target is the original."""
    torch.manual_seed(0)
    net = ExpressionNet(GETConfig(5, 3, 8, 2, 2, task="both", n_accessibility=2)).eval()
    tokens = torch.rand(2, 7, 8)
    other = tokens.clone()
    other[..., 5:7] = torch.rand(2, 7, 2)
    np.testing.assert_array_equal(net.accessibility(tokens).detach(), net.accessibility(other).detach())
    for column in (0, 7):  # a motif and an extra channel are seen
        changed = tokens.clone()
        changed[..., column] += 1
        assert (net.accessibility(changed) != net.accessibility(tokens)).all()
    blind = tokens.clone()
    blind[..., 5], blind[..., 6] = 1, 0
    h = net.encode(net.embed(blind), None, None)
    wanted = torch.log1p(torch.exp(h @ net.head_atac["head"].weight[0] + net.head_atac["head"].bias))
    np.testing.assert_allclose(net.accessibility(tokens).detach(), wanted.detach(), rtol=1e-5)


def opened(seed=1):
    """Regions that are open by their motif "A", in six rows of different depth."""
    rng = np.random.default_rng(seed)
    start = np.arange(240) * 2000
    var = pd.DataFrame({"chrom": np.repeat(["chr1", "chr2", "chr10"], 80), "start": start, "end": start + 500})
    var.index = [f"{c}:{s}-{e}" for c, s, e in var.itertuples(index=False)]
    motif_pm = (rng.random((240, 3)) < 0.5) * rng.gamma(9, 1, (240, 3))
    counts = rng.poisson(np.exp(1 + 0.2 * motif_pm[:, 0])[None] * np.linspace(0.5, 2, 6)[:, None])
    atac = AnnData(csr_matrix(counts.astype(np.float32)), var=var)
    atac.obs_names = [f"T{i}" for i in range(6)]
    atac.varm["motif_scores"], atac.uns["motif_names"] = motif_pm.astype(np.float32), np.array(["A", "B", "C"])
    promoter = pd.DataFrame({"region": var.index[[3]], "gene": ["G"], "strand": ["+"], "tss": [6100], "distance": [0]})
    atac.uns["peak_annotation"] = promoter.set_index(promoter.index.astype(str))
    return MuData({"atac": atac})


def test_accessibility_is_learnt_without_rna(tmp_path):
    mdata = opened()
    model = build(mdata, task="accessibility")
    model.train(60, holdout_obs=["T5"], holdout_chroms=["chr10"], plan_kwargs={"lr": 1e-2}, **QUIET)
    found = model.predict_accessibility(rows=["T5"])
    wanted = model.scaling.channels(model.table())[5, :, 0]
    is_open, away = mdata["atac"].X.toarray()[5] > 0, np.arange(240) >= 160
    r = np.corrcoef(found.to_numpy()[0, is_open & away], wanted[is_open & away])[0, 1]
    by_hand = np.corrcoef(mdata["atac"].varm["motif_scores"][is_open & away, 0], wanted[is_open & away])[0, 1]
    assert r > 0.95 * by_hand > 0.7
    assert found.columns.tolist() == mdata["atac"].var_names.tolist()
    np.testing.assert_array_equal(np.isnan(found.to_numpy()[0]), ~is_open & (np.arange(240) != 3))

    shuffled = MuData({"atac": mdata["atac"][:, np.random.default_rng(0).permutation(240)].copy()})
    again = model.predict_accessibility(shuffled, rows=["T5"], batch_size=3)
    assert again.columns.tolist() == shuffled["atac"].var_names.tolist()
    pd.testing.assert_frame_equal(again[found.columns], found, rtol=1e-5)
    model.save(tmp_path / "m")
    loaded = GET.load(tmp_path / "m", mdata, accelerator="cpu")
    pd.testing.assert_frame_equal(loaded.predict_accessibility(rows=["T5"]), found)
    with pytest.raises(InputError, match="predicts accessibility alone"):
        model.predict()
    with pytest.raises(InputError, match="predicts accessibility alone"):
        model.attribute(genes=["G"])


def test_both_tasks_share_a_trunk(toy):
    model = build(toy, task="both")
    assert {n.split(".")[0] for n in model.module.state_dict()} >= {"head_exp", "head_atac"}
    before = {n: t.clone() for n, t in model.module.state_dict().items()}
    model.train(2, **QUIET)
    changed = {n for n, t in model.module.state_dict().items() if not torch.equal(t, before[n])}
    assert {"head_exp.head.weight", "head_atac.head.weight"} <= changed
    assert model.predict_accessibility().shape == (6, 120) and model.predict().shape == (6, 51)
    with pytest.raises(InputError, match="predicts expression alone"):
        built = build(toy)
        built.train(1, **QUIET)
        built.predict_accessibility()


def test_the_sum_of_both_losses(toy):
    """The loss of two heads is the sum of those of one, with the same weights."""
    from scget.data import TokenSource
    from scget.train import ExpressionPlan

    model = build(toy, task="both")
    model.train(1, **QUIET)
    table = model.table()
    source = TokenSource(table, model.scaling, targets=model.scaling.targets(table))
    batch = source.gather(torch.tensor([0, 4]), torch.tensor([[*range(15), -1], [*range(40, 56)]]))
    plan = ExpressionPlan(model.module.eval(), source)
    shown = np.array([[True] * 15 + [False], [True] * 16])
    with torch.no_grad():
        seen = model.module.accessibility(batch.tokens_brf, batch.center_br, batch.pad_br).numpy()[shown]
        out = model.module(batch.tokens_brf, batch.center_br, batch.pad_br).numpy()
        total = plan.loss(batch).item()
    channel = model.scaling.channels(table)[..., 0]
    wanted = np.r_[channel[0, :15], channel[4, 40:56]]
    expression = np.nanmean((out - source.targets(batch).numpy()) ** 2)
    assert total == pytest.approx(expression + ((seen - wanted) ** 2).mean(), rel=1e-5)


def test_extra_channels_travel_with_the_model(toy, tmp_path):
    """A layer that holds the expression itself is used, and other data are scaled by the numbers of training."""
    rng = np.random.default_rng(3)
    toy["atac"].layers["H3K27ac"] = rng.poisson(5.0, toy["atac"].shape).astype(np.float32)
    model = build(toy, extra_keys=["H3K27ac", "region_length"])
    assert model.config.n_channels == 4 and model.config.n_accessibility == 2
    model.train(3, holdout_obs=["T5"], **QUIET)
    predicted = model.predict()
    model.save(tmp_path / "m")
    alone = MuData({"atac": toy["atac"][["T5"]].copy()})
    loaded = GET.load(tmp_path / "m", accelerator="cpu")
    able = predicted.columns[np.isfinite(predicted.loc["T5"])]
    pd.testing.assert_frame_equal(loaded.predict(alone)[able], predicted.loc[["T5"], able], rtol=1e-5)
    alone["atac"].layers["H3K27ac"] = alone["atac"].layers["H3K27ac"] + 50
    assert (loaded.predict(alone)[able] - predicted.loc[["T5"], able]).abs().to_numpy().max() > 1e-3
    del alone["atac"].layers["H3K27ac"]
    with pytest.raises(InputError, match="no layer or column of var 'H3K27ac'"):
        loaded.predict(alone)
    links = model.attribute(genes=[able[0]], rows=["T5"]).links
    assert np.isfinite(links["signed"]).all()


def test_rules_are_on_record(toy, tmp_path):
    model = build(toy, preset="compat", window=8)
    model.train(1, **QUIET)
    model.save(tmp_path / "m")
    record = json.loads((tmp_path / "m" / "model.json").read_text())["rules"]
    assert record["motif_unit"] == "row" and record["window"] == 8 and record["cutoff"] == 0.05
    loaded = GET.load(tmp_path / "m", toy, accelerator="cpu")
    assert loaded.rules == model.rules == loaded.scaling.rules
    pd.testing.assert_frame_equal(loaded.predict(), model.predict())
    assert scget.model.GET.load(tmp_path / "m", accelerator="cpu").rules.per_window


@pytest.mark.parametrize(("task", "heads"), [("accessibility", {"head_atac"}), ("both", {"head_exp", "head_atac"})])
def test_the_heads_of_all_tasks_are_fine_tuned(toy, task, heads, tmp_path):
    """By LoRA too, whose adapters carry them."""
    model = build(toy, task=task)
    model.pretrain(1, **QUIET)
    model.save(tmp_path / "base")
    start = {n: t.clone() for n, t in model.module.state_dict().items()}
    model.finetune(1, how="head", **QUIET)
    changed = {n for n, t in model.module.state_dict().items() if not torch.equal(t, start[n])}
    assert changed == {f"{head}.head.{part}" for head in heads for part in ("weight", "bias")}
    adapted, fresh = (GET.load(tmp_path / "base", toy, accelerator="cpu") for _ in range(2))
    adapted.finetune(1, how="lora", rank=2, **QUIET)
    now = adapted.module.state_dict()
    assert not any(torch.equal(now[f"{head}.head.weight"], start[f"{head}.head.weight"]) for head in heads)
    adapted.save_adapters(tmp_path / "adapters")
    fresh.load_adapters(tmp_path / "adapters")
    pd.testing.assert_frame_equal(fresh.predict_accessibility(), adapted.predict_accessibility(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("preset", ["default", "compat"])
@pytest.mark.parametrize("task", ["expression", "both"])
def test_expression_held_out_changes_no_weight(toy, preset, task):
    """Counts of the held-out row are turned round, those of genes of a held-out chromosome too; totals stay."""
    promoters = toy["atac"].uns["peak_annotation"]
    there = promoters["region"].str.startswith("chr10:")
    alone = sorted(set(promoters["gene"][there]) - set(promoters["gene"][~there]))
    weights = []
    for turned in (False, True):
        counts = pd.DataFrame(toy["rna"].X.toarray(), toy["rna"].obs_names, toy["rna"].var_names)
        if turned:
            counts[alone] = counts[alone].to_numpy()[:, ::-1]
            counts.loc["T5"] = counts.loc["T5"].to_numpy()[::-1]
        mdata = toy.copy()
        mdata["rna"].X = csr_matrix(counts.to_numpy())
        model = build(mdata, preset=preset, task=task)
        model.pretrain(1, holdout_obs=["T5"], holdout_chroms=["chr10"], **QUIET)
        model.train(1, **QUIET)
        model.finetune(1, how="lora", rank=2, **QUIET)
        weights.append(model.module.state_dict())
    assert len(alone) > 10 and all(torch.equal(weights[0][n], weights[1][n]) for n in weights[0])


def test_a_window_wider_than_any_chromosome_is_the_chromosome(toy):
    """No chromosome has 41 regions: a million give the same weights and numbers, and take no more memory."""
    predicted = []
    for window in (40, 10**6):
        model = build(toy, window=window, task="both", closed="keep")
        model.pretrain(1, **QUIET)
        model.train(1, **QUIET)
        predicted.append((model.predict(), model.predict_accessibility(), model.attribute(genes=["G1"]).links))
    for one, other in zip(*predicted, strict=True):
        pd.testing.assert_frame_equal(one, other)
