"""Presets and further channels, against the published rules written out in float64."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

from scget._errors import InputError
from scget.data import (
    PRESETS,
    Rules,
    TokenSource,
    build_table,
    check_extra,
    fit_scaling,
    lay_tokens,
    training_windows,
)

SETUP = {"modalities": {"atac_layer": "atac", "rna_layer": "rna"}, "atac_layer": None, "rna_layer": None}
COMPAT = PRESETS["compat"]
EVERY = np.ones(120, dtype=bool)


def source_of(mdata, rules, rows=(0, 1, 2, 3)):
    table = build_table(mdata, SETUP)
    scaling = fit_scaling(table, np.array(rows), EVERY, rules=rules)
    return table, scaling, TokenSource(table, scaling, targets=scaling.targets(table))


def published(mdata, row, window):
    """Features of a window, as the published pipeline makes them (regions of the toy data are sorted)."""
    counts = mdata["atac"].X.toarray()[row].astype(np.float64)
    motifs = mdata["atac"].varm["motif_scores"].toarray().astype(np.float64)
    motifs = np.minimum(motifs / motifs[counts > 0].max(axis=0), 1)
    a = np.log10(counts / counts.sum() * 1e5 + 1)
    a = a / a.max()
    return np.column_stack([motifs[window], a[window] / a[window].max()])


@pytest.mark.parametrize("row", [0, 5])
def test_compat_is_the_published_input(toy, row):
    _, _, source = source_of(toy, COMPAT)
    window = np.flatnonzero(toy["atac"].X.toarray()[row][:40] > 0)[3:19]
    batch = source.gather(torch.tensor([row]), torch.tensor(window)[None])
    np.testing.assert_allclose(batch.tokens_brf[0].numpy(), published(toy, row, window), rtol=2e-6)
    assert batch.tokens_brf[0, :, 5].max() == 1
    padded = source.gather(torch.tensor([row]), torch.tensor([*window, -1, -1])[None])
    np.testing.assert_array_equal(padded.tokens_brf[0, :16], batch.tokens_brf[0])
    assert not padded.tokens_brf[0, 16:].any()


@pytest.mark.parametrize("rules", [COMPAT, Rules()])
def test_a_bit_of_score_is_as_much_in_the_features(toy, rules):
    """By the way round: features of regions, whose scores in bits are known; where capped, no more than the score says."""
    table, _, source = source_of(toy, rules)
    for row in (1, 5):
        score_pm = table.motif_pm.toarray().astype(np.float64)
        feature_pm = source.gather(torch.tensor([row]), torch.arange(120)[None]).tokens_brf[0, :, :5].numpy()
        wanted_pm = score_pm * source.per_bit(np.array([row]))
        np.testing.assert_allclose(feature_pm, np.minimum(wanted_pm, 1) if rules is COMPAT else wanted_pm, rtol=1e-6)


def test_compat_labels_are_0_where_barely_open(toy):
    table, scaling, _ = source_of(toy, COMPAT)
    counts = table.counts_kp.astype(np.float64)
    a = np.log10(counts / counts.sum(axis=1, keepdims=True) * 1e5 + 1)
    barely = (a / a.max(axis=1, keepdims=True))[:, table.promoters.region_q] < 0.05
    labels, plain = scaling.targets(table)[..., 2], table.promoters.genes_to_slots(table.expression_kg)
    assert barely.any() and not barely.all()
    np.testing.assert_allclose(labels, np.where(barely, 0, plain), rtol=1e-6)
    np.testing.assert_array_equal(source_of(toy, Rules())[1].targets(table)[..., 2], plain.astype(np.float32))


def test_compat_scales_each_row_by_itself_and_default_by_the_training_rows(toy):
    """Counts and motifs of a new row change the scales of no other, and by default not its own either."""
    table, scaling, before = source_of(toy, COMPAT)
    counts = toy["atac"].X.toarray()
    counts[5] = counts[5][::-1] * 3
    other = toy.copy()
    other["atac"].X = csr_matrix(counts)
    after = TokenSource(build_table(other, SETUP), scaling)
    np.testing.assert_array_equal(before.unit_km[:5], after.unit_km[:5])
    np.testing.assert_array_equal(before.open_kp[:5], after.open_kp[:5])
    assert (before.unit_km[5] != after.unit_km[5]).any()
    default = fit_scaling(table, np.arange(4), EVERY)
    again = fit_scaling(build_table(other, SETUP), np.arange(4), EVERY)
    for name, array in default.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[name], err_msg=name)
    assert default.motif_units(table) is None


def test_binary_accessibility(toy):
    table, scaling, source = source_of(toy, Rules(accessibility="binary"))
    is_open = (table.counts_kp > 0).astype(float)
    np.testing.assert_array_equal(scaling.channels(table)[..., 0], is_open)
    np.testing.assert_allclose(scaling.channels(table)[..., 1], is_open - is_open[:4].mean(axis=0), atol=1e-7)
    assert set(source.open_kp.unique().tolist()) == {0.0, 1.0}


def test_windows_longer_than_the_span_are_left_out(toy):
    table = build_table(toy, SETUP)
    tokens = lay_tokens(table.counts_kp, table.is_promoter_p, table.chrom_p, np.array([0, 3]), EVERY, closed="drop")
    start = table.regions.start
    whole = training_windows(tokens, 8, 4)
    spans = np.array([start[r[r >= 0][-1]] - start[r[r >= 0][0]] for r in whole.regions()])
    limit = int(np.median(spans))
    kept = training_windows(tokens, 8, 4, start_p=start, max_span=limit)
    np.testing.assert_array_equal(kept.regions(), whole.regions()[spans <= limit])
    assert 0 < len(kept) < len(whole)


@pytest.fixture
def marked(toy, rng):
    """Toy data with a layer, a column, and regions of two lengths."""
    atac = toy["atac"]
    atac.layers["H3K27ac"] = csr_matrix(rng.poisson(2.0, atac.shape).astype(np.float32))
    atac.var["CTCF"] = rng.integers(0, 3, 120)
    atac.var["end"] += np.where(np.arange(120) % 3 == 0, 400, 0)
    names = [f"{c}:{s}-{e}" for c, s, e in atac.var[["chrom", "start", "end"]].itertuples(index=False)]
    atac.uns["peak_annotation"]["region"] = (
        atac.uns["peak_annotation"]["region"].map(dict(zip(atac.var_names, names, strict=True))).astype(object)
    )
    atac.var_names = names
    return toy


KEYS = ["H3K27ac", "CTCF", "region_length"]


def test_extra_channels_are_scaled_by_the_training_data(marked):
    table = build_table(marked, {**SETUP, "extra_keys": KEYS})
    region_p = np.arange(120) < 80
    scaling = fit_scaling(table, np.arange(4), region_p, rules=Rules(extra=tuple(KEYS)))
    found = scaling.channels(table)
    assert found.shape == (6, 120, 5)
    layer = marked["atac"].layers["H3K27ac"].toarray().astype(np.float64)
    column = np.broadcast_to(marked["atac"].var["CTCF"].to_numpy(float), (6, 120))
    length = np.broadcast_to((marked["atac"].var["end"] - marked["atac"].var["start"]).to_numpy(float), (6, 120))
    for i, values in enumerate((layer, column, length)):
        seen = values[:4, :80]
        np.testing.assert_allclose(found[..., 2 + i], (values - seen.mean()) / seen.std(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found[..., :2], fit_scaling(table, np.arange(4), region_p).channels(table))


def test_extra_channels_follow_their_regions(marked, rng):
    order = rng.permutation(120)
    shuffled = marked.copy()
    shuffled.mod["atac"] = marked["atac"][:, order].copy()
    setup = {**SETUP, "extra_keys": KEYS}
    np.testing.assert_array_equal(build_table(marked, setup).extra_kpe, build_table(shuffled, setup).extra_kpe)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["H3K4me1"], "no layer or column of var 'H3K4me1' in 'atac'; there are 'H3K27ac', 'chrom'"),
        ("CTCF", "extra_keys='CTCF': a list of different names"),
        (["CTCF", "CTCF"], "a list of different names"),
        (["chrom"], "120 values of 'chrom' are no finite numbers"),
        (["gaps"], "2 values of 'gaps' are no finite numbers"),
    ],
)
def test_extra_channels_that_are_refused(marked, keys, message):
    marked["atac"].var["gaps"] = pd.Series(1.0, marked["atac"].var_names).where(np.arange(120) > 1)
    with pytest.raises(InputError, match=message):
        check_extra(marked["atac"], keys)


def test_rules_survive_json():
    import json

    for rules in (*PRESETS.values(), Rules(extra=("a", "b"), window=7)):
        assert Rules.of(json.loads(json.dumps(rules.asdict()))) == rules
    assert (Rules().n_channels, COMPAT.n_channels, Rules(extra=("a",)).n_channels) == (2, 1, 3)
