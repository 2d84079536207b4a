"""Pretraining: what is hidden, what is learnt from it, what it never sees, and that training goes on from it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from lightning.pytorch.callbacks import Callback
from mudata import MuData
from scipy.sparse import csr_matrix
from scipy.special import erf
from scipy.stats import binom

from scget._errors import InputError
from scget.data import Batch
from scget.model import GET
from scget.module import ExpressionNet, GETConfig, MaskedNet
from scget.train import MaskedPlan
from scget.train._masked import fixed_uniform, hidden, window_standardised

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL = {"width": 8, "n_layers": 1, "n_heads": 2, "window": 16}
HELD = {"holdout_obs": ["T5"], "holdout_chroms": ["chr10"]}


def build(mdata, **kwargs):
    GET.setup_mudata(mdata)
    return GET(mdata, **{**SMALL, **kwargs})


def weights(model):
    return {name: tensor.clone() for name, tensor in model.module.state_dict().items()}


@pytest.fixture
def net():
    """A small network whose biases and tokens are not 0."""
    torch.manual_seed(0)
    net = MaskedNet(ExpressionNet(GETConfig(n_motifs=5, n_channels=2, width=12, n_layers=1, n_heads=3, drop_path=0.0)))
    for parameter in net.parameters():
        if parameter.ndim == 1 or not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    return net.eval()


@pytest.fixture
def batch():
    """Three windows of 9 regions, the second with 4 padded, the third with 8."""
    generator = torch.Generator().manual_seed(1)
    pad_br = torch.arange(9)[None] >= torch.tensor([9, 5, 1])[:, None]
    tokens_brf = torch.rand(3, 9, 7, generator=generator).masked_fill(pad_br[..., None], 0.0)
    center_br = (torch.arange(9) * 3000 + 250).repeat(3, 1).masked_fill(pad_br, 0)
    return Batch(tokens_brf, center_br, pad_br, torch.full((3, 9, 2), -1), torch.arange(3))


MASK = np.array([[1, 0, 0, 1, 1, 0, 0, 0, 1], [0, 1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0, 0]], dtype=bool)


def layer_norm(x, part):
    weight, bias = (p.detach().double().numpy() for p in (part.weight, part.bias))
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * weight + bias


def linear(x, part):
    return x @ part.weight.detach().double().numpy().T + part.bias.detach().double().numpy()


def predicted_by_numpy(net, tokens_rf, mask_r):
    """One window without padding through embedding, mask token, one block and head, in float64."""
    trunk, block = net.trunk, net.trunk.encoder.blocks[0]
    h = linear(tokens_rf, trunk.region_embed["embed"])
    h[mask_r] = net.mask_token.detach().double().numpy()[0, 0]
    h = np.vstack([trunk.cls_token.detach().double().numpy()[0], h])
    w = block.attn.qkv.weight.detach().double().numpy()
    q, k, v = np.split(layer_norm(h, block.norm1) @ w.T, 3, axis=1)
    q = q + block.attn.q_bias.detach().double().numpy()
    v = v + block.attn.v_bias.detach().double().numpy()
    heads = []
    for part in (slice(0, 4), slice(4, 8), slice(8, 12)):
        scores = np.exp(q[:, part] @ k[:, part].T / 2)
        heads.append(scores / scores.sum(1, keepdims=True) @ v[:, part])
    h = h + linear(np.hstack(heads), block.attn.proj)
    x = linear(layer_norm(h, block.norm2), block.mlp["fc1"])
    h = h + linear(x * (1 + erf(x / np.sqrt(2))) / 2, block.mlp["fc2"])
    return linear(layer_norm(h, trunk.encoder.norm)[1:][mask_r], net.head_mask)


@pytest.mark.parametrize("target", ["raw", "standardised"])
def test_loss_is_that_of_float64_numpy_with_the_mask_given_by_hand(net, batch, target):
    ours = MaskedPlan(net, None, target=target).loss_where(batch, torch.from_numpy(MASK)).item()
    errors = []
    for tokens, mask, n in zip(batch.tokens_brf.double().numpy(), MASK, (9, 5, 1), strict=True):
        tokens, mask = tokens[:n], mask[:n]  # without its padding
        z = (tokens - tokens.mean(0)) / (tokens.std(0) + 1e-6)
        errors.append(predicted_by_numpy(net, tokens, mask) - (tokens if target == "raw" else z)[mask])
    assert ours == pytest.approx(np.concatenate(errors).__pow__(2).mean(), rel=1e-5)
    assert np.concatenate(errors).shape == (MASK.sum(), 7)


def test_a_hidden_region_is_the_mask_token_in_all_features_and_the_others_are_untouched(net, batch, monkeypatch):
    """Appendix B8 of the specification."""
    seen, encode = [], net.trunk.encode
    monkeypatch.setattr(net.trunk, "encode", lambda h, *rest: seen.append(h.detach()) or encode(h, *rest))
    tokens = batch.tokens_brf.clone().requires_grad_()
    mask = torch.from_numpy(MASK)
    out = net(tokens, mask, batch.center_br, batch.pad_br)
    assert out.shape == (MASK.sum(), 7)
    assert torch.equal(seen[0][mask], net.mask_token[0].expand(int(MASK.sum()), -1))
    assert torch.equal(seen[0][~mask], net.trunk.embed(batch.tokens_brf)[~mask])
    (gradient,) = torch.autograd.grad(out[:4].sum(), tokens)  # of the four hidden in the first window
    assert not gradient[mask].any() and (gradient[0, ~mask[0]] != 0).all() and not gradient[1:].any()


def test_loss_is_on_the_hidden_alone(net, batch, monkeypatch):
    """Targets of regions that are shown may be anything: only those hidden are compared."""
    mask, plan = torch.from_numpy(MASK), MaskedPlan(net, None, target="standardised")
    before = plan.loss_where(batch, mask)
    target = window_standardised(batch.tokens_brf, batch.pad_br)
    target[~mask] = torch.nan
    monkeypatch.setattr("scget.train._masked.window_standardised", lambda *_: target)
    assert torch.equal(plan.loss_where(batch, mask), before)
    target[0, 0, 0] += 1
    assert not torch.equal(plan.loss_where(batch, mask), before)


@pytest.mark.parametrize("ratio", [0.01, 0.15, 0.5, 0.7, 0.99])
def test_exact_masks_hide_the_share_of_each_window(ratio):
    generator, real_b = torch.Generator().manual_seed(0), [*range(1, 34), 200]
    pad_br = torch.arange(200)[None] >= torch.tensor(real_b)[:, None]
    mask_br = hidden(torch.rand(pad_br.shape, generator=generator), pad_br, ratio, "exact")
    assert mask_br.sum(1).tolist() == [max(int(ratio * n), 1) for n in real_b]
    assert not (mask_br & pad_br).any()
    whole = hidden(torch.rand((50, 200), generator=generator), None, ratio, "exact")
    assert set(whole.sum(1).tolist()) == {max(int(ratio * 200), 1)}


def test_exact_masks_hide_the_lowest_numbers_and_ties_in_order():
    uniform = torch.tensor([[0.9, 0.1, 0.4, 0.0, 0.3], [0.5, 0.5, 0.5, 0.5, 0.0]])
    pad = torch.tensor([[False, False, False, True, False], [False] * 4 + [True]])
    assert hidden(uniform, pad, 0.5, "exact").int().tolist() == [[0, 1, 0, 0, 1], [1, 1, 0, 0, 0]]
    assert hidden(uniform, pad, 0.45, "bernoulli").int().tolist() == [[0, 1, 1, 0, 1], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize("kind", ["bernoulli", "exact"])
def test_each_region_is_hidden_as_often_as_asked(kind):
    """Counts per region over 2,000 windows lie within the bounds that 1 in 10^6 would leave, tested on 60 regions."""
    generator, pad_br = torch.Generator().manual_seed(7), torch.arange(70).repeat(2000, 1) >= 60
    mask_br = hidden(torch.rand((2000, 70), generator=generator), pad_br, 0.3, kind)
    low, high = binom.ppf([1e-6, 1 - 1e-6], 2000, 0.3)
    per_region = mask_br.sum(0).numpy()
    assert ((per_region[:60] >= low) & (per_region[:60] <= high)).all() and not per_region[60:].any()
    per_window = mask_br.sum(1).double()
    if kind == "bernoulli":  # the counts vary as a binomial of 60 does: 0.3 * 0.7 * 60
        assert per_window.var().item() == pytest.approx(12.6, rel=0.15)
    pairs = mask_br[:, 0::2][:, :30] & mask_br[:, 1::2][:, :30]  # neighbours do not hang together
    share = 0.09 if kind == "bernoulli" else 18 * 17 / (60 * 59)
    assert pairs.double().mean().item() == pytest.approx(share, abs=5 * (share / 60_000) ** 0.5)


def test_standardised_against_numpy_without_padding(batch):
    ours = window_standardised(batch.tokens_brf, batch.pad_br).numpy()
    for z, tokens, n in zip(ours, batch.tokens_brf.double().numpy(), (9, 5, 1), strict=True):
        expected = (tokens[:n] - tokens[:n].mean(0)) / (tokens[:n].std(0) + 1e-6)
        np.testing.assert_allclose(z[:n], expected, atol=2e-6)
        assert not z[n:].any()
    alone = window_standardised(batch.tokens_brf[1:2, :5], None)
    np.testing.assert_allclose(alone.numpy(), ours[1:2, :5], atol=2e-6)
    constant = torch.full((1, 200, 1), 7.3)  # its mean in float32 is not 7.3
    assert not window_standardised(constant, None).any()


def test_padding_changes_no_loss(net, batch):
    """The second window alone, cut to its 5 regions, gives what it gives with 4 padded."""
    mask, cut = torch.from_numpy(MASK), slice(1, 2)
    for target in ("raw", "standardised"):
        plan = MaskedPlan(net, None, target=target)
        padded = Batch(
            batch.tokens_brf[cut], batch.center_br[cut], batch.pad_br[cut], batch.slot_brs[cut], torch.zeros(1)
        )
        short = Batch(
            batch.tokens_brf[cut, :5], batch.center_br[cut, :5], None, batch.slot_brs[cut, :5], torch.zeros(1)
        )
        expected = plan.loss_where(short, mask[cut, :5]).item()
        assert plan.loss_where(padded, mask[cut]).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mask", ["bernoulli", "exact"])
def test_one_window_alone_and_fixed_masks_of_validation(net, batch, mask):
    """In eval mode each window has its own mask, whatever stands beside it; in training masks differ each time."""
    plan = MaskedPlan(net, None, mask=mask)
    parts = [Batch(*(x[i : i + 1] for x in vars(batch).values() if x is not None)) for i in range(3)]
    masks = [hidden(fixed_uniform(p.center_br), p.pad_br, 0.5, mask) for p in parts]
    losses = np.array([plan.loss(p).item() for p in parts])
    n = np.array([m.sum() for m in masks])
    assert plan.loss(batch).item() == pytest.approx((losses * n).sum() / n.sum(), rel=1e-5)
    assert np.isfinite(losses).all() and plan.loss(batch).item() == plan.loss(batch).item()
    net.train()  # without dropout or drop path: only masks differ
    assert plan.loss(parts[0]).item() != plan.loss(parts[0]).item()
    plan.loss(parts[0]).backward()
    assert net.trunk.region_embed["embed"].weight.grad.any()


def test_nothing_hidden_is_a_loss_of_0_that_moves_nothing(net, batch):
    loss = MaskedPlan(net, None).loss_where(batch, torch.zeros(3, 9, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0 and not any(p.grad.any() for p in net.parameters() if p.grad is not None)


def test_default_is_bernoulli_of_half_and_raw(net, batch):
    """The numbers it always gave: the same draw, the same error."""
    net.train()
    torch.manual_seed(5)
    ours = MaskedPlan(net, None).loss(batch)
    torch.manual_seed(5)
    mask = (torch.rand(3, 9) < 0.5) & ~batch.pad_br
    out = net(batch.tokens_brf, mask, batch.center_br, batch.pad_br)
    assert ours.item() == pytest.approx((out - batch.tokens_brf[mask]).square().mean().item(), rel=1e-6)


class Keep(Callback):
    """Weights and masked head as they stand at the start and end of a run."""

    def on_train_start(self, trainer, plan):
        self.start = {name: tensor.clone() for name, tensor in plan.module.state_dict().items()}

    def on_train_end(self, trainer, plan):
        self.end, self.plan = {name: tensor.clone() for name, tensor in plan.module.state_dict().items()}, plan
        self.source = plan.source


def test_pretraining_is_that_of_the_arguments_given(toy):
    """Two regions of 16 shown or hidden, raw or standardised: each choice reaches the network."""
    results = []
    for arguments in ({}, {"mask": "exact"}, {"target": "standardised"}, {"mask_ratio": 0.2}):
        model, keep = build(toy), Keep()
        model.pretrain(2, callbacks=[keep], **arguments, **HELD, **QUIET)
        assert (keep.plan.mask, keep.plan.target, keep.plan.mask_ratio) == (
            arguments.get("mask", "bernoulli"),
            arguments.get("target", "raw"),
            arguments.get("mask_ratio", 0.5),
        )
        results.append(keep.end["trunk.region_embed.embed.weight"])
    assert all(not torch.equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize(("planted", "low", "high"), [(True, 0.3, 0.85), (False, 0.95, 1.1)])
def test_it_learns_what_regions_nearby_tell_and_nothing_else(toy, rng, planted, low, high):
    """Loss on a chromosome not trained on, over that of filling in each window's mean.

    Motifs come in runs of 8 equal regions, so neighbours tell 5 of the 7 features; in any order they tell none.
    """
    var = pd.DataFrame({"chrom": np.repeat(["chr1", "chr2", "chr3"], 160), "start": np.tile(np.arange(160) * 2000, 3)})
    var = var.assign(end=var["start"] + 500)
    var.index = [f"{c}:{s}-{e}" for c, s, e in var.itertuples(index=False)]
    atac = AnnData(csr_matrix(rng.poisson(9, (3, 480)).astype(np.float32)), obs=toy["atac"].obs[:3], var=var)
    scores = np.repeat(rng.gamma(9, 1, (60, 5)) * (rng.random((60, 5)) < 0.5), 8, axis=0)
    atac.varm["motif_scores"] = (scores if planted else rng.permutation(scores)).astype(np.float32)
    atac.uns["motif_names"] = toy["atac"].uns["motif_names"]
    atac.uns["peak_annotation"] = toy["atac"].uns["peak_annotation"].head(1).assign(region=var.index[0])
    model, keep = build(MuData({"atac": atac}), width=32, closed="keep", drop_path=0.0), Keep()
    quick = {"plan_kwargs": {"lr": 1e-2}, "validation_chroms": ["chr2"], "batch_size": 8, **QUIET}
    model.pretrain(15, target="standardised", callbacks=[keep], **quick)
    windows = model.trainer.datamodule.validation
    batch = keep.source.gather(torch.from_numpy(windows.row_w), torch.from_numpy(windows.regions()))
    tokens = batch.tokens_brf.double().numpy()
    z = (tokens - tokens.mean(1, keepdims=True)) / (tokens.std(1, keepdims=True) + 1e-6)
    mean_filled = np.square(z[hidden(fixed_uniform(batch.center_br), None, 0.5, "bernoulli").numpy()]).mean()
    loss = model.history["validation_loss"]["validation_loss"].astype(float).iloc[-1]
    assert low < loss / mean_filled < high


@pytest.mark.parametrize("mask", ["bernoulli", "exact"])
def test_held_out_rows_and_chromosomes_change_no_bit(toy, mask):
    """Another held-out row; on the held-out chromosome other motifs, and counts that keep a row's total and ranks."""

    def pretrained(mdata):
        model = build(mdata)
        model.pretrain(2, mask=mask, target="standardised", **HELD, **QUIET)
        return weights(model), model.history["train_loss"].to_numpy()

    before, losses = pretrained(toy)
    other = MuData({"atac": toy["atac"].copy(), "rna": toy["rna"].copy()})
    counts, motifs = other["atac"].X.toarray(), other["atac"].varm["motif_scores"].toarray()
    on_chr10 = np.flatnonzero((other["atac"].var["chrom"] == "chr10").to_numpy())
    counts[:5, on_chr10] = counts[:5][:, on_chr10[::-1]]
    counts[5] = counts[0] * 3 + 1
    motifs[on_chr10] = motifs[on_chr10] * 2 + 1
    other["atac"].X, other["atac"].varm["motif_scores"] = csr_matrix(counts), csr_matrix(motifs)
    after, same_losses = pretrained(other)
    assert all(torch.equal(before[name], after[name]) for name in before)
    np.testing.assert_array_equal(losses, same_losses)
    counts[0, 0] += 1  # a training row on a training chromosome
    other["atac"].X = csr_matrix(counts)
    assert not torch.equal(pretrained(other)[0]["region_embed.embed.weight"], before["region_embed.embed.weight"])


