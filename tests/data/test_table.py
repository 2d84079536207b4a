"""A MuData as arrays: matched by name, sorted by position, scaled on training rows alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy.stats import rankdata

from scget._errors import InputError
from scget.data import Promoters, TokenSource, build_table, fit_scaling

SETUP = {"modalities": {"atac_layer": "atac", "rna_layer": "rna"}, "atac_layer": None, "rna_layer": None}


def test_rows_are_paired_by_name_and_regions_sorted_by_position(toy, rng):
    plain = build_table(toy, SETUP)
    atac, rna = toy["atac"], toy["rna"]
    mixed = MuData(
        {"atac": atac[:, rng.permutation(atac.n_vars)].copy(), "rna": rna[rng.permutation(rna.n_obs)].copy()}
    )
    table = build_table(mixed, SETUP)
    assert table.regions.names.tolist() == plain.regions.names.tolist() == atac.var_names.tolist()
    assert mixed["atac"].var_names[table.order_p].tolist() == atac.var_names.tolist()
    by_name = pd.Index(table.rows).get_indexer(plain.rows)
    np.testing.assert_array_equal(table.counts_kp[by_name], plain.counts_kp)
    np.testing.assert_array_equal(table.expression_kg[by_name], plain.expression_kg)
    np.testing.assert_array_equal(table.motif_pm.toarray(), plain.motif_pm.toarray())
    np.testing.assert_array_equal(table.promoters.region_q, plain.promoters.region_q)


def test_expression_is_log10_of_counts_per_million(toy):
    counts = toy["rna"].X.toarray().astype(np.float64)
    expected = np.log10(1e6 * counts / counts.sum(1)[:, None] + 1)
    np.testing.assert_allclose(build_table(toy, SETUP).expression_kg, expected, rtol=1e-6)


def test_promoters_are_many_to_many_and_strand_0_is_plus():
    # gene 0 starts in slots 0 and 1, gene 1 in slot 1, gene 2 nowhere
    pairs = Promoters(np.array([3, 3]), np.array([0, 1]), np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
    np.testing.assert_allclose(pairs.genes_to_slots(np.array([[2.0, 6.0, 9.0]])), [[2, 4]])
    np.testing.assert_allclose(pairs.genes_to_slots(np.array([[2.0, np.nan, 9.0]])), [[2, 2]])
    np.testing.assert_allclose(pairs.slots_to_genes(np.array([[1.0, 5.0]])), [[3, 5, np.nan]])
    np.testing.assert_array_equal(pairs.slot_of(5)[3], [0, 1])
    assert (np.delete(pairs.slot_of(5), 3, axis=0) == -1).all()


def test_promoters_that_fit_nothing_are_refused(toy):
    toy["atac"].uns["peak_annotation"]["gene"] = "unknown"
    with pytest.raises(InputError, match="none of the 51 promoters lies in these regions and genes"):
        build_table(toy, SETUP)


def test_scaling_sees_training_rows_and_regions_only(toy):
    table = build_table(toy, SETUP)
    rows, shown = np.arange(5), table.chrom_p < 2
    before = fit_scaling(table, rows, shown)
    table.counts_kp[5] += 1000
    table.expression_kg[5] += 3
    after = fit_scaling(table, rows, shown)
    for name, array in before.arrays().items():
        np.testing.assert_array_equal(array, after.arrays()[name], err_msg=name)
    on_held_out = np.isin(table.promoters.region_q[table.promoters.slot_n], np.flatnonzero(~shown))
    only_there = np.setdiff1d(table.promoters.gene_n[on_held_out], table.promoters.gene_n[~on_held_out])
    assert len(only_there) and np.isnan(before.expression(table.genes)[only_there]).all()


def test_features_against_float64(toy):
    table = build_table(toy, SETUP)
    rows, every = np.array([0, 2, 4]), np.ones(120, dtype=bool)
    scaling = fit_scaling(table, rows, every)
    raw = toy["atac"].varm["motif_scores"].toarray().astype(np.float64)
    np.testing.assert_allclose(scaling.motifs(table), raw / [c[c > 0].mean() for c in raw.T], rtol=1e-5)

    counts = toy["atac"].X.toarray().astype(np.float64)
    relative = np.log1p(counts / counts.mean(1, keepdims=True))
    sorted_kp, grid = np.sort(relative[rows], axis=1), np.linspace(0, 1, 4097)
    reference = np.mean([np.interp(grid * 119, np.arange(120), r) for r in sorted_kp], axis=0)  # mean distribution
    unit = reference[reference > 0].mean()
    expected = [np.where(r > 0, np.interp((rankdata(r) - 0.5) / 120, grid, reference / unit), 0) for r in relative]
    channels = scaling.channels(table)
    np.testing.assert_allclose(channels[..., 0], expected, rtol=1e-5, atol=1e-6)
    fold = channels[..., 0] - channels[rows, :, 0].mean(axis=0)
    np.testing.assert_allclose(channels[..., 1], fold, atol=1e-6)


def test_depth_does_not_matter(toy):
    table = build_table(toy, SETUP)
    scaling = fit_scaling(table, np.arange(6), np.ones(120, dtype=bool))
    plain = scaling.channels(table)
    table.counts_kp[3] *= 7
    np.testing.assert_allclose(scaling.channels(table), plain, atol=1e-6)


def test_closed_regions_on_another_contig_change_nothing(toy):
    table = build_table(toy, SETUP)
    scaling = fit_scaling(table, np.arange(6), np.ones(120, dtype=bool))
    atac = toy["atac"]
    var = pd.DataFrame(index=[*atac.var_names, *(f"chr20:{i}-{i + 500}" for i in range(0, 60_000, 1000))])
    more = AnnData(np.pad(atac.X.toarray(), ((0, 0), (0, 60))), obs=atac.obs, var=var)
    more.varm["motif_scores"] = np.pad(atac.varm["motif_scores"].toarray(), ((0, 60), (0, 0)))
    more.uns = atac.uns
    wider = scaling.channels(build_table(MuData({"atac": more}), SETUP))
    np.testing.assert_array_equal(wider[:, :120], scaling.channels(table))
    assert not wider[:, 120:].any()


def test_regions_unknown_to_the_model_have_fold_0(toy):
    table = build_table(toy, SETUP)
    scaling = fit_scaling(table, np.arange(6), np.ones(120, dtype=bool))
    other = AnnData(toy["atac"].X, obs=toy["atac"].obs, var=toy["atac"].var.drop(columns=["chrom", "start", "end"]))
    other.var_names = [*toy["atac"].var_names[:60], *(f"chr20:{i}-{i + 500}" for i in range(0, 60_000, 1000))]
    other.varm, other.uns = toy["atac"].varm, toy["atac"].uns
    moved = build_table(MuData({"atac": other}), SETUP)
    assert scaling.share_known(moved) == (0.5, 1.0)
    assert scaling.channels(moved)[:, :60, 1].any() and not scaling.channels(moved)[:, 60:, 1].any()


def test_a_motif_without_a_hit_stays_zero(toy):
    scores = toy["atac"].varm["motif_scores"].tolil()
    scores[:, 2] = 0
    toy["atac"].varm["motif_scores"] = scores.tocsr()
    table = build_table(toy, SETUP)
    motifs = fit_scaling(table, np.arange(6), np.ones(120, dtype=bool)).motifs(table)
    assert np.isfinite(motifs).all() and not motifs[:, 2].any()


def test_motifs_are_held_once_and_accessibility_once_for_each_row(toy):
    """A second channel, the fold, is made of the first as a batch is gathered; 0 where nothing is known of a region."""
    import torch

    table = build_table(toy, SETUP)
    scaling = fit_scaling(table, np.arange(4), np.ones(120, dtype=bool))
    known = np.arange(0, 120, 2)
    scaling = replace(scaling, region_p=scaling.region_p[known], accessibility_p=scaling.accessibility_p[known])
    source = TokenSource(table, scaling)
    held = {name: buffer.numel() for name, buffer in source.named_buffers() if buffer.is_floating_point()}
    assert held == {"token_pf": 121 * 7, "open_kp": 6 * 121, "mean_p": 121, "depth_k": 6}
    open_kp = scaling.accessibility(table).astype(np.float64)
    mean_p = np.full(120, np.nan)
    mean_p[known] = scaling.accessibility_p
    expected = np.stack([open_kp, np.where(np.isnan(mean_p), 0, open_kp - mean_p)], axis=-1)
    assert expected[..., 1].any()
    np.testing.assert_allclose(source.channels_at(np.arange(6)[:, None], np.arange(120)[None]), expected, atol=1e-6)
    tokens = source.gather(torch.arange(6), torch.arange(120).repeat(6, 1)).tokens_brf
    np.testing.assert_allclose(tokens[..., 5:], expected, atol=1e-6)
    np.testing.assert_array_equal(tokens[..., 5:], scaling.channels(table))


def test_gather_and_targets(toy):
    import torch

    table = build_table(toy, SETUP)
    scaling = fit_scaling(table, np.arange(6), np.ones(120, dtype=bool))
    source = TokenSource(table, scaling, targets=scaling.targets(table))
    index = torch.tensor([[5, 117, -1], [0, 1, 2]])
    batch = source.gather(torch.tensor([1, 4]), index)
    np.testing.assert_allclose(batch.tokens_brf[0, 1, :5], scaling.motifs(table)[117])
    np.testing.assert_allclose(batch.tokens_brf[1, 2, 5:], scaling.channels(table)[4, 2])
    assert not batch.tokens_brf[0, 2].any() and batch.pad_br.tolist() == [[False, False, True], [False] * 3]
    assert batch.center_br[0, 1] == table.regions.centers[117]
    assert source.gather(torch.tensor([4]), index[1:]).pad_br is None

    expression = table.expression_kg.astype(np.float64)
    gene = 48  # shares its region with gene 49, on the other strand
    region = table.promoters.region_q[table.promoters.slot_n[table.promoters.gene_n == gene][0]]
    batch = source.gather(torch.tensor([3]), torch.tensor([[region, -1]]))
    target = source.targets(batch)[0]
    plus, minus = (table.promoters.gene_n == g for g in (48, 49))
    shares = {
        s: table.promoters.gene_n[np.isin(table.promoters.slot_n, table.promoters.slot_n[m])]
        for s, m in zip("+-", (plus, minus), strict=True)
    }
    mean, sd_g = expression.mean(0), scaling.spread_g
    for column, genes in ((2, shares["+"]), (3, shares["-"])):
        assert target[0, column] == pytest.approx(((expression[3] - mean) / sd_g)[genes].mean(), rel=1e-4)
    assert target[0, 0] == pytest.approx((mean[shares["+"]].mean() - scaling.level[0]) / scaling.level[1], rel=1e-4)
    assert torch.isnan(target[1]).all()
    assert source.expression(batch)[0, 0, 1] == pytest.approx(expression[3][shares["-"]].mean(), rel=1e-5)
    assert torch.isnan(source.expression(batch)[0, 1]).all()
