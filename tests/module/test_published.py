"""What the published network does, number by number, and what its code got wrong: each bug stays mended here.

Elsewhere: its outputs and gradients, parameter counts, norms and drop path in test_get.py, adapters in test_lora.py,
its files in tests/model/test_import.py.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scget.data import fit_scaling, lay_tokens, training_windows
from scget.module import ExpressionNet, GETConfig, MaskedNet, masked_region_loss, poisson_loss
from scget.train._plan import rate_at

SMALL = GETConfig(n_motifs=5, width=16, n_layers=2, n_heads=4)  # as published but for the size
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def network(seed: int = 0) -> ExpressionNet:
    """Biases and tokens are no zeros, so that they count."""
    torch.manual_seed(seed)
    net = ExpressionNet(SMALL).double().eval()
    for name, parameter in net.named_parameters():
        if name.endswith(("bias", "token")):
            torch.nn.init.normal_(parameter, std=0.5)
    return net


@pytest.fixture
def tokens():
    return torch.rand(3, 12, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("n_regions", [1, 7, 200, 900])
def test_any_number_of_regions_gives_expression_above_0_in_any_order(n_regions):
    net = network()
    tokens = torch.rand(2, n_regions, 6, dtype=torch.float64)
    order = torch.randperm(n_regions)
    with torch.no_grad():
        out = net(tokens)
        assert out.shape == (2, n_regions, 2) and (out > 0).all()
        torch.testing.assert_close(net(tokens[:, order]), out[:, order], atol=1e-6, rtol=1e-6)
        masked, mask = MaskedNet(net).double().eval(), torch.rand(2, n_regions) < 0.5
        fill = torch.zeros(2, n_regions, 6, dtype=torch.float64)
        fill[mask] = masked(tokens, mask).double()
        moved = masked(tokens[:, order], mask[:, order]).double()
    torch.testing.assert_close(moved, fill[:, order][mask[:, order]], atol=1e-6, rtol=1e-6)  # float32 outputs


def test_values_of_positions_far_away_reach_every_region(tokens):
    """No window, mask or distance limits attention in the published network."""
    net = network()
    changed = tokens.clone()
    changed[:, 0, 0] += 1
    difference = (net(changed) - net(tokens)).abs().amin(dim=(0, 2))
    assert (difference > 1e-9).all()


def test_keys_have_no_bias(monkeypatch, tokens):
    """With the map at 0, queries and values are their biases and keys exactly 0; nothing learns a bias of keys."""
    seen = {}

    def spy(q, k, v, **kwargs):
        seen.update(q=q, k=k, v=v)
        return F.scaled_dot_product_attention(q, k, v, **kwargs)

    net = network()
    attn = net.encoder.blocks[0].attn
    monkeypatch.setattr("scget.module._get.F", type("F", (), {"scaled_dot_product_attention": spy, "linear": F.linear}))
    torch.nn.init.zeros_(attn.qkv.weight)
    attn(torch.rand(1, 3, 16, dtype=torch.float64), None, None)
    assert not seen["k"].any()
    for name, bias in (("q", attn.q_bias), ("v", attn.v_bias)):
        torch.testing.assert_close(seen[name][0].transpose(0, 1).flatten(1), bias.expand(3, -1))
    assert sum(p.numel() for n, p in attn.named_parameters() if "bias" in n) == 3 * 16  # q, v and the projection


def test_loss_is_that_of_torch_and_has_its_minimum_at_the_label(rng):
    rate, label = (torch.tensor(rng.gamma(2, 1, (4, 7, 2)), requires_grad=True) for _ in range(2))
    expected = torch.nn.PoissonNLLLoss(log_input=False, full=False, eps=1e-8)(rate, label)
    torch.testing.assert_close(poisson_loss(rate, label), expected.float(), rtol=1e-6, atol=1e-9)
    (gradient,) = torch.autograd.grad(poisson_loss(rate, label), rate)
    torch.testing.assert_close(gradient, (1 - label / (rate + 1e-8)) / rate.numel(), rtol=1e-5, atol=1e-8)


def test_mask_token_takes_the_place_of_an_embedding_and_nothing_else(tokens):
    net = MaskedNet(network()).double().eval()
    seen = []
    net.trunk.encoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    mask = torch.zeros(3, 12, dtype=torch.bool)
    mask[0, 3] = mask[2, 5] = mask[2, 11] = True
    predicted = net(tokens, mask)
    h_brd = seen[0][:, 1:]
    assert torch.equal(h_brd[mask], net.mask_token[0].expand(3, -1))
    assert torch.equal(h_brd[~mask], net.trunk.embed(tokens)[~mask])
    changed = tokens.clone()
    changed[~mask] += 7  # targets that are shown are none
    loss = masked_region_loss(predicted, tokens, mask)
    assert torch.equal(masked_region_loss(predicted, changed, mask), loss)
    expected = np.square(predicted.detach().numpy() - tokens[mask].numpy()).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_gradients_of_the_strands_are_two(tokens):
    """Bug 1: the input gradient of the - strand held that of the + strand too. Against finite differences."""
    net, focus = network(), 6

    def exact(x):  # the network without its last step to float32
        return F.softplus(net.head_exp["head"](net.encode(net.embed(x), None, None)))[0, focus]

    def gradient(strand):
        x = tokens[:1].clone().requires_grad_()
        return torch.autograd.grad(net(x)[0, focus, strand], x)[0][0]

    x = tokens[:1].clone().requires_grad_()
    out = net(x)[0, focus]
    together = [torch.autograd.grad(out[s], x, retain_graph=True)[0][0] for s in (0, 1)]
    step = 1e-6
    for strand in (0, 1):
        assert together[strand].shape == (12, 6)
        torch.testing.assert_close(together[strand], gradient(strand), rtol=1e-6, atol=1e-9)
        for region, feature in ((0, 0), (focus, 5), (11, 2)):
            moved = [tokens[:1].clone() for _ in range(2)]
            moved[0][0, region, feature] += step
            moved[1][0, region, feature] -= step
            with torch.no_grad():
                slope = (exact(moved[0]) - exact(moved[1]))[strand].item() / (2 * step)
            assert together[strand][region, feature].item() == pytest.approx(slope, rel=1e-4, abs=1e-7)
    assert not torch.allclose(together[1], together[0] + gradient(1), rtol=0.1)


@pytest.mark.slow
def test_full_size_forward_and_backward():
    """85 million parameters: the gradient of the head's bias by closed form, and a finite one for each tensor."""
    torch.manual_seed(0)
    net = ExpressionNet(GETConfig()).train()
    tokens, label = torch.rand(1, 200, 283), torch.rand(1, 200, 2) * (torch.rand(1, 200, 2) < 0.1)
    out = net(tokens)
    assert out.shape == (1, 200, 2) and (out > 0).all()
    poisson_loss(out, label).backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    assert sum(g.numel() for g in gradients.values()) == 85_267_202
    assert [n for n, g in gradients.items() if not torch.isfinite(g).all() or not g.any()] == []
    rate = out.detach().double()  # softplus' = 1 - exp(-softplus)
    expected = ((1 - label / (rate + 1e-8)) * -torch.expm1(-rate)).sum(dim=(0, 1)) / rate.numel()
    torch.testing.assert_close(gradients["head_exp.head.bias"].double(), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("closed_share", [0.05, 0.3, 0.8])
def test_dropping_closed_regions_lets_no_held_out_one_in(closed_share):
    """Bug 2: 5, 30 and 80% closed regions led to 14, 38 and more training windows on held-out chromosomes."""
    rng = np.random.default_rng(0)
    chrom_p = np.repeat(np.arange(6), 1500)
    counts_kp = (rng.random((2, 9000)) >= closed_share) * rng.integers(1, 50, (2, 9000))
    allowed_p = ~np.isin(chrom_p, [1, 4])
    nothing = np.zeros(9000, dtype=bool)
    for shown_p, chroms in ((allowed_p, {0, 2, 3, 5}), (~allowed_p, {1, 4})):
        tokens = lay_tokens(counts_kp, nothing, chrom_p, np.arange(2), shown_p, closed="drop")
        windows = training_windows(tokens, 200, 100, rng=rng)
        index_wr = windows.regions()
        inside = index_wr >= 0
        assert {chrom_p[r[i]].tolist()[0] for r, i in zip(index_wr, inside, strict=True)} == chroms
        assert shown_p[index_wr[inside]].all() and (counts_kp[windows.row_w[:, None], index_wr][inside] > 0).all()
        expected = sum(  # every 100 open regions of a row and chromosome, the last aligned to the end
            max(-(-(int((counts_kp[row, chrom_p == chrom] > 0).sum()) - 200) // 100), 0) + 1
            for row in (0, 1)
            for chrom in chroms
        )
        assert len(windows) == expected


def test_the_first_step_has_the_first_rate():
    """Bug 6: the first step was taken at the full rate. The tenth part of it here, and the sum is that of the ramp."""
    rates = [rate_at(step, 10, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[9] == 1.0
    assert sum(rates[:10]) == pytest.approx(5.5)
    assert sum(rates[10:]) == pytest.approx(45.5)  # half a cosine from 1, over 90 steps: 90 / 2 + 1 / 2


def test_all_genes_of_a_region_are_learnt(trained, toy):
    """Bug 8: one gene per region was kept. Here the labels of both strands are means over all genes there."""
    table, pairs = trained.table(), toy["atac"].uns["peak_annotation"]
    shared = pairs[pairs["gene"].isin(["G48", "G49"])]
    assert shared["region"].nunique() == 1 and list(shared["strand"]) == ["+", "-"]
    labels = trained.scaling.targets(table)[..., 2]
    by_name = {str(gene): table.expression_kg[:, i] for i, gene in enumerate(table.genes)}
    for slot, (region, strand) in enumerate(zip(table.promoters.region_q, table.promoters.strand_q, strict=True)):
        here = (pairs["region"] == table.regions.names[region]) & (pairs["strand"] == "+-"[strand])
        expected = np.mean([by_name[gene] for gene in pairs.loc[here, "gene"].unique()], axis=0)
        np.testing.assert_allclose(labels[:, slot], expected, rtol=1e-5)
    predicted = trained.predict()
    assert (predicted["G48"] - predicted["G49"]).abs().min() > 1e-3


def test_pretraining_by_single_windows(toy):
    """Bug 9: a batch of one window was squeezed flat. One epoch of them moves the weights."""
    from scget.model import GET

    GET.setup_mudata(toy)
    model = GET(toy, width=8, n_layers=1, n_heads=2, window=16)
    before = model.module.region_embed["embed"].weight.detach().clone()
    model.pretrain(1, batch_size=1, **QUIET)
    assert np.isfinite(float(model.history["train_loss"].iloc[0, 0]))
    assert not torch.equal(before, model.module.region_embed["embed"].weight.cpu())


def test_labels_and_features_depend_on_neither_accessibility_nor_window(toy):
    """Bugs 11 and 12: labels of barely open promoters were set to 0, and accessibility rescaled in each window."""
    from scget.data import TokenSource, build_table
    from scget.data._fields import default_modalities

    setup = {"modalities": default_modalities(), "atac_layer": None, "rna_layer": None}
    table = build_table(toy, setup)
    every_k, every_p = np.arange(6), np.ones(120, dtype=bool)
    scaling = fit_scaling(table, every_k, every_p)
    targets = scaling.targets(table)[..., 2]
    barely_kq = table.counts_kp[:, table.promoters.region_q] <= 1
    expected = table.promoters.genes_to_slots(table.expression_kg)
    assert barely_kq.sum() > 20 and (expected[barely_kq] > 0).any()
    np.testing.assert_allclose(targets, expected, rtol=1e-6)
    source = TokenSource(table, scaling)
    low, high = (source.gather(torch.tensor([2]), torch.arange(s, s + 16)[None]).tokens_brf[0] for s in (10, 18))
    assert torch.equal(low[8:], high[:8])


def test_scores_do_not_depend_on_batches(trained, monkeypatch):
    """Bug 13: correlations were averages over batches."""
    from scget.bm import _compare, evaluate

    scores = []
    for size in (1, 7, 500):
        monkeypatch.setattr(_compare, "BATCH", size)
        scores.append(evaluate(trained, baselines=["training_mean"])["value"].to_numpy())
    np.testing.assert_allclose(scores[0], scores[2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores[1], scores[2], rtol=1e-4, atol=1e-5)
