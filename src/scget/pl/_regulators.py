"""Transcription factors by row: what their motifs do, and how much of them there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from scget._errors import InputError, first

from ._shared import SIGNED, axes, beside, documented, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

AREA = 60.0  # points^2 per unit of log10(CPM + 1)
LEAST = 6.0  # points^2, of a factor without expression


@documented
def regulators(
    data: MuData | pd.DataFrame,
    *,
    gene_set: str | None = None,
    rows: Sequence[str] | None = None,
    value: Literal["effect", "specific"] = "specific",
    n_tfs: int = 20,
    expressed: bool = True,
    key: str = "get",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw the motifs that do most, by row, each with the factor of its cluster that is expressed most.

    Parameters
    ----------
    data
        After ``scget.tl.regulators``; or the table that it writes.
    gene_set
        Show the effects on this set. None: on the first.
    rows
        Rows from left to right. None: all.
    value
        Column to colour by: ``"specific"``, what sets the row apart, or ``"effect"``. Where a single row is attributed,
        there is ``"effect"`` alone, and it is shown.
    n_tfs
        Motif clusters of greatest absolute value in any row shown.
    expressed
        Leave out clusters none of whose factors is expressed in a row shown; where none is known, they stay.
    key
        ``key_added`` of the attribution.
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} Red: genes are raised; blue: lowered. The area of a dot grows with the factor's expression, observed or
    else predicted; a diamond: not known.

    Raises
    ------
    InputError
        If there is no such table, gene set or row.

    Examples
    --------
    >>> scget.tl.attribute(pb, model)
    >>> scget.tl.regulators(pb)
    >>> scget.pl.regulators(pb, rows=["Mono", "T0"], show=False).get_title()
    'specific effects on all genes'
    """
    if n_tfs < 1 or value not in ("effect", "specific"):
        raise InputError(f"n_tfs={n_tfs}, value={value!r}: at least 1, and 'effect' or 'specific' are needed")
    table, columns, gene_set = _chosen(data, gene_set, rows, key)
    value = value if table[value].notna().any() else "effect"
    table = table.assign(expression=table["observed"].fillna(table["predicted"]))
    if expressed:
        there = table["expressed"].fillna(True).astype(bool).groupby(table["motif"]).transform("max")
        table = table[there]
    if not len(table):
        raise InputError(f"no factor of set {gene_set!r} is expressed in these rows; expressed=False shows them all")
    shown = _strongest(table, value, n_tfs)
    colour = shown.pivot(index="motif", columns="row", values=value)[columns]
    colour = colour.loc[colour.abs().max(axis=1).sort_values(ascending=False, kind="stable").index]
    size = shown.pivot(index="motif", columns="row", values="expression").reindex_like(colour)
    names = shown.drop_duplicates("motif").set_index("motif")["tf"].reindex(colour.index)
    drawn = axes(ax, (3.5 + max(0.35 * colour.shape[1], 1.2), max(1.4 + 0.26 * len(colour), 4.2)))
    _dots(drawn, colour, size)
    drawn.set_xticks(range(len(columns)), columns, rotation=90)
    drawn.set_yticks(range(len(colour)), [_label(tf, motif) for motif, tf in names.items()])
    drawn.set_title(f"{'specific ' if value == 'specific' else ''}effects on {gene_set}")
    return finish(drawn, ax, show, return_fig)


def _chosen(
    data: MuData | pd.DataFrame, gene_set: str | None, rows: Sequence[str] | None, key: str
) -> tuple[pd.DataFrame, list[str], str]:
    """Lines of the set and the rows, the rows in order, and the set's name."""
    record = {} if isinstance(data, pd.DataFrame) else data.uns.get(key, {})
    table = (
        data if isinstance(data, pd.DataFrame) else record.get("regulators") if isinstance(record, Mapping) else None
    )
    if table is None or not len(table):
        raise InputError(f"no regulators in mdata.uns[{key!r}]; run scget.tl.regulators(mdata) first")
    table = table.astype(dict.fromkeys(("row", "gene_set", "motif", "tf"), object))
    sets, have = list(dict.fromkeys(table["gene_set"])), list(dict.fromkeys(table["row"]))
    name, columns = gene_set or sets[0], have if rows is None else list(dict.fromkeys(rows))
    missing = [row for row in columns if row not in have]
    if name not in sets or missing or not columns:
        what = (
            f"set {name!r}; there are {first(sets)}"
            if name not in sets
            else f"row {first(missing)}; there are {first(have)}"
        )
        raise InputError(f"no regulators of {what}")
    return table[(table["gene_set"] == name) & table["row"].isin(columns)], columns, name


def _strongest(table: pd.DataFrame, value: str, n: int) -> pd.DataFrame:
    """Line per row and motif: of its factors the one with most expression in any row shown."""
    strength = table[value].abs().groupby(table["motif"]).max().sort_values(ascending=False, kind="stable")
    table = table[table["motif"].isin(strength.index[:n])]
    most = table.groupby(["motif", "tf"], dropna=False)["expression"].max().fillna(-1.0).reset_index()
    most = most.sort_values("expression", ascending=False, kind="stable").drop_duplicates("motif")
    return table.merge(most[["motif", "tf"]], on=["motif", "tf"])


def _dots(drawn: Axes, colour: pd.DataFrame, size: pd.DataFrame) -> None:
    """Dots, diamonds where the size is not known, colour bar and legend of sizes."""
    y, x = (at.ravel() for at in np.indices(colour.shape))
    values, sizes = colour.to_numpy().ravel(), size.to_numpy(dtype=np.float64).ravel()
    most = max(float(np.nanmax(np.abs(values), initial=0)), 1e-12)
    coloured: dict[str, Any] = {"cmap": SIGNED, "vmin": -most, "vmax": most, "edgecolors": "0.4", "linewidths": 0.5}
    known = np.isfinite(sizes)
    areas = LEAST + AREA * np.nan_to_num(sizes)
    dots = drawn.scatter(x[known], y[known], s=areas[known], c=values[known], **coloured)
    drawn.scatter(x[~known], y[~known], s=LEAST + AREA / 2, c=values[~known], marker="D", **coloured)
    drawn.set(xlim=(-0.7, colour.shape[1] - 0.3), ylim=(len(colour) - 0.3, -0.7))
    bar = drawn.inset_axes((0.1, 0, 0.16, 0.4), transform=beside(drawn))
    drawn.figure.colorbar(dots, cax=bar, label="effect per gene,\nlog10(CPM + 1)")
    keys: list[Any] = [
        drawn.scatter([], [], s=LEAST + AREA * unit, c="0.6", edgecolors="0.4", linewidths=0.5, label=f"{unit}")
        for unit in (0, 1, 2, 3)
        if known.any()
    ]
    if not known.all():
        keys.append(drawn.scatter([], [], s=LEAST + AREA / 2, c="0.6", marker="D", label="unknown"))
    drawn.legend(
        handles=keys,
        title="expression of\nthe factor,\nlog10(CPM + 1)",
        loc="upper left",
        bbox_to_anchor=(1.01, 1.03),
        frameon=False,
        labelspacing=0.9,
    )


def _label(tf: object, motif: str) -> str:
    return motif if pd.isna(tf) else str(tf) if tf == motif else f"{tf} ({motif})"
