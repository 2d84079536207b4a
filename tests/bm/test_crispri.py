"""The CRISPRi benchmark against scikit-learn, a loop over all overlaps, and known figures of the K562 set."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from scget import tl
from scget._errors import InputError, ScgetWarning
from scget.bm import crispri
from scget.pp._regions import parse_regions

RULES = ["random", "inverse_distance", "accessibility_by_distance", "activity_by_distance"]


@pytest.fixture
def tested(rng) -> pd.DataFrame:
    """300 pairs of 60 elements, some overlapping, and 9 genes on 3 chromosomes; a third regulated."""
    start = rng.integers(0, 300_000, 60)
    elements = pd.DataFrame(
        {
            "chrom": rng.choice(["chr1", "chr2", "chr10"], 60),
            "chromStart": start,
            "chromEnd": start + rng.integers(200, 6000, 60),
        }
    )
    pairs = elements.merge(pd.DataFrame({"measuredGeneSymbol": [f"G{i}" for i in range(9)]}), how="cross")
    pairs = pairs.sample(300, random_state=0).reset_index(drop=True)
    return pairs.assign(
        Regulated=rng.random(300) < 0.33,
        distanceToTSS=np.exp(rng.uniform(0, 14, 300)).astype(int),
        **{"DHS.RPM": rng.gamma(1, 1, 300).round(1), "H3K27ac.RPM.expandedRegion": rng.gamma(1, 1, 300)},
    )


@pytest.fixture
def links(tested, rng) -> pd.DataFrame:
    """Links of 8 of the genes to regions of all widths, as ``tl.attribute`` writes them."""
    start = rng.integers(0, 300_000, 200)
    region = [
        f"{chrom}:{s}-{s + w}"
        for chrom, s, w in zip(
            rng.choice(["chr1", "chr2", "chr10"], 200), start, rng.integers(100, 3000, 200), strict=True
        )
    ]
    table = pd.DataFrame({"row": "K562", "gene": rng.choice([f"G{i}" for i in range(8)], 200), "region": region})
    table = table.drop_duplicates(["gene", "region"])
    return table.assign(distance=0, score=rng.normal(size=len(table)).round(1)).astype(
        {"row": "category", "gene": "category", "region": "category"}
    )


def _value(table: pd.DataFrame, predictor: str, column: str = "auprc", where: str = "all") -> float:
    return table.set_index(["bin", "predictor"]).loc[(where, predictor), column]


def _by_loop(tested: pd.DataFrame, links: pd.DataFrame, aggregate) -> np.ndarray:
    out = np.full(len(tested), np.nan)
    for i, pair in enumerate(tested.itertuples()):
        found = []
        for link in links.itertuples():
            chrom, span = link.region.split(":")
            start, end = map(int, span.split("-"))
            if link.gene == pair.measuredGeneSymbol and chrom == pair.chrom:
                if start < pair.chromEnd and pair.chromStart < end:
                    found.append(link.score)
        if found:
            out[i] = aggregate(found)
    return out


def test_figures_of_k562(shared_data):
    folder = shared_data / "crispri_k562"
    path = folder / "EPCrisprBenchmark_combined_data.training_K562.GRCh38.tsv.gz"
    known = dict(zip(RULES, [0.045, 0.438, 0.504, 0.530], strict=True))
    for tss in (None, folder / "CollapsedGeneBounds.hg38.TSS500bp.bed.gz"):
        table = crispri(None, path, tss=tss, n_bootstrap=0)
        everything = table[table["bin"] == "all"].set_index("predictor")
        assert everything["auprc"].to_dict() == pytest.approx(known, abs=0.005)
        assert set(everything["n"]) == {10_356}
        assert set(everything["n_positive"]) == {471}
    by_bin = table[table["predictor"] == "random"].set_index("bin")
    assert by_bin["n"].iloc[1:].sum() == 10_356
    assert by_bin["n_positive"].to_dict() == {"all": 471, "0-10 kb": 133, "10-100 kb": 256, "> 100 kb": 82}


def test_bins_and_rules_against_sklearn(tested):
    table = crispri(tested["DHS.RPM"].to_numpy(), tested, n_bootstrap=0)
    far = tested["distanceToTSS"].clip(lower=1000)
    scores = {
        "prediction": tested["DHS.RPM"],
        "random": 0 * far,
        "inverse_distance": 1 / far,
        "accessibility_by_distance": tested["DHS.RPM"] / far**1.02,
        "activity_by_distance": np.sqrt(tested["DHS.RPM"] * tested["H3K27ac.RPM.expandedRegion"]) / far**1.02,
    }
    label = pd.cut(tested["distanceToTSS"], [-1, 10_000, 100_000, np.inf], labels=["0-10 kb", "10-100 kb", "> 100 kb"])
    assert len(table) == 4 * len(scores)
    for line in table.itertuples():
        inside = (label == line.bin) | (line.bin == "all")
        truth = tested["Regulated"][inside]
        score = scores[line.predictor][inside]
        assert line.auprc == pytest.approx(average_precision_score(truth, score))
        assert (line.n, line.n_positive, line.n_missing) == (inside.sum(), truth.sum(), 0)
        precision, recall, _ = precision_recall_curve(truth, score)
        assert line.precision_50 == pytest.approx(precision[recall >= 0.5][-1])
        assert line.precision_70 == pytest.approx(precision[recall >= 0.7][-1])


@pytest.mark.parametrize(("aggregate", "function"), [("sum", np.sum), ("max", np.max)])
def test_overlap_against_a_loop(tested, links, aggregate, function):
    with pytest.warns(ScgetWarning, match="1 of 9 tested genes have no link, first 'G8'"):
        table = crispri(links, tested, aggregate=aggregate, n_bootstrap=0)
    score = _by_loop(tested, links, function)
    assert 20 < np.isfinite(score).sum() < 280
    lowest = np.where(np.isnan(score), -1e9, score)
    assert _value(table, "prediction") == pytest.approx(average_precision_score(tested["Regulated"], lowest))
    assert _value(table, "prediction", "n_missing") == np.isnan(score).sum()
    same = crispri(pd.Series(score, tested.index), tested, n_bootstrap=0)
    pd.testing.assert_frame_equal(same, table)


def test_few_links_warn(tested):
    pair = tested.iloc[0]
    region = f"{pair['chrom']}:{pair['chromStart']}-{pair['chromEnd']}"
    genes = tested["measuredGeneSymbol"].unique()
    links = pd.DataFrame({"gene": genes, "region": region, "score": 1.0})
    with pytest.warns(ScgetWarning, match="of 300 pairs have no link and score the lowest.*assembly"):
        table = crispri(links, tested, n_bootstrap=0)
    assert 270 < _value(table, "prediction", "n_missing") < 300


@pytest.mark.parametrize("draw", ["pairs", "elements"])
def test_order_of_pairs_and_links_does_not_count(tested, links, draw):
    links = links.assign(gene=links["gene"].astype(str).replace("G0", "G8"))  # then G0 has none
    pairs = tested[tested["measuredGeneSymbol"] != "G0"]
    a = crispri({"mine": links, "other": pairs["DHS.RPM"]}, pairs, n_bootstrap=20, draw=draw)
    mixed = pairs.sample(frac=1, random_state=1)
    shuffled = {"mine": links.sample(frac=1, random_state=2), "other": pairs["DHS.RPM"].sample(frac=1, random_state=3)}
    pd.testing.assert_frame_equal(a, crispri(shuffled, mixed, n_bootstrap=20, draw=draw))
    assert list(a["predictor"][:2]) == ["mine", "other"]


def test_a_perfect_score_is_found(tested):
    table = crispri(tested["Regulated"].astype(float), tested, n_bootstrap=30)
    perfect = table[table["predictor"] == "prediction"]
    assert (perfect[["auprc", "low", "high", "precision_50", "precision_70"]] == 1).all().all()


def test_an_element_that_spans_two_regions():
    tested = pd.DataFrame(
        {
            "chrom": ["chr1", "chr1", "chr1"],
            "chromStart": [100, 400, 1000],
            "chromEnd": [300, 600, 1200],
            "measuredGeneSymbol": "A",
            "Regulated": [True, False, False],
            "distanceToTSS": 5000,
        }
    )
    links = pd.DataFrame(
        {"gene": "A", "region": ["chr1:50-150", "chr1:200-400", "chr1:590-700"], "score": [0.3, 0.3, 0.5]}
    )  # the first two touch the first element, the second only abuts the second element
    assert _value(crispri(links, tested, n_bootstrap=0), "prediction") == 1.0  # 0.6 over 0.5
    assert _value(crispri(links, tested, aggregate="max", n_bootstrap=0), "prediction") == 0.5  # 0.3 under 0.5
    assert _value(crispri(links, tested, n_bootstrap=0), "prediction", "n_missing") == 1


def test_intervals_follow_what_is_drawn(tested):
    def width(draw: str, pairs: pd.DataFrame = tested) -> float:
        table = crispri(pairs["DHS.RPM"].to_numpy(), pairs, draw=draw, n_bootstrap=200)
        low, high = _value(table, "inverse_distance", "low"), _value(table, "inverse_distance", "high")
        assert low < _value(table, "inverse_distance") < high
        return high - low

    twice = pd.concat([tested, tested.assign(measuredGeneSymbol=tested["measuredGeneSymbol"] + "b")], ignore_index=True)
    assert width("pairs", twice) < 0.85 * width("pairs")  # copies feign twice the data: 1 / sqrt(2)
    assert width("elements", twice) == pytest.approx(width("elements"), rel=0.15)  # but not where elements are drawn
    assert {width(draw) > 0 for draw in ("genes", "chromosomes")} == {True}


def test_random_interval_is_that_of_a_share(tested):
    table = crispri(None, tested, n_bootstrap=2000)
    share = tested["Regulated"].mean()
    error = 1.96 * np.sqrt(share * (1 - share) / len(tested))
    low, high = (_value(table, "random", c) for c in ("low", "high"))
    assert (low, high) == pytest.approx((share - error, share + error), abs=0.01)


def test_distance_by_each_way(tested):
    center = (tested["chromStart"] + tested["chromEnd"]) // 2
    site = pd.DataFrame({"measuredGeneSymbol": [f"G{i}" for i in range(9)], "startTSS": np.arange(9) * 40_000})
    pairs = tested.drop(columns="distanceToTSS").merge(site, how="left", on="measuredGeneSymbol")
    expected = average_precision_score(pairs["Regulated"], 1 / (center - pairs["startTSS"]).abs().clip(lower=1000))
    assert _value(crispri(None, pairs, n_bootstrap=0), "inverse_distance") == pytest.approx(expected)
    sites = pd.concat(
        [
            pd.DataFrame(
                {"chr": c, "start": site["startTSS"] - 250, "end": site["startTSS"] + 250, "name": site.iloc[:, 0]}
            )
            for c in ("chr1", "chr2", "chr10")
        ]
    )
    assert _value(crispri(None, tested, tss=sites, n_bootstrap=0), "inverse_distance") == pytest.approx(expected)
    signed = tested.assign(distanceToTSS=-tested["distanceToTSS"])  # upstream
    pd.testing.assert_frame_equal(crispri(None, signed, n_bootstrap=0), crispri(None, tested, n_bootstrap=0))
    at_once = tested.assign(distanceToTSS=0)  # all count as 1 kb, and none divides by zero
    assert _value(crispri(None, at_once, n_bootstrap=0), "inverse_distance") == pytest.approx(
        tested["Regulated"].mean()
    )


def test_what_is_left_out_is_counted(tested):
    verdict = tested["Regulated"].astype(object)
    verdict.iloc[:7] = None
    with pytest.warns(ScgetWarning, match="7 of 300 pairs have no 'Regulated'"):
        table = crispri(tested["DHS.RPM"].to_numpy(), tested.assign(Regulated=verdict), n_bootstrap=0)
    assert _value(table, "random", "n") == 293
    expected = average_precision_score(tested["Regulated"][7:], tested["DHS.RPM"][7:])  # an array keeps its lines
    assert _value(table, "prediction") == pytest.approx(expected)
    valid = tested.assign(ValidConnection=["TRUE"] * 290 + ["overlaps gene body"] * 10)
    with pytest.warns(ScgetWarning, match="10 of 300 pairs are not true in 'ValidConnection' and are left out"):
        assert _value(crispri(None, valid, valid_only=True, n_bootstrap=0), "random", "n") == 290
    with pytest.warns(ScgetWarning, match="10 of 300 .* are kept; valid_only=True"):
        assert _value(crispri(None, valid, n_bootstrap=0), "random", "n") == 300


def test_other_names_of_columns_and_files(tested, tmp_path):
    names = {"gene": "target", "regulated": "hit", "accessibility": "atac"}
    own = tested.rename(columns={"measuredGeneSymbol": "target", "Regulated": "hit", "DHS.RPM": "atac"})
    own["hit"] = own["hit"].map({True: "TRUE", False: "FALSE"})
    path = tmp_path / "tested.tsv.gz"
    own.to_csv(path, sep="\t", index=False)
    table = crispri(None, path, columns=names, n_bootstrap=0)
    pd.testing.assert_frame_equal(table, crispri(None, tested, n_bootstrap=0))
    bare = tested.drop(columns=["DHS.RPM", "H3K27ac.RPM.expandedRegion"])
    assert set(crispri(None, bare, n_bootstrap=0)["predictor"]) == set(RULES[:2])


def test_a_bin_without_positives_has_no_figure(tested):
    near = tested.assign(distanceToTSS=5000)
    table = crispri(None, near, n_bootstrap=10)
    assert table[table["bin"] == "> 100 kb"][["auprc", "low", "high"]].isna().all().all()
    assert set(table.loc[table["bin"] == "> 100 kb", "n"]) == {0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="Regulated"), "lacks the columns 'Regulated'.*Name yours"),
        (lambda t: t.drop(columns="distanceToTSS"), "neither 'distanceToTSS' nor 'startTSS'"),
        (lambda t: t.assign(Regulated="maybe"), "300 values of 'Regulated' are neither true nor false, first 'maybe'"),
        (lambda t: t.assign(chromEnd=t["chromStart"]), "regions have no length"),
        (lambda t: t.assign(distanceToTSS=np.nan), "300 values of 'distanceToTSS' are no numbers"),
        (lambda t: t.assign(measuredGeneSymbol=None), "300 pairs lack chromosome or gene"),
        (lambda t: t.assign(**{"DHS.RPM": -1.0}), "300 pairs have an accessibility that is missing or below 0"),
        (lambda t: t.iloc[:0], "holds no pairs"),
    ],
)
def test_references_that_are_refused(tested, change, message):
    with pytest.raises(InputError, match=message):
        crispri(None, change(tested))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda k: k.drop(columns="score"), "links lack the columns 'score'"),
        (lambda k: k.assign(row=["a"] + ["b"] * (len(k) - 1)), "links are of 2 rows .*choose"),
        (lambda k: k.assign(gene="ENSG1"), "no gene of the links is among those tested"),
        (lambda k: pd.concat([k, k.iloc[:2]]), "2 links occur twice"),
        (lambda k: k.assign(score=np.nan), "links have no finite 'score'"),
        (lambda k: k.assign(region=k["region"].astype(str).str[3:]), "no chromosome in common.*'chr'"),
        (lambda k: k.assign(region=k["region"].astype(str) + "x"), "cannot read"),
        (
            lambda k: k.assign(region=[f"chr1:{9**9 + i}-{9**9 + i + 1}" for i in range(len(k))]),
            "no link touches.*assembly",
        ),
    ],
)
def test_links_that_are_refused(tested, links, change, message):
    covered = tested[tested["measuredGeneSymbol"] != "G8"]
    with pytest.raises(InputError, match=message):
        crispri(change(links), covered)


@pytest.mark.parametrize(
    ("scores", "arguments", "message"),
    [
        (np.zeros(299), {}, "has 299 scores for 300 pairs"),
        (np.full(300, np.inf), {}, "300 infinite scores"),
        (pd.Series(np.zeros(300), [f"p{i}" for i in range(300)]), {}, "300 pairs of the reference not at all"),
        (["a"] * 300, {}, "one number per tested pair"),
        ({"random": np.zeros(300)}, {}, "name of a rule"),
        (None, {"aggregate": "mean"}, "aggregate is 'mean'; there are 'sum', 'max'"),
        (None, {"draw": "rows"}, "draw is 'rows'"),
        (None, {"floor": 0}, "floor is 0"),
        (None, {"n_bootstrap": -1}, "n_bootstrap=-1"),
        (None, {"columns": {"genes": "x"}}, "'genes', which is not read"),
        (None, {"columns": {"gene": "x"}}, "no column 'x'"),
        (None, {"valid_only": True}, "no column 'ValidConnection'"),
    ],
)
def test_arguments_that_are_refused(tested, scores, arguments, message):
    with pytest.raises(InputError, match=message):
        crispri(scores, tested, **arguments)


def test_links_of_a_model_as_they_are_written(toy, trained):
    tl.attribute(toy, trained, genes=["G1", "G2", "G3", "G4", "G5"], rows=["T0", "T1"])
    links = toy.uns["get"]["links"]
    mine = links[links["row"] == "T1"]
    regions = parse_regions(mine["region"])
    tested = pd.DataFrame(
        {
            "chrom": regions.chrom,
            "chromStart": regions.start + 100,
            "chromEnd": regions.end - 100,
            "measuredGeneSymbol": mine["gene"].astype(str),
            "Regulated": mine["score"].to_numpy() > mine["score"].median(),
            "distanceToTSS": mine["distance"],
        }
    )
    table = crispri(links, tested, row="T1", n_bootstrap=0)
    assert _value(table, "prediction") == 1
    assert _value(table, "prediction", "n_missing") == 0
    assert _value(crispri(links, tested, row="T0", n_bootstrap=0), "prediction") < 1


def test_one_row_of_several(tested, links):
    pairs = tested[tested["measuredGeneSymbol"] != "G8"]
    both = pd.concat([links.assign(row="K562"), links.assign(row="Mono", score=-links["score"])])
    one = crispri(both, pairs, row="K562", n_bootstrap=0)
    pd.testing.assert_frame_equal(one, crispri(links, pairs, n_bootstrap=0))
    with pytest.raises(InputError, match="no links of row 'HSC'"):
        crispri(both, pairs, row="HSC")
