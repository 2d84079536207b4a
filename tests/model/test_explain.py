"""Integrated gradients, contrasts of rows and shuffled motifs, against captum, closed forms and sums."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import false_discovery_control, t

from scget._errors import InputError
from scget.model._gene_windows import GeneWindows
from scget.model._motif_null import motif_null

GENES = ["G7", "G0", "G48", "G3"]


def _difference(model, row, gene, against):
    """Prediction in ``row`` less that with the channels of another row, or of the mean, in the same windows, by hand."""
    table, scaling = model.table(), model.scaling
    where = GeneWindows.of(model, table, [gene], [row], 8)
    k, other = (None if r is None else list(table.rows).index(r) for r in (row, against))
    channels = scaling.channels(table)
    mean = channels[k].copy()
    mean[:, 0], mean[:, 1] = mean[:, 0] - mean[:, 1], 0
    reference = mean if other is None else channels[other]
    total = 0.0
    for part in where.parts(8, "test"):
        start = part.batch.tokens_brf.clone()
        start[..., 5:] = torch.tensor(np.where((part.index_br >= 0)[..., None], reference[part.index_br], 0))
        with torch.no_grad():
            total += (where.read(part, part.batch.tokens_brf) - where.read(part, start)).sum().item()
        line, region, share = where.activity_shares(part.jobs)
        total += (share * (channels[k, region, 1] - reference[region, 1])).sum()
    return total


@pytest.mark.parametrize("against", [None, "T1"])
def test_gap_is_what_attributions_lack_and_goes_to_0(trained, against):
    sizes = []
    for steps in (1, 4, 16):
        found = trained.attribute(
            genes=GENES, rows=["T5", "T0"], method="integrated", steps=steps, against=against, top=10**6
        )
        sizes.append(found.gap["gap"].abs().max())
        gap = found.gap.set_index(["of", "row", "gene"])
        sums = found.links.groupby(["row", "gene"])["signed"].sum()
        for (row, gene), total in sums.items():
            line = gap.loc["regions", row, gene]
            assert line["difference"] - line["gap"] == pytest.approx(total, abs=2e-6)
            assert line["difference"] == pytest.approx(_difference(trained, row, gene, against), abs=2e-6)
            line = gap.loc["motifs", row, gene]
            assert line["difference"] - line["gap"] == pytest.approx(found.motifs[row].loc[gene].sum(), abs=5e-6)
    assert sizes[0] > 1e-3 and sizes[1] < sizes[0] / 3 and sizes[2] < 1e-5
    assert len(found.gap) == 2 * 2 * 4 and found.gap["gene"][:4].tolist() == GENES
    assert trained.attribute(genes=["G3"], rows=["T5"]).gap is None


def test_integrated_gradients_are_those_of_captum(trained):
    from captum.attr import IntegratedGradients

    steps, table = 5, trained.table()
    found = trained.attribute(genes=["G7"], rows=["T5"], method="integrated", steps=steps, top=10**6)
    where = GeneWindows.of(trained, table, ["G7"], ["T5"], 8)
    (part,) = where.parts(8, "test")
    assert len(part.jobs) == 1
    x = part.batch.tokens_brf
    without, mean = x.clone(), x.clone()
    without[..., :5] = 0
    mean[..., 5] -= x[..., 6]
    mean[..., 6] = 0
    by_captum = IntegratedGradients(lambda tokens: _read_each(where, part, tokens))
    args = {"n_steps": steps, "method": "gausslegendre"}
    motifs = by_captum.attribute(x, baselines=without, **args)[0, :, :5].sum(0)
    np.testing.assert_allclose(found.motifs["T5"].loc["G7"], motifs.detach(), rtol=1e-4, atol=1e-6)
    regions = by_captum.attribute(x, baselines=mean, **args)[0].sum(1).detach().numpy()
    line, region, share = where.activity_shares(part.jobs)
    activity = pd.Series(share * trained.scaling.channels(table)[5, region, 1], table.regions.names[region])
    expected = pd.Series(regions, table.regions.names[part.index_br[0]]).add(activity, fill_value=0)
    links = found.links.set_index("region")["signed"]
    np.testing.assert_allclose(links, expected[links.index], rtol=1e-4, atol=1e-6)


def _read_each(where, part, tokens):
    """The one line of ``part`` for each of ``tokens``."""
    return where.read(part.take(np.zeros(len(tokens), dtype=int)), tokens)


def test_contrast_of_a_linear_network_flips_with_the_rows(linear):
    """Closed form: slope of accessibility x difference of channels; motif scores are the same, so nothing is left."""
    table, scaling = linear.table(), linear.scaling
    single = np.bincount(table.promoters.gene_n, minlength=51) == 1
    gene = int(np.flatnonzero(np.isfinite(scaling.expression(table.genes)) & single)[0])
    found = {
        (row, other): linear.attribute(genes=[f"G{gene}", "G0"], rows=[row], against=other, top=10**6)
        for row, other in (("T5", "T1"), ("T1", "T5"))
    }
    there, back = (f.links.set_index(["gene", "region"])["signed"] for f in found.values())
    np.testing.assert_allclose(there, -back[there.index], rtol=1e-4, atol=1e-6)
    assert there.abs().max() > 0.1
    for (row, _), f in found.items():
        np.testing.assert_allclose(f.motifs[row], 0, atol=1e-4)
    channels = scaling.channels(table).astype(float)
    net = linear.module
    slope = (net.slope_d @ net.region_embed["embed"].weight).detach().double().numpy()[5:]
    index = pd.Index(table.regions.names).get_indexer(there.loc[f"G{gene}"].index)
    expected = scaling.spread(table.genes)[gene] * (channels[5, index] - channels[1, index]) @ slope
    np.testing.assert_allclose(there.loc[f"G{gene}"], expected, rtol=1e-4, atol=1e-6)


def test_contrast_with_itself_is_nothing_and_unknown_rows_are_refused(trained):
    found = trained.attribute(genes=["G7"], rows=["T5"], against="T5")
    assert (found.links["signed"] == 0).all() and (found.links["score"] == 0).all()
    assert (found.motifs["T5"] == 0).all(axis=None)
    with pytest.raises(InputError, match="no row 'T9'"):
        trained.attribute(genes=["G7"], against="T9")


def test_motif_contrast_is_the_difference_of_two_rows(trained):
    both = trained.attribute(genes=GENES, rows=["T5", "T1"]).motifs
    found = trained.attribute(genes=GENES, rows=["T5", "T0"], against="T1").motifs
    np.testing.assert_allclose(found["T5"], both["T5"] - both["T1"], rtol=1e-4, atol=1e-6)
    assert list(found) == ["T5", "T0"]


def test_null_against_scipy_and_draws_by_hand(trained):
    n = 4
    found = trained.attribute(genes=GENES, rows=["T5"], n_shuffles=n, seed=3)
    assert found.null is not None
    mdata, rng = trained.adata.copy(), np.random.default_rng(3)
    draws = []
    order = trained.table().order_p  # regions of the MuData in genome order
    scores = mdata["atac"].varm["motif_scores"].toarray()
    for _ in range(n):
        shuffled = scores.copy()
        shuffled[order] = scores[order][rng.permutation(120)]
        mdata["atac"].varm["motif_scores"] = shuffled.astype(np.float32)
        draws.append(trained.attribute(mdata, genes=GENES, rows=["T5"]).motifs["T5"].to_numpy(dtype=float))
    z = (found.motifs["T5"] - np.mean(draws, axis=0)) / np.std(draws, axis=0, ddof=1)
    np.testing.assert_allclose(found.null.z["T5"], z, rtol=1e-2, atol=1e-3)
    p = 2 * t.sf(z.abs() / np.sqrt(1 + 1 / n), n - 1)
    expected = false_discovery_control(p.ravel()).reshape(p.shape)
    np.testing.assert_allclose(found.null.fdr["T5"], expected, rtol=1e-2)
    over_genes = np.abs(draws).mean(axis=1)
    np.testing.assert_allclose(found.null.motifs["shuffled"], over_genes.mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(found.null.motifs["mean"], found.motifs["T5"].abs().mean(), rtol=1e-6)
    again = trained.attribute(genes=GENES, rows=["T0", "T5"], n_shuffles=n, seed=3, batch_size=2)
    np.testing.assert_allclose(again.null.z["T5"], found.null.z["T5"], rtol=1e-2, atol=1e-3)


def test_null_calls_noise_noise_and_finds_a_signal(rng):
    """2,000 attributions drawn as their null is, but for the first 50: rates of false ones are as stated."""
    table = pd.DataFrame(rng.normal(size=(100, 20)))
    table.iloc[:10, :5] += 12
    draws = iter(rng.normal(size=(20, 100, 20)))
    found = motif_null(lambda _: {"r": pd.DataFrame(next(draws))}, {"r": table}, 7, 20, 0)
    significant = found.fdr["r"].to_numpy() < 0.1
    assert significant[:10, :5].mean() > 0.9
    assert significant.sum() - significant[:10, :5].sum() <= 0.25 * significant.sum()
    p = 2 * t.sf(np.abs(found.z["r"].to_numpy()[10:]) / np.sqrt(1 + 1 / 20), 19)
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.02)
    assert (found.motifs["fdr"][:5] < 0.01).all() and (found.motifs["fdr"][5:] > 0.01).all()


def test_nothing_that_varies_has_no_z():
    zero = pd.DataFrame(np.zeros((2, 3)))
    found = motif_null(lambda _: {"r": zero}, {"r": zero}, 5, 3, 0)
    assert found.z["r"].isna().all(axis=None) and found.fdr["r"].isna().all(axis=None)


def test_members_of_an_ensemble_are_averaged(trained):
    """Two members that know the same genes count half each; gaps and z-scores are those of the mean."""
    from scget.model import Ensemble

    other = copy.copy(trained)
    other.module = copy.deepcopy(trained.module)
    with torch.no_grad():
        other.module.head_exp["head"].weight *= -0.5
    pair = Ensemble([trained, other], {})
    asked = {"genes": GENES, "rows": ["T5"], "method": "integrated", "steps": 2, "top": 10**6}
    found, one, two = (model.attribute(**asked) for model in (pair, trained, other))
    np.testing.assert_allclose(found.motifs["T5"], (one.motifs["T5"] + two.motifs["T5"]) / 2, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.gap["gap"], (one.gap["gap"] + two.gap["gap"]) / 2, atol=1e-7)
    signed = [f.links.set_index(["gene", "region"])["signed"] for f in (found, one, two)]
    mean = (signed[1] + signed[2].reindex(signed[1].index)) / 2
    np.testing.assert_allclose(signed[0], mean[signed[0].index], rtol=1e-4, atol=1e-7)
    assert found.links["gene"].drop_duplicates().tolist() == GENES
    null = pair.attribute(genes=GENES, rows=["T5"], n_shuffles=3).null
    assert null.z["T5"].shape == (4, 5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "deeplift"}, "method='deeplift': 'gradient' or 'integrated'"),
        ({"steps": 0}, "steps=0: a whole number of at least 1"),
        ({"steps": 2.5}, "steps=2.5"),
        ({"n_shuffles": -1}, "n_shuffles=-1: a whole number"),
        ({"n_shuffles": 2}, "n_shuffles=2: at least 3"),
    ],
)
def test_bad_numbers_are_refused(trained, given, message):
    with pytest.raises(InputError, match=message):
        trained.attribute(genes=["G7"], **given)
