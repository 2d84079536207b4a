"""The circle of motifs shows the edges of the table."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch

import scget
from scget._errors import InputError

mpl.use("agg")


@pytest.fixture
def edges():
    table = pd.DataFrame(
        [
            ("T0", "B", "A", 0.9, 1.0),
            ("T0", "A", "C/1", -0.45, 0.6),
            ("T0", "C/1", "D", 0.8, 0.2),
            ("T1", "A", "B", 0.1, 1.0),
        ],
        columns=["row", "source", "target", "weight", "frequency"],
    )
    yield table
    mpl.pyplot.close("all")


def lines_of(ax):
    return [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]


def test_arrows_of_a_causal_graph(edges):
    ax = scget.pl.motif_network(edges, "T0", show=False)
    weak, strong = lines_of(ax)  # the strongest lie on top; that of frequency 0.2 is not drawn
    assert (weak.get_linewidth(), strong.get_linewidth()) == (0.4 + 2.6 / 2, 3.0)
    assert to_rgb(strong.get_edgecolor()) == to_rgb("#D55E00") and to_rgb(weak.get_edgecolor()) == to_rgb("#0072B2")
    place = {text.get_text(): np.array(text.get_position()) / 1.06 for text in ax.texts}
    assert list(place) == ["A", "B", "C/1"]
    np.testing.assert_allclose(np.column_stack(strong._posA_posB).T, [place["B"], place["A"]])  # from, to
    np.testing.assert_allclose(place["A"], [0, 1], atol=1e-9)
    assert type(strong.get_arrowstyle()).__name__ == "CurveFilledB"
    assert len(lines_of(scget.pl.motif_network(edges, "T0", min_frequency=0, top=1, show=False))) == 1
    without = scget.pl.motif_network(edges.assign(frequency=np.nan), "T0", show=False)
    assert len(lines_of(without)) == 3


def test_lines_of_pairs(edges):
    pairs = edges[edges["row"] == "T0"].rename(columns={"source": "motif_a", "target": "motif_b", "weight": "mean"})
    ax = scget.pl.motif_network(pairs.assign(rms=[0.1, 0.4, 0.2]), show=False)
    lines = lines_of(ax)
    np.testing.assert_allclose([line.get_linewidth() for line in lines], [0.4 + 2.6 * s for s in (0.25, 0.5, 1)])
    assert type(lines[0].get_arrowstyle()).__name__ == "Curve" and ax.get_title() == "motifs that act together in T0"


def test_what_cannot_be_drawn(edges):
    with pytest.raises(InputError, match="row=None: one of the rows of the table is needed, 'T0', 'T1'"):
        scget.pl.motif_network(edges)
    with pytest.raises(InputError, match="top=0"):
        scget.pl.motif_network(edges, "T0", top=0)
    with pytest.raises(InputError, match="columns 'a': a table of tl.motif_network"):
        scget.pl.motif_network(pd.DataFrame({"a": []}))
