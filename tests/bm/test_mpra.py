"""The MPRA benchmark against scipy and scikit-learn, planted activity, and known figures of WTC11."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from scget._errors import InputError
from scget.bm import _sequences, mpra

COMPLEMENT = str.maketrans("ACGT", "TGCA")
SITE = "AGATAAG"
MOTIF = {"GATA": np.eye(4)[["ACGT".index(base) for base in SITE]] * 0.96 + 0.01}


@pytest.fixture
def assay(rng) -> pd.DataFrame:
    """120 elements of 60 bases in both orientations and 10 in one, between adaptors; a site makes active, noise 1."""
    inserts = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(130)]
    for i in range(0, 130, 2):
        at = rng.integers(0, 53)
        inserts[i] = inserts[i][:at] + SITE + inserts[i][at + 7 :]
    true = [3.0 * any(SITE in text for text in (s, s.translate(COMPLEMENT)[::-1])) for s in inserts]
    forward = pd.DataFrame({"seq": inserts, "true": true, "pair": [f"e{i}" for i in range(130)]})
    back = forward.iloc[:120].assign(seq=[s.translate(COMPLEMENT)[::-1] for s in inserts[:120]])
    both = pd.concat([forward, back], ignore_index=True).sample(frac=1, random_state=0, ignore_index=True)
    return both.assign(seq="ACCAACT" + both["seq"] + "CATTGCG", activity=both["true"] + rng.normal(size=250))


def _line(table: pd.DataFrame, metric: str, predictor: str = "prediction") -> pd.Series:
    return table.set_index(["metric", "predictor"]).loc[(metric, predictor)]


def test_metrics_against_libraries(rng):
    measured = rng.normal(size=80).round(1)
    score = (measured + rng.normal(size=80)).round(1)
    table = mpra({"a": score, "b": 2 * score}, measured, n_bootstrap=500)
    assert len(table) == 6
    assert _line(table, "pearson", "a")["value"] == pytest.approx(stats.pearsonr(score, measured).statistic)
    assert _line(table, "spearman", "a")["value"] == pytest.approx(stats.spearmanr(score, measured).statistic)
    assert _line(table, "r2", "b")["value"] == pytest.approx(r2_score(measured, 2 * score))
    assert set(table["n"]) == {80}
    expected = stats.pearsonr(score, measured).confidence_interval()  # by Fisher's z
    assert list(_line(table, "pearson", "b")[["low", "high"]]) == pytest.approx(list(expected), abs=0.05)


def test_pairs_give_the_ceiling_and_means(assay):
    table = mpra(assay["true"], assay["activity"], pairs=assay["pair"], n_bootstrap=200)
    one = assay[assay["pair"].duplicated()].set_index("pair")
    other = assay[~assay["pair"].duplicated()].set_index("pair").loc[one.index]
    each_way = [np.append(one["activity"], other["activity"]), np.append(other["activity"], one["activity"])]
    r = stats.pearsonr(*each_way).statistic
    single = _line(table, "pearson", "other_orientation")
    assert single["value"] == pytest.approx(r)
    assert single["n"] == 240
    assert r == pytest.approx(2.25 / 3.25, abs=0.1)  # variance of what was planted over all
    mean = _line(table, "mean_pearson", "other_orientation")
    assert list(mean[["value", "low", "high"]]) == pytest.approx(
        [2 * x / (1 + x) for x in single[["value", "low", "high"]]]
    )
    means = assay.groupby("pair")[["true", "activity"]].mean()[assay.groupby("pair").size() == 2]
    expected = stats.pearsonr(means["true"], means["activity"]).statistic
    assert _line(table, "mean_pearson")[["value", "n"]].tolist() == pytest.approx([expected, 120])
    assert _line(table, "mean_pearson")["value"] == pytest.approx(
        np.sqrt(mean["value"]), abs=0.05
    )  # no error but noise
    assert _line(table, "pearson")["value"] == pytest.approx(np.sqrt(single["value"]), abs=0.05)


def test_pairs_are_drawn_together(assay):
    def width(**pairs) -> float:
        line = _line(mpra(scores, activity, n_bootstrap=1000, **pairs), "pearson")
        return line["high"] - line["low"]

    once = assay[~assay["pair"].duplicated()]
    scores, activity = np.tile(once["true"], 2), np.tile(once["activity"], 2)  # each measurement copied
    assert width() == pytest.approx(width(pairs=np.tile(once["pair"], 2)) / np.sqrt(2), rel=0.1)


def test_order_and_orientation_do_not_count(assay):
    def table(data: pd.DataFrame) -> pd.DataFrame:
        names = {"motifs": MOTIF, "kmer": 3, "folds": 3}
        return mpra(data["true"], data["activity"], sequences=data["seq"], adaptor=7, n_bootstrap=20, **names)

    expected = table(assay)
    pd.testing.assert_frame_equal(table(assay.sample(frac=1, random_state=5)), expected)
    turned = assay.assign(seq=[s[:7] + s[7:-7].translate(COMPLEMENT)[::-1] + s[-7:] for s in assay["seq"]])
    columns = ["metric", "predictor", "value", "n"]  # names sort as before, as each is the smaller of both strands
    pd.testing.assert_frame_equal(table(turned)[columns], expected[columns], atol=1e-9)


def test_planted_motif_is_found_by_the_baselines(assay):
    names = {"motifs": MOTIF, "sequences": assay["seq"], "adaptor": 7}
    table = mpra(None, assay["activity"], n_bootstrap=0, **names)
    best = stats.pearsonr(assay["true"], assay["activity"]).statistic
    assert _line(table, "pearson", "ridge_motifs")["value"] > 0.9 * best
    assert _line(table, "pearson", "ridge_kmers")["value"] > 0.3
    assert _line(table, "pearson", "gc_content")["value"] < 0.3
    assert _line(table, "pearson", "other_orientation")["n"] == 240  # pairs read from the sequences
    assert np.isnan(table[["low", "high"]]).all().all()


def test_orientations_never_stand_on_both_sides(rng):
    inserts = ["".join(rng.choice(list("ACGT"), 40)) for _ in range(60)]
    measured = np.tile(rng.normal(size=60), 2)  # noise, the same in both orientations
    sequences = inserts + [s.translate(COMPLEMENT)[::-1] for s in inserts]
    table = mpra(None, measured, sequences=sequences, kmer=4, n_bootstrap=0)
    assert _line(table, "pearson", "ridge_kmers")["value"] < 0.3  # 1 could be had from the other orientation


def test_folds_against_a_fit_by_hand(rng):
    x, y, group = rng.normal(size=(40, 1)), rng.normal(size=40), np.repeat(np.arange(20), 2)
    predicted = _sequences.out_of_fold(x, y, group, 4, "x")
    found = set()
    for g in range(20):  # each pair's fit is one of those that leave out five pairs, this one among them
        own = group == g
        slope = np.polyfit(x[own, 0], predicted[own], 1)
        found.add(tuple(slope.round(6)))
    assert len(found) == 4
    folds = {
        slope: np.isin(group, [g for g in range(20) if _slope(x, predicted, group == g) == slope]) for slope in found
    }
    for slope, held in folds.items():
        assert held.sum() == 10
        fit = LinearRegression().fit(x[~held], y[~held])
        assert (fit.coef_[0], fit.intercept_) == pytest.approx(slope, abs=1e-5)


def _slope(x: np.ndarray, y: np.ndarray, own: np.ndarray) -> tuple[float, ...]:
    return tuple(np.polyfit(x[own, 0], y[own], 1).round(6))


def test_features_against_counting_by_hand(rng):
    sequences = np.array(["".join(rng.choice(list("ACGTN"), 30)) for _ in range(20)] + ["AC"], dtype=object)
    counts = _sequences.kmer_counts(sequences, 3)
    assert counts.shape == (21, 32)  # 64 words, none its own reverse complement
    words = sorted(
        {min(w, w.translate(COMPLEMENT)[::-1]) for w in (a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT")}
    )
    for row, s in zip(counts, sequences, strict=True):
        parts = [s[i : i + 3] for i in range(len(s) - 2)]
        assert row.tolist() == [parts.count(w) + parts.count(w.translate(COMPLEMENT)[::-1]) for w in words]
    gc = [(s.count("G") + s.count("C")) / max(len(s.replace("N", "")), 1) for s in sequences]
    assert _sequences.gc_content(sequences)[:, 0] == pytest.approx(gc)


def test_figures_of_wtc11(shared_data):
    measured = pd.read_csv(shared_data / "mpra_wtc11" / "WTC11_valid.tsv.gz", sep="\t")
    table = mpra(None, measured["mean_value"], sequences=measured["seq"], adaptor=15, kmer=3, n_bootstrap=20)
    line = _line(table, "pearson", "other_orientation")
    assert line["value"] == pytest.approx(0.74, abs=0.005)
    assert line["n"] == 2 * 2306
    assert _line(table, "mean_pearson", "other_orientation")["value"] == pytest.approx(0.85, abs=0.005)
    assert 0.1 < _line(table, "pearson", "gc_content")["value"] < _line(table, "pearson", "ridge_kmers")["value"] < 0.74


def test_series_are_matched_by_index(assay):
    mixed = assay["true"].sample(frac=1, random_state=1)
    a = mpra(mixed, assay["activity"], n_bootstrap=0)
    pd.testing.assert_frame_equal(a, mpra(assay["true"], assay["activity"], n_bootstrap=0))
    with pytest.raises(InputError, match="index of 'prediction' is not that of activity"):
        mpra(mixed.rename(index=lambda i: i + 1), assay["activity"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores": np.zeros(5)}, "'prediction' has 5 scores for 6 activities"),
        ({"scores": {"a": [1, 2, np.nan, np.nan, 3, 4]}}, "2 of 6 values of 'a' are missing.*first that of sequence 2"),
        ({"scores": ["a"] * 6}, "'prediction' is of shape"),
        ({"scores": {"gc_content": np.zeros(6)}}, "name of a baseline"),
        ({"activity": [1, 2, np.nan, 3, 4, 5]}, "1 of 6 values of 'activity' are missing"),
        ({"activity": [1, 2]}, "2 sequences; at least 3"),
        ({"pairs": ["a"] * 5}, "5 pairs for 6 activities"),
        ({"pairs": ["a", "a", "a", "b", "b", "c"]}, "1 pairs are of more than two sequences, first 'a' of 3"),
        ({"pairs": ["a", None, "b", "b", "c", "c"]}, "1 pairs have no name, first that of sequence 1"),
        ({"sequences": ["ACGTA"] * 6}, "1 sequences occur more than once, first 'ACGTA'"),
        ({"sequences": ["AC", "AG", "CA", "CC", "XX", "AA"]}, "1 sequences hold other letters.*first 'XX'"),
        ({"sequences": "ACGTAC"}, "sequences are one text"),
        ({"sequences": ["ACA", "AGA", "CAA", "CCA", "CGA", "AAA"], "adaptor": 2}, "6 sequences have no base between"),
        ({"sequences": ["ACA", "AGA", "CAA", "CCA", "CGA", "AAA"], "adaptor": -1}, "adaptor is -1"),
        ({"sequences": ["ACA", "AGA", "CAA", "CCA", "CGA", "AAA"]}, "6 elements are too few for 5 folds"),
        ({"sequences": ["ACA", "AGA", "CAA", "CCA", "CGA", "AAA"], "folds": 1}, "folds is 1"),
        (
            {"sequences": ["ACA", "TGT", "CAA", "CCA", "CGA", "AAA"], "pairs": list("abcdef")},
            "different names in pairs",
        ),
        ({"motifs": "H12CORE.meme"}, "motifs are given without sequences"),
        ({"kmer": 9}, "kmer is 9"),
        ({"n_bootstrap": -1}, "n_bootstrap=-1"),
    ],
)
def test_what_is_refused(arguments, message):
    given = {"scores": np.arange(6.0), "activity": np.arange(6.0) ** 2, **arguments}
    with pytest.raises(InputError, match=message):
        mpra(given.pop("scores"), given.pop("activity"), **given)
