"""What the picture of predicted and measured activity shows."""

from __future__ import annotations

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import scget
from scget._errors import InputError


@pytest.fixture
def assay(rng):
    """Ten elements in both orientations and five in one; a Series of predictions in another order."""
    forward = ["".join(s) for s in rng.choice(list("ACGT"), (15, 20))]
    sequences = forward + [s[::-1].translate(str.maketrans("ACGT", "TGCA")) for s in forward[:10]]
    names = [f"s{i}" for i in range(25)]
    activity = pd.Series(rng.normal(size=25), names)
    scores = (activity + rng.normal(size=25)).iloc[::-1]
    return sequences, activity, scores


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_points_lines_and_title(assay):
    sequences, activity, scores = assay
    ax = scget.pl.mpra(scores, activity, sequences=["AC" + s + "GT" for s in sequences], adaptor=2, show=False)
    xy = np.column_stack([scores[activity.index], activity])
    lines, points = ax.collections
    np.testing.assert_allclose(points.get_offsets(), xy)
    ends = {tuple(np.round(line.ravel(), 9)) for line in lines.get_segments()}
    assert ends == {tuple(np.round(xy[[i, 15 + i]].ravel(), 9)) for i in range(10)}
    both, other = np.append(np.arange(10), np.arange(15, 25)), np.append(np.arange(15, 25), np.arange(10))
    r, ceiling = (np.corrcoef(*pair)[0, 1] for pair in (xy.T, (activity.iloc[both], activity.iloc[other])))
    assert ax.get_title() == f"r = {r:.2f}, 25 sequences\n(orientations agree at r = {ceiling:.2f})"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted activity", "measured activity")


def test_a_table_of_one_row(assay):
    _, activity, scores = assay
    table = pd.DataFrame({"row": "T5", "activity": scores, "effect": 0.0})
    fig = scget.pl.mpra(table, activity, show=False, return_fig=True)
    assert len(fig.axes[0].collections) == 1 and "orientations" not in fig.axes[0].get_title()
    with pytest.raises(InputError, match="scores of 2 rows \\('T5', 'T6'\\)"):
        scget.pl.mpra(pd.concat([table, table.assign(row="T6")]), activity)
    with pytest.raises(InputError, match="24 scores for 25"):
        scget.pl.mpra(scores.to_numpy()[1:], activity)
