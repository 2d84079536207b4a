"""Baselines against closed forms on planted data, and what must not matter to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from scget.bm import BASELINES, pearson
from scget.bm._baselines import KNOWS_ALL_GENES, Task
from scget.bm._mlp import network
from scget.bm._trees import _components
from scget.data import Promoters, RegionTable, fit_scaling
from scget.pp._regions import Regions

TRAIN = np.array([0, 1, 2, 3, 4, 6])  # row 5 and 7 are held out
LEARNT = ["ridge", "boosted_trees", "mlp_no_context", "mlp_per_region"]
EXACT = [name for name in BASELINES if name not in LEARNT]


def make_table(rng, *, n_genes=60, n_regions=90, n_rows=8, n_motifs=4):
    """Three chromosomes; genes with one, two or no promoter, some regions inside others, some of like centre."""
    start = np.sort(rng.choice(10 * n_regions // 3, (3, n_regions // 3), replace=False), axis=1).ravel() * 1500
    width = rng.choice([500, 500, 500, 30_000], n_regions)
    counts_kp = rng.poisson(np.exp(rng.normal(2, 1, n_regions) + rng.normal(0, 1, (n_rows, n_regions))))
    gene_n = np.concatenate([np.arange(n_genes - 2), [0, 1]])  # the last two have no promoter, the first two have two
    pairs = np.unique(np.stack([rng.integers(0, 2 * n_regions, len(gene_n)), gene_n], axis=1), axis=0)
    slots, slot_n = np.unique(pairs[:, 0], return_inverse=True)
    return RegionTable(
        rows=np.array([f"row{k}" for k in range(n_rows)], dtype=object),
        regions=Regions(np.repeat(["chr1", "chr2", "chr3"], n_regions // 3).astype(object), start, start + width),
        order_p=np.arange(n_regions),
        chroms=np.array(["chr1", "chr2", "chr3"], dtype=object),
        chrom_p=np.repeat([0, 1, 2], n_regions // 3),
        counts_kp=counts_kp.astype(np.float32),
        motif_pm=sp.csr_matrix((rng.random((n_regions, n_motifs)) < 0.5) * rng.gamma(9, 1, (n_regions, n_motifs))),
        motifs=np.array([f"m{m}" for m in range(n_motifs)], dtype=object),
        motif_scan={},
        annotation={},
        genes=np.array([f"G{g:02d}" for g in range(n_genes)], dtype=object),
        promoters=Promoters(slots // 2, slots % 2, pairs[:, 1], slot_n, n_genes),
        expression_kg=rng.gamma(4, 0.5, (n_rows, n_genes)).astype(np.float32),
        depth_k=np.full(n_rows, 1e6),
        extra_kpe=np.zeros((n_rows, n_regions, 0)),
    )


def make_task(table, train_k=TRAIN):
    region_p = table.chrom_p < 2
    scaling = fit_scaling(table, train_k, region_p)
    return Task(table, scaling, train_k, np.isfinite(scaling.expression(table.genes)))


@pytest.fixture
def task(rng):
    return make_task(make_table(rng))


def with_expression(task, expression_kg):
    return make_task(replace(task.table, expression_kg=np.asarray(expression_kg, dtype=np.float32)), task.row_k)


def centred(task, x_kg):
    return x_kg - x_kg[task.row_k].mean(axis=0)


def slow_sums(task, weigh, value_p):
    """``weigh(distance) * value`` summed around each promoter slot, averaged over the slots of a gene; by loops."""
    table, pairs = task.table, task.table.promoters
    out_g = np.full(pairs.n_genes, np.nan)
    for g in np.unique(pairs.gene_n):
        sums = []
        for slot in pairs.slot_n[pairs.gene_n == g]:
            here = pairs.region_q[slot]
            distance_p = np.abs(table.regions.centers - table.regions.centers[here])
            near_p = (table.chrom_p == table.chrom_p[here]) & (distance_p <= 100_000)
            sums.append(sum(weigh(distance_p[p]) * value_p[p] for p in np.flatnonzero(near_p)))
        out_g[g] = np.mean(sums)
    return out_g


def fall(decay):
    return lambda distance: np.exp(-distance / decay)


def test_sums_near_genes_equal_slow_loops(task):
    able = task.able_g
    assert able.sum() == 58 and not able[-2:].any()
    weighings = [lambda d: d == 0, fall(1e3), fall(5e3), fall(2e4), fall(1e5)]
    ends = [(0, 1e3), (1e3, 3e3), (3e3, 1e4), (1e4, 3e4), (3e4, 1e5)]
    bins = [lambda d, low=low, high=high: low < d <= high for low, high in ends]
    for k in (0, 5):
        open_p = task.accessibility_kp[k]
        expected = np.stack([slow_sums(task, weigh, open_p)[able] for weigh in weighings], axis=-1)
        np.testing.assert_allclose(task.decayed_kaf[k], expected, rtol=1e-9)
        expected = np.stack([slow_sums(task, weigh, open_p)[able] for weigh in bins], axis=-1)
        np.testing.assert_allclose(task.binned_kaf[k], expected, rtol=1e-9)
        motif_pm = task.table.motif_pm.toarray() / task.scaling.motif_m
        expected = np.stack([slow_sums(task, fall(5e3), open_p * m)[able] for m in motif_pm.T], axis=-1)
        np.testing.assert_allclose(task.motifs_kam[k], expected, rtol=1e-5)
    dense = replace(task.table, motif_pm=task.table.motif_pm.toarray())
    np.testing.assert_allclose(make_task(dense).motifs_kam, task.motifs_kam, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "weigh"), [("promoter_accessibility", lambda d: d == 0), ("gene_activity", fall(5_000))]
)
def test_planted_linear_rule_is_found(task, name, weigh):
    activity_kg = np.stack([slow_sums(task, weigh, open_p) for open_p in task.accessibility_kp])
    activity_kg = np.nan_to_num(activity_kg, nan=1.0)
    planted_kg = 3 + 0.2 * activity_kg.mean(axis=0) + 0.1 * centred(task, activity_kg)
    predicted = BASELINES[name](with_expression(task, planted_kg))
    able = task.able_g
    departure = (predicted - planted_kg[TRAIN].mean(axis=0))[:, task.seen_g]
    expected = 0.1 * centred(task, activity_kg)[:, task.seen_g]
    np.testing.assert_allclose(departure, expected / 1.001, atol=1e-5)  # shrunk by the penalty of a thousandth
    level_g = 3 + 0.2 * activity_kg[TRAIN].mean(axis=0)
    planted_kg = level_g + 0.1 * centred(task, activity_kg)
    predicted = BASELINES[name](with_expression(task, planted_kg))
    unseen = able & ~task.seen_g
    np.testing.assert_allclose(predicted[5, unseen], planted_kg[5, unseen], atol=5e-3)
    assert np.isnan(predicted[:, ~able]).all() and np.isfinite(predicted[:, able]).all()


def test_ridge_equals_sklearn_on_slow_features(task):
    able, motif_pm = task.able_g, task.table.motif_pm.toarray() / task.scaling.motif_m
    x_kgf = np.stack(
        [
            np.stack([slow_sums(task, fall(5_000), open_p * v) for v in [*motif_pm.T, np.ones(len(open_p))]], axis=-1)
            for open_p in task.accessibility_kp
        ]
    )
    observed, mean_g = task.table.expression_kg.astype(np.float64), task.mean_g
    mean_gf, expected = x_kgf[TRAIN].mean(axis=0), np.full(observed.shape, np.nan)
    x_kgf, learn = x_kgf - mean_gf, np.flatnonzero(able & task.seen_g)
    scale = StandardScaler().fit(mean_gf[learn])
    level = Ridge(alpha=1e-3 * len(learn)).fit(scale.transform(mean_gf[learn]), mean_g[learn])
    base_g = np.where(task.seen_g, mean_g, 0)
    base_g[able & ~task.seen_g] = level.predict(scale.transform(mean_gf[able & ~task.seen_g]))
    x, y = x_kgf[TRAIN][:, learn].reshape(-1, 5), (observed[TRAIN] - mean_g)[:, learn].ravel()
    scale = StandardScaler().fit(x)
    change = Ridge(alpha=1e-3 * len(y)).fit(scale.transform(x), y)
    for k in range(8):
        expected[k, able] = base_g[able] + change.predict(scale.transform(x_kgf[k, able]))
    np.testing.assert_allclose(BASELINES["ridge"](task), np.maximum(expected, 0), rtol=1e-4)


def test_best_row_finds_the_planted_twin(task):
    counts_kp = task.table.counts_kp.copy()
    counts_kp[5], counts_kp[7] = counts_kp[3], 2 * counts_kp[6]  # deeper by a factor of two, which must not matter
    twin = make_task(replace(task.table, counts_kp=counts_kp))
    predicted = BASELINES["best_training_row"](twin)
    np.testing.assert_array_equal(predicted[[5, 7]], task.table.expression_kg[[3, 6]].astype(np.float64))
    for k in TRAIN:  # a training row copies another one
        assert not np.array_equal(predicted[k], task.table.expression_kg[k])
    likeness = np.corrcoef(twin.accessibility_kp)[0, TRAIN[1:]]
    np.testing.assert_array_equal(predicted[0], task.table.expression_kg[TRAIN[1:][likeness.argmax()]])


def test_similar_rows_is_kernel_ridge_in_closed_form(task):
    predicted, observed = BASELINES["similar_rows"](task), task.table.expression_kg.astype(np.float64)
    for k in range(8):
        others = [j for j in TRAIN if j != k]
        around_p, around_g = task.accessibility_kp[others].mean(axis=0), observed[others].mean(axis=0)
        departs_jp = task.accessibility_kp[others] - around_p
        size = np.square(departs_jp).sum(axis=1).mean()
        # The other way round: regression on regions, whose penalty is the same; no inner product of rows in it.
        gram_pp = departs_jp.T @ departs_jp + 0.1 * size * np.eye(90)
        effect_pg = np.linalg.solve(gram_pp, departs_jp.T @ (observed[others] - around_g))
        expected = around_g + (task.accessibility_kp[k] - around_p) @ effect_pg
        np.testing.assert_allclose(predicted[k], np.maximum(expected, 0), rtol=1e-7, atol=1e-9)


def test_nearest_row_plus_planted_effect_is_exact(task):
    profile_kaf = task.decayed_kaf
    slope_f = np.array([0.3, 0.1, -0.05, 0.02, 0.01])
    planted_kg = np.full((8, 60), 6.0)
    planted_kg[:, task.able_g] += (profile_kaf - profile_kaf.mean(axis=0)) @ slope_f
    predicted = BASELINES["nearest_row_plus_accessibility"](with_expression(task, planted_kg))
    copied = BASELINES["best_training_row"](with_expression(task, planted_kg))
    off, off_copied = np.abs(predicted - planted_kg).mean(), np.abs(copied - planted_kg).mean()
    assert off < 0.02 * off_copied  # what the penalty of a thousandth leaves
    np.testing.assert_array_equal(predicted[:, ~task.able_g], copied[:, ~task.able_g])
    level_kg = np.full((8, 60), 6.0)
    level_kg[:, task.able_g] += np.arange(8)[:, None] * 0.1  # same for all genes: no accessibility tells it
    twin = task.table.counts_kp.copy()
    twin[5] = twin[3]
    task = make_task(replace(task.table, counts_kp=twin, expression_kg=level_kg.astype(np.float32)))
    np.testing.assert_array_equal(
        BASELINES["nearest_row_plus_accessibility"](task)[5], task.table.expression_kg[3].astype(np.float64)
    )  # nothing differs from the nearest row, so nothing is added


def test_trees_find_a_rule_that_no_line_can(rng):
    table = make_table(rng, n_genes=600, n_regions=900)
    task = make_task(table)
    fold_ka = centred(task, task.decayed_kaf[..., 0])
    high_a = task.decayed_kaf[TRAIN, :, 0].mean(axis=0) > np.median(task.decayed_kaf[..., 0])
    planted_kg = np.full(table.expression_kg.shape, 5.0)
    planted_kg[:, task.able_g] += 2 * high_a + np.where(high_a, -1, 1) * np.sign(fold_ka)  # sign turns with the mean
    task = with_expression(task, planted_kg)
    mean_g, scores = task.mean_g, {}
    for name in ("boosted_trees", "ridge"):
        predicted = BASELINES[name](task)
        seen, unseen = task.seen_g, task.able_g & ~task.seen_g
        scores[name] = pearson((predicted[5] - mean_g)[seen], (planted_kg[5] - mean_g)[seen])
        scores[name, "unseen"] = pearson(predicted[5, unseen], planted_kg[5, unseen])
    assert scores["boosted_trees"] > 0.95 > 0.4 > scores["ridge"]
    assert scores["boosted_trees", "unseen"] > 0.9


def test_components_are_singular_vectors(rng):
    parts = [rng.normal(size=(50, 40)) @ np.diag(rng.gamma(1, 1, 40)) for _ in range(3)]
    parts[0][:, 7] = parts[1][:, 7] = parts[2][:, 7] = 0  # a motif that is nowhere
    stacked = np.concatenate(parts)
    scaled = np.delete(stacked, 7, axis=1) / np.sqrt(np.square(np.delete(stacked, 7, axis=1)).mean(axis=0))
    expected = np.linalg.svd(scaled, full_matrices=False)[1][:32]
    projected = stacked @ _components(parts)
    np.testing.assert_allclose(np.linalg.norm(projected, axis=0), expected)
    np.testing.assert_allclose(projected.T @ projected, np.diag(expected**2), atol=1e-8)
    few = [part[:, :6] for part in parts]
    np.testing.assert_allclose(np.square(np.concatenate(few) @ _components(few)).mean(axis=0), 1)


def test_published_perceptron_has_its_size():
    assert sum(p.numel() for p in network(283).parameters()) == 277_250


@pytest.mark.slow
def test_published_perceptron_learns_a_planted_rule_of_strands(rng):
    table = make_table(rng, n_genes=300, n_regions=600)
    task = make_task(table)
    pairs = table.promoters
    # Expression follows openness on the + strand and goes against it on the - strand.
    open_kq = task.accessibility_kp[:, pairs.region_q]
    slot_kq = 2 + np.where(pairs.strand_q == 0, 1, -1) * np.tanh(open_kq - 1)
    planted_kg = np.nan_to_num(pairs.slots_to_genes(slot_kq), nan=1.0)
    before = torch.random.get_rng_state()
    predicted = BASELINES["mlp_per_region"](with_expression(task, planted_kg))
    assert torch.equal(before, torch.random.get_rng_state())
    # A slot that genes share is taught their mean, so genes with a slot of their own are asked.
    own = np.array([(pairs.gene_n == g).sum() == 1 for g in range(300)])
    asked = own & task.able_g & ~task.seen_g
    assert asked.sum() > 50
    assert pearson(predicted[5, asked], planted_kg[5, asked]) > 0.95
    assert np.isnan(predicted[:, ~task.able_g]).all() and (predicted[:, task.able_g] > 0).all()


@pytest.fixture
def quick(monkeypatch):
    """Fewer steps and trees where what is asked does not depend on their number."""
    monkeypatch.setattr("scget.bm._mlp.MIN_STEPS", 20)
    monkeypatch.setattr("scget.bm._trees.N_TREES", 20)


@pytest.mark.parametrize("name", BASELINES)
def test_held_out_expression_changes_nothing(quick, task, rng, name):
    expression_kg = task.table.expression_kg.copy()
    expression_kg[[5, 7]] = rng.normal(50, 20, (2, 60))
    if name not in KNOWS_ALL_GENES:
        expression_kg[:, ~task.seen_g] = 99
    np.testing.assert_array_equal(BASELINES[name](with_expression(task, expression_kg)), BASELINES[name](task))


@pytest.mark.parametrize("name", ["best_training_row", "similar_rows"])
def test_own_expression_of_a_training_row_changes_nothing(task, name):
    expression_kg = task.table.expression_kg.copy()
    expression_kg[2] = 99
    before, after = BASELINES[name](task), BASELINES[name](with_expression(task, expression_kg))
    np.testing.assert_array_equal(before[2], after[2])


@pytest.mark.parametrize("name", BASELINES)
def test_order_of_rows_and_genes_plays_no_part(quick, task, rng, name):
    order_k, order_g, table = rng.permutation(8), rng.permutation(60), task.table
    back_g = np.argsort(order_g)
    pairs = table.promoters
    mixed = replace(
        table,
        rows=table.rows[order_k],
        counts_kp=table.counts_kp[order_k],
        depth_k=table.depth_k[order_k],
        extra_kpe=table.extra_kpe[order_k],
        genes=table.genes[order_g],
        expression_kg=table.expression_kg[order_k][:, order_g],
        promoters=replace(pairs, gene_n=back_g[pairs.gene_n]),
    )
    predicted = BASELINES[name](make_task(mixed, np.flatnonzero(np.isin(order_k, TRAIN))))
    np.testing.assert_allclose(predicted, BASELINES[name](task)[order_k][:, order_g], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", BASELINES)
def test_rows_beside_change_nothing(quick, task, name):
    fewer = np.array([0, 1, 2, 3, 4, 5, 6])  # without held-out row 7
    table = replace(
        task.table,
        rows=task.table.rows[fewer],
        counts_kp=task.table.counts_kp[fewer],
        expression_kg=task.table.expression_kg[fewer],
        depth_k=task.table.depth_k[fewer],
        extra_kpe=task.table.extra_kpe[fewer],
    )
    np.testing.assert_allclose(BASELINES[name](make_task(table)), BASELINES[name](task)[fewer], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", BASELINES)
def test_one_training_row(quick, task, name):
    predicted = BASELINES[name](make_task(task.table, np.array([2])))
    assert np.isfinite(predicted[5, task.able_g]).all()
    if name in ("best_training_row", "similar_rows", "nearest_row_plus_accessibility"):
        assert np.isnan(predicted[2]).all()  # there is no other to tell it by
        np.testing.assert_array_equal(predicted[5], task.table.expression_kg[2].astype(np.float64))
