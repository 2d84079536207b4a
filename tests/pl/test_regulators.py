"""The picture of regulators shows the numbers of the table."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import scget
from scget._errors import InputError

mpl.use("agg")


@pytest.fixture
def table():
    """Two rows, two sets; GATA1 and GATA2 share a cluster, SPI1's is the strongest, PAX5 is not expressed, one is unknown."""
    lines = []
    for row, sign in (("Ery", 1), ("Mono", -1)):
        for gene_set in ("markers", "others"):
            half = 1 if gene_set == "markers" else 0.5
            for motif, tf, specific, observed in (
                ("GATA", "GATA1", 0.2, 2.0),
                ("GATA", "GATA2", 0.2, 1.0),
                ("SPI1", "SPI1", -0.3, 1.5 - sign),
                ("PAX", "PAX5", 0.5, 0.1),
                ("bare", None, 0.1, np.nan),
            ):
                known = [observed >= 0.7 if observed == observed else pd.NA]
                line = {"row": row, "gene_set": gene_set, "motif": motif, "tf": tf, "specific": sign * half * specific}
                line |= {"effect": 1.0, "observed": observed, "predicted": np.nan}
                lines.append(pd.DataFrame({**line, "expressed": pd.array(known, dtype="boolean")}, index=[0]))
    yield pd.concat(lines, ignore_index=True)
    mpl.pyplot.close("all")


def dots(ax):
    """Place -> colour value and area, of dots and diamonds."""
    shown = {}
    for drawn in ax.collections[:2]:
        for place, value, area in zip(drawn.get_offsets(), drawn.get_array(), drawn.get_sizes(), strict=False):
            shown[tuple(int(at) for at in place)] = (round(float(value), 6), round(float(area), 6))
    return shown


def labels(ticks):
    return [tick.get_text() for tick in ticks]


def test_dots_are_where_and_what_the_table_says(table):
    ax = scget.pl.regulators(table, show=False)
    assert labels(ax.get_xticklabels()) == ["Ery", "Mono"] and labels(ax.get_yticklabels()) == [
        "SPI1",
        "GATA1 (GATA)",
        "bare",
    ]
    top, bottom = ax.get_ylim()[::-1]
    assert top < 0 < bottom  # the strongest stands above
    shown = dots(ax)
    assert shown[0, 0] == (-0.3, 6 + 60 * 0.5) and shown[1, 0] == (0.3, 6 + 60 * 2.5)
    assert shown[0, 1] == (0.2, 6 + 60 * 2) and shown[1, 1][0] == -0.2
    assert shown[0, 2] == (0.1, 36) and ax.collections[1].get_paths()[0].vertices.shape == (5, 2)  # a diamond
    assert ax.collections[0].get_clim() == ax.collections[1].get_clim() == (-0.3, 0.3)
    red, blue = ax.collections[0].to_rgba([0.3, -0.3])[:, [0, 2]]
    assert red[0] > red[1] and blue[1] > blue[0]
    assert labels(ax.get_legend().get_texts()) == ["0", "1", "2", "3", "unknown"]
    assert ax.get_title() == "specific effects on markers"


def test_choices(table):
    ax = scget.pl.regulators(table, gene_set="others", rows=["Mono"], n_tfs=1, expressed=False, show=False)
    assert labels(ax.get_xticklabels()) == ["Mono"] and labels(ax.get_yticklabels()) == ["PAX5 (PAX)"]
    assert dots(ax) == {(0, 0): (-0.25, 6 + 60 * 0.1)}
    ax = scget.pl.regulators(table.assign(specific=np.nan), show=False)  # a single row was attributed
    assert ax.get_title() == "effects on markers" and dots(ax)[0, 0][0] == 1.0
    figure = scget.pl.regulators(table, return_fig=True)
    assert isinstance(figure, mpl.figure.Figure)


def test_what_is_not_there(table, toy):
    with pytest.raises(InputError, match=r"no regulators of set 'x'; there are 'markers', 'others'"):
        scget.pl.regulators(table, gene_set="x")
    with pytest.raises(InputError, match=r"no regulators of row 'pDC'; there are 'Ery', 'Mono'"):
        scget.pl.regulators(table, rows=["pDC"])
    with pytest.raises(InputError, match=r"no regulators in mdata.uns\['get'\]; run scget.tl.regulators"):
        scget.pl.regulators(toy)
    with pytest.raises(InputError, match="n_tfs=0"):
        scget.pl.regulators(table, n_tfs=0)
    none = table.assign(expressed=pd.array([False] * len(table), dtype="boolean"))
    with pytest.raises(InputError, match="no factor of set 'markers' is expressed"):
        scget.pl.regulators(none)