def test_rna_is_neither_needed_nor_read(toy):
    with_rna, without = build(toy), build(MuData({"atac": toy["atac"].copy()}))
    for model in (with_rna, without):
        model.pretrain(2, mask="exact", **HELD, **QUIET)
    assert all(torch.equal(t, weights(without)[name]) for name, t in weights(with_rna).items())
    assert without.scaling.deviation.tolist() == [1.0]


def test_training_goes_on_from_the_pretrained_trunk(toy):
    model, first, second = build(toy), Keep(), Keep()
    fresh = weights(model)
    model.pretrain(2, target="standardised", callbacks=[first], **HELD, **QUIET)
    units = model.scaling
    model.train(1, callbacks=[second], holdout_chroms=[], **QUIET)  # T5 stays held out; chr10 is trained on
    assert model.holdout.obs == ["T5"]
    for name, start in second.start.items():
        if name.startswith(("head_exp", "region_embed.sums")):
            assert torch.equal(start, fresh[name]), name
        else:
            assert torch.equal(start, first.end[f"trunk.{name}"]), name
            assert not torch.equal(start, fresh[name]), name
    np.testing.assert_array_equal(model.scaling.motif_m, units.motif_m)
    np.testing.assert_array_equal(model.scaling.quantile_q, units.quantile_q)
    new = build(toy)
    new.train(1, holdout_obs=["T5"], **QUIET)
    assert not np.array_equal(new.scaling.motif_m, units.motif_m)  # with chr10 they would have been others


