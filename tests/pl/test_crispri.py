"""Curves of precision and recall are those of the pairs, and enclose the areas of bm.crispri."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

import scget
from scget._errors import InputError

mpl.use("agg")


@pytest.fixture
def tested(rng):
    n = 80
    start = np.arange(n) * 2000
    table = {"chrom": "chr1", "chromStart": start, "chromEnd": start + 500, "measuredGeneSymbol": "A"}
    table |= {"Regulated": rng.random(n) < 0.3, "startTSS": 30_250, "DHS.RPM": rng.random(n)}
    yield pd.DataFrame(table)
    mpl.pyplot.close("all")


@pytest.fixture
def scores(rng, tested):
    noise = rng.integers(0, 6, len(tested)) / 2  # ties
    return pd.Series(tested["Regulated"] + noise).mask(np.arange(len(tested)) % 9 == 0)


def test_curves_are_those_of_scikit_learn(tested, scores):
    curves = scget.bm.crispri_curves({"mine": scores}, tested)
    areas = scget.bm.crispri({"mine": scores}, tested, n_bootstrap=0).set_index(["bin", "predictor"])["auprc"]
    one = curves.query("bin == 'all' and predictor == 'mine'")
    precision, recall, _ = precision_recall_curve(tested["Regulated"], scores.fillna(-1))  # sklearn ends with (1, 0)
    np.testing.assert_allclose(one["recall"], recall[:-1][::-1])
    np.testing.assert_allclose(one["precision"], precision[:-1][::-1])
    for (bin, name), lines in curves.groupby(["bin", "predictor"]):
        area = (np.diff(lines["recall"], prepend=0) * lines["precision"]).sum()
        assert area == pytest.approx(areas[bin, name])
    assert set(areas.index) == set(curves.groupby(["bin", "predictor"]).groups)
    assert curves.groupby("bin")["n"].first().drop("all").sum() == 80


def test_areas_drawn_are_areas_told(tested, scores):
    curves = scget.bm.crispri_curves({"GET": scores, "other": -scores}, tested)
    ax = scget.pl.crispri(curves, show=False)
    told = {text.get_text().split(":")[0]: text.get_text() for text in ax.get_legend().get_texts()}
    assert list(told) == ["GET", "other", "inverse distance", "accessibility by distance", "random"]
    for line in ax.lines[:4]:
        x, y = line.get_data()
        assert line.get_drawstyle() == "steps-pre"
        area = (np.diff(x) * y[1:]).sum()  # each step has the height of its right end
        assert told[line.get_label().split(":")[0]].endswith(f"{area:.2f}")
    truth, ours = tested["Regulated"], ax.lines[0]
    assert ours.get_label() == f"GET: {average_precision_score(truth, scores.fillna(-1)):.2f}"
    assert [line.get_linestyle() for line in ax.lines[:4]] == ["-", "-", "--", "--"]
    assert ax.lines[4].get_ydata()[0] == truth.mean()
    far = scget.pl.crispri(curves, "10-100 kb", show=False).get_title()
    distance = (tested["chromStart"] + 250 - 30_250).abs()
    here = (distance > 1e4) & (distance <= 1e5)
    assert far == f"{truth[here].sum()} of {here.sum()} pairs regulated at 10-100 kb"


def test_what_has_no_curve(tested, scores):
    curves = scget.bm.crispri_curves(scores, tested.assign(Regulated=tested.index < 20))
    with pytest.raises(
        InputError, match="no regulated pair in bin '> 100 kb'; there are 'all', '0-10 kb', '10-100 kb'"
    ):
        scget.pl.crispri(curves, "> 100 kb")
    with pytest.raises(InputError, match="lacks 'recall'"):
        scget.pl.crispri(scget.bm.crispri(scores, tested, n_bootstrap=0))
    with pytest.raises(InputError, match="aggregate is 'mean'"):
        scget.bm.crispri_curves(scores, tested, aggregate="mean")
