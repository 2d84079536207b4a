"""Scores stand where the table says, the model and those that know the genes apart."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

import scget
from scget._errors import InputError

mpl.use("agg")
KNOWING = "best_training_row"


@pytest.fixture(scope="module")
def table(trained):
    names = ["training_mean", KNOWING, "ridge"]
    return scget.bm.compare(trained, predictors=names, metrics=["pearson", "delta_pearson"], n_bootstrap=50)


@pytest.fixture(autouse=True)
def closed():
    yield
    mpl.pyplot.close("all")


def dots(ax):
    """Points by label, in the order drawn."""
    return {c.get_label(): c for c in ax.collections if not c.get_label().startswith("_")}


def test_dots_and_intervals_are_the_numbers_of_the_table(table):
    ax = scget.pl.scores(table, "pearson", "chroms", show=False)
    found = dots(ax)
    assert list(found) == ["GET", "training_mean (knows all genes)", f"{KNOWING} (knows all genes)", "ridge"]
    mine = table[(table["split"] == "chroms") & (table["metric"] == "pearson")]
    rows = [t.get_text() for t in ax.get_yticklabels()]
    assert rows == ["T0", "T1", "T2", "T3", "T4"] and ax.yaxis_inverted()  # from top to bottom
    lines = [c for c in ax.collections if isinstance(c, mpl.collections.LineCollection)]
    for (label, points), segments in zip(found.items(), lines, strict=True):
        one = mine[mine["predictor"] == label.split()[0]]
        at = points.get_offsets()
        np.testing.assert_allclose(at[:, 0], one["value"])
        assert np.round(at[:, 1]).tolist() == [rows.index(r) for r in one["row"]]
        ends = np.array(segments.get_segments())[:, :, 0]
        np.testing.assert_allclose(ends, one[["low", "high"]])
    heights = np.concatenate([p.get_offsets()[:, 1] for p in found.values()])
    assert len(np.unique(heights.round(6))) == 4 * 5  # none hides another


def test_the_model_and_those_that_know_the_genes_look_different(table):
    found = dots(scget.pl.scores(table, "pearson", "both", show=False))
    assert to_rgba("black") == tuple(found["GET"].get_facecolor()[0])
    sizes = {name: points.get_sizes()[0] for name, points in found.items()}
    assert sizes.pop("GET") > max(sizes.values())
    hollow = {name for name, p in found.items() if tuple(p.get_facecolor()[0]) == to_rgba("white")}
    assert hollow == {name for name in found if "knows all genes" in name} and len(hollow) == 2
    ours = dots(scget.pl.scores(table, "pearson", "rows", model="ridge", predictors=["ridge", "GET"], show=False))
    assert list(ours) == ["ridge", "GET"] and to_rgba("black") == tuple(ours["ridge"].get_facecolor()[0])


def test_what_has_no_value_takes_no_room(table):
    found = dots(scget.pl.scores(table, show=False))  # delta r of the rows never seen
    assert "training_mean: no value" in found and "ridge" in found
    heights = sorted(p.get_offsets()[0, 1] for name, p in found.items() if "no value" not in name)
    np.testing.assert_allclose(heights, [-0.8 / 3, 0, 0.8 / 3], atol=1e-12)


def test_folds_are_told_apart(table):
    two = pd.concat([table.assign(fold="a"), table.assign(fold="b")])
    ax = scget.pl.scores(two, "pearson", "both", show=False)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["T5 (a)", "T5 (b)"]
    with pytest.raises(InputError, match="more than once"):
        scget.pl.scores(two.drop(columns="fold"), "pearson", show=False)


def test_axes_figures_and_labels(table):
    ax = mpl.pyplot.subplots()[1]
    assert scget.pl.scores(table, ax=ax) is ax and ax.get_xlabel() == "delta r, unseen rows"
    assert isinstance(scget.pl.scores(table, "pearson", "both", return_fig=True), mpl.figure.Figure)
    bare = table.drop(columns=["low", "high"])  # a table of older versions
    assert len(dots(scget.pl.scores(bare, "pearson", show=False))) == 4


def test_what_is_not_there_is_named(table):
    for arguments, message in (
        ({"metric": "magic"}, "no metric 'magic'; there are 'pearson', 'delta_pearson'"),
        ({"split": "cells"}, "no split 'cells' of 'delta_pearson'; there are 'rows', 'both', 'chroms'"),
        ({"predictors": ["mlp"]}, "no predictor 'mlp'; there are 'GET', 'training_mean'"),
        ({"table": table.drop(columns="row")}, "table lacks 'row'"),
        ({"table": 3}, "table lacks 'split'"),
    ):
        with pytest.raises(InputError, match=message):
            scget.pl.scores(**{"table": table} | arguments)