def test_validation_compares_epochs_on_the_same_masks(toy):
    """With a rate of 0 nothing is learnt: the validation loss stands still, while training draws new masks."""
    model, keep = build(toy, drop_path=0.0), Keep()
    arguments = {"validation_chroms": ["chr2"], "plan_kwargs": {"lr": 0.0}, "batch_size": 8, "callbacks": [keep]}
    model.pretrain(3, **arguments, **HELD, **QUIET)
    watched, trained = (model.history[f"{n}_loss"][f"{n}_loss"].astype(float) for n in ("validation", "train"))
    assert watched.nunique() == 1 and trained.nunique() == 3
    source, windows = keep.source, model.trainer.datamodule.validation
    regions = torch.from_numpy(windows.regions())
    assert (model.table().chrom_p[regions[regions >= 0].numpy()] == 1).all()
    keep.plan.eval()
    again = []
    with torch.no_grad():  # batches of 8 as Lightning weighs them
        for at in np.array_split(np.arange(len(windows)), -(-len(windows) // 8)):
            again.append((keep.plan.loss(source.gather(torch.from_numpy(windows.row_w[at]), regions[at])), len(at)))
    assert watched[0] == pytest.approx(sum(v.item() * n for v, n in again) / len(windows), rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask_ratio": 0}, "mask_ratio=0; a share between 0 and 1"),
        ({"mask_ratio": float("nan")}, "mask_ratio=nan"),
        ({"mask": "half"}, "mask='half'; one of 'bernoulli', 'exact' is needed"),
        ({"target": "z"}, "target='z'; one of 'raw', 'standardised' is needed"),
    ],
)
def test_impossible_arguments_change_nothing(toy, arguments, message):
    model = build(toy)
    before = weights(model)
    with pytest.raises(InputError, match=message):
        model.pretrain(1, **arguments, **QUIET)
    assert all(torch.equal(t, before[name]) for name, t in weights(model).items()) and model.holdout is None
