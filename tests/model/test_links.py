"""Scores of regions and genes against closed forms, the network with regions hidden by hand, and planted links."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import scget
from scget._errors import InputError
from scget.model._contact import power_law
from scget.model._gene_windows import GeneWindows

SCORES = ["published", "gradient", "deletion"]
ASKED = {"genes": ["G7", "G0", "G48", "G3"], "rows": ["T5", "T1"]}


def _one_window(model, row="T5"):
    """A seen gene with one promoter, regions of its window, their features in float64, and spread of the gene."""
    table, scaling = model.table(), model.scaling
    seen, n = np.isfinite(scaling.expression(table.genes)), np.bincount(table.promoters.gene_n, minlength=51)
    gene = int(np.flatnonzero(seen & (n == 1))[0])
    where = GeneWindows.of(model, table, [f"G{gene}"], [row], 8)
    (part,) = where.parts(8, "test")
    at = part.index_br[0][part.index_br[0] >= 0]
    k = list(table.rows).index(row)
    features_rf = np.hstack([scaling.motifs(table)[at], scaling.channels(table)[k, at]]).astype(np.float64)
    distance = table.regions.centers[at] - table.regions.centers[part.jobs["region"].iloc[0]]
    return f"G{gene}", table.regions.names[at], features_rf, scaling.spread(table.genes)[gene], distance


@pytest.mark.parametrize("score", SCORES)
def test_closed_forms_for_a_linear_network(linear, score):
    gene, names, x_rf, spread, distance = _one_window(linear)
    net = linear.module
    v, w, c = (p.detach().double().numpy() for p in (net.slope_d, *net.region_embed["embed"].parameters()))
    found = linear.links(genes=[gene], rows=["T5"], score=score).set_index("region")
    assert set(found.index) == set(names)
    contact = np.exp(5.9594510043736655 - 1.024238616787792 * np.log(np.maximum(np.abs(distance), 5000) + 1))
    np.testing.assert_allclose(found.loc[names, "contact"], contact, rtol=1e-12)
    departs = spread * x_rf[:, 6] * (v @ w[:, 5:]).sum()
    if score == "deletion":
        signed = spread * (x_rf @ w.T + c) @ v
        size = np.abs(signed)
    else:
        signed = departs
        size = np.abs(departs) if score == "gradient" else (spread * np.linalg.norm(v) + contact) * x_rf[:, 5]
    np.testing.assert_allclose(found.loc[names, "signed"], signed, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.loc[names, "score"], size / size.sum(), rtol=1e-3, atol=1e-6)
    assert (np.diff(found["score"]) <= 0).all()


def test_deletion_is_the_prediction_less_that_with_the_region_hidden(trained):
    """With attention, sums over distance and gene activity, region by region and by hand, promoters summed."""
    table = trained.table()
    found = trained.links(genes=["G0"], rows=["T5"], score="deletion").set_index("region")["signed"]
    where = GeneWindows.of(trained, table, ["G0"], ["T5"], 8)
    (part,) = where.parts(8, "test")
    assert len(part.jobs) == 2
    open_p = trained.scaling.channels(table)[5, :, 0]
    line, region, share = where.activity_shares(part.jobs)
    by_activity = np.bincount(region, share * open_p[region], 120)
    x = part.batch.tokens_brf
    for p in np.unique(part.index_br[part.index_br >= 0])[::3]:
        here = torch.tensor(part.index_br == p)
        without, hidden = torch.where(here[..., None], 0.0, x), torch.tensor(part.index_br < 0) | here
        with torch.no_grad():
            effect = (where.read(part, x) - where.read(part, without, hidden)).sum().item()
        assert found[table.regions.names[p]] == pytest.approx(effect + by_activity[p], abs=2e-6)
    outside = np.setdiff1d(np.flatnonzero(by_activity), part.index_br)
    np.testing.assert_allclose(found[table.regions.names[outside]], by_activity[outside], rtol=1e-6)


@pytest.mark.parametrize("score", SCORES)
def test_order_of_genes_and_rows_and_size_of_batches_do_not_matter(trained, score):
    found = trained.links(**ASKED, score=score)
    pairs = found[["row", "gene"]].drop_duplicates().to_numpy().tolist()
    assert pairs == [[row, gene] for row in ASKED["rows"] for gene in ASKED["genes"]]
    sums = found.groupby(["row", "gene"])["score"].sum()
    np.testing.assert_allclose(sums, 1)
    other = trained.links(genes=ASKED["genes"][::-1], rows=["T1", "T5"], score=score, batch_size=1)
    at = ["row", "gene", "region"]
    numbers = ["distance", "start", "end", "score", "signed", "contact"]
    one, two = (table.set_index(at)[numbers] for table in (found, other))
    np.testing.assert_allclose(one, two.reindex(one.index), rtol=1e-3, atol=2e-6)
    top = trained.links(**ASKED, score=score, top=2)
    pd.testing.assert_frame_equal(top, found.groupby(["row", "gene"], sort=False).head(2).reset_index(drop=True))
    near = trained.links(**ASKED, score=score, max_distance=20_000)
    assert near["distance"].abs().max() <= 20_000 < found["distance"].abs().max()
    expected = found[found["distance"].abs() <= 20_000].set_index(at)["signed"]
    got = near.set_index(at)["signed"]
    if score != "deletion":  # where only the regions near each promoter are deleted from its own window
        np.testing.assert_allclose(got[expected.index], expected, rtol=1e-3, atol=2e-6)


def test_gradient_links_are_the_regions_of_attribute(trained):
    found = trained.links(**ASKED, score="gradient").set_index(["row", "gene", "region"])
    expected = trained.attribute(**ASKED, top=10**6).links.set_index(["row", "gene", "region"])
    for column in ("signed", "score", "distance"):
        np.testing.assert_allclose(found[column], expected.loc[found.index, column], rtol=1e-3, atol=1e-6)


def test_ensemble_is_the_mean_of_its_members(trained):
    import copy

    other = copy.copy(trained)
    other.module = copy.deepcopy(trained.module)
    with torch.no_grad():
        other.module.head_exp["head"].weight *= -0.5
    pair = scget.model.Ensemble([trained, other], {})
    args = {"genes": ["G0", "G7"], "rows": ["T5"], "score": "deletion"}
    found, one, two = (m.links(**args).set_index(["gene", "region"])["signed"] for m in (pair, trained, other))
    np.testing.assert_allclose(found, ((one + two) / 2)[found.index], rtol=1e-3, atol=1e-6)


def test_contact_by_function_table_and_cooler(linear, tmp_path):
    cooler = pytest.importorskip("cooler")
    gene, names, x_rf, spread, distance = _one_window(linear)
    asked = {"genes": [gene], "rows": ["T5"], "score": "published"}
    assert power_law(np.array([0.0, -5000.0, 20_000.0])) == pytest.approx(
        [0.063117, 0.063117, 0.015252], rel=1e-2
    )  # by hand
    by_function = linear.links(**asked, contact=lambda d: 1 / (1 + d)).set_index("region")["contact"]
    np.testing.assert_allclose(by_function[names], 1 / (1 + np.abs(distance)), rtol=1e-12)
    given = pd.DataFrame({"gene": gene, "region": names[:2], "contact": [3.0, 0.5]})
    by_table = linear.links(**asked, contact=given).set_index("region")["contact"]
    assert by_table[names].tolist() == [3.0, 0.5] + [0.0] * (len(names) - 2)

    table, size = linear.table(), 50_000
    bins = cooler.binnify(pd.Series(dict.fromkeys(map(str, table.chroms), 650000)), size)
    first, second = np.triu_indices(13)
    chrom = table.chroms.tolist().index(names[0].split(":")[0])
    pixels = pd.DataFrame({"bin1_id": first + 13 * chrom, "bin2_id": second + 13 * chrom, "count": first * 20 + second})
    path = str(tmp_path / "x.cool")
    cooler.create_cooler(path, bins, pixels, ordered=True)
    by_cooler = linear.links(**asked, contact=path).set_index("region")["contact"]
    at = pd.Index(table.regions.names).get_indexer(names)
    region = table.regions.centers[at] // size
    promoter = (table.regions.centers[at] - distance) // size
    low, high = np.minimum(region, promoter), np.maximum(region, promoter)
    np.testing.assert_array_equal(by_cooler[names], low * 20 + high)
    none = linear.links(**asked, contact=None).set_index("region")["score"]
    np.testing.assert_allclose(none[names], x_rf[:, 5] / x_rf[:, 5].sum(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"score": "abc"}, "score='abc': 'published', 'gradient' or 'deletion'"),
        ({"max_distance": 0}, "max_distance=0: bp above 0"),
        ({"top": 0}, "top=0: at least 1"),
        ({"contact": 3}, "contact is a int; 'power_law', the path"),
        ({"contact": pd.DataFrame({"gene": ["G7"]})}, "contacts lacks 'region', 'contact'"),
        ({"contact": pd.DataFrame({"gene": ["G7"] * 2, "region": ["a"] * 2, "contact": 1.0})}, "twice"),
        ({"contact": pd.DataFrame({"gene": ["G7"], "region": ["a"], "contact": [1.0]})}, "no pair of gene and region"),
        ({"contact": lambda d: -d - 1}, "contacts are of shape .* missing or below 0"),
        ({"genes": ["G50"]}, "1 genes have no promoter region"),
    ],
)
def test_bad_input_is_refused(trained, given, message):
    with pytest.raises(InputError, match=message):
        trained.links(**{"genes": ["G7"], "rows": ["T5"], **given})


def test_a_file_that_is_no_cooler_is_refused(trained, tmp_path):
    pytest.importorskip("cooler")
    (tmp_path / "x.cool").write_text("chr1 1 2")
    with pytest.raises(InputError, match=r"x.cool' is no cooler file"):
        trained.links(genes=["G7"], rows=["T5"], contact=tmp_path / "x.cool")


def test_links_judged_by_tested_pairs(linear):
    """Elements whose deletion lowers the closed form most are called regulated: deletion finds all, distance does not."""
    gene, names, x_rf, _, distance = _one_window(linear)
    net = linear.module
    v, w, c = (p.detach().double().numpy() for p in (net.slope_d, *net.region_embed["embed"].parameters()))
    effect = np.abs((x_rf @ w.T + c) @ v)
    regions = scget.pp._regions.parse_regions(names)
    tested = pd.DataFrame({"chrom": regions.chrom, "chromStart": regions.start, "chromEnd": regions.end})
    tested = tested.assign(
        measuredGeneSymbol=gene, Regulated=effect > np.median(effect), distanceToTSS=np.abs(distance)
    )
    found = linear.links(genes=[gene], rows=["T5"], score="deletion")
    judged = scget.bm.crispri(found, tested, row="T5", n_bootstrap=0).query("bin == 'all'").set_index("predictor")
    assert judged.loc["prediction", "auprc"] == 1
    assert judged.loc["inverse_distance", "auprc"] < 0.9


def test_lines_stand_in_the_order_asked(trained):
    """Though genes are computed along the genome."""
    genes, rows = ["G48", "G0", "G21", "G3"], ["T5", "T1"]
    for found in (trained.links(genes=genes, rows=rows, top=2), trained.attribute(genes=genes, rows=rows, top=2).links):
        pairs = found[["row", "gene"]].drop_duplicates()
        assert [*pairs.itertuples(index=False, name=None)] == [(row, gene) for row in rows for gene in genes]
    gap = trained.attribute(genes=genes, rows=rows, method="integrated", steps=1).gap
    assert gap["gene"].tolist() == genes * 4
