"""Groups of cells: one column of labels or several, joined to the names of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scget import _keys as keys
from scget._errors import InputError
from scget.pp._labels import get_labels, warn_if_alike

if TYPE_CHECKING:
    from mudata import MuData

_GROUP = "group of scget"  # a column beside those of the user


def columns_of(groupby: str | Sequence[str]) -> list[str]:
    """Names of the columns of ``groupby``, each text and named once."""
    if isinstance(groupby, str):
        return [groupby]
    try:
        columns = list(groupby)
    except TypeError:
        columns = []
    if not columns or not all(isinstance(column, str) for column in columns):
        raise InputError(f"groupby={groupby!r} names no column. Pass a column of obs, such as groupby='cell_type'.")
    twice = [column for i, column in enumerate(columns) if column in columns[:i]]
    if twice:
        raise InputError(f"groupby names column {twice[0]!r} twice. Pass each column once.")
    return columns


def groups_of(mdata: MuData, names: Sequence[str], groupby: str | Sequence[str]) -> tuple[pd.Series, pd.DataFrame]:
    """Find the group of each cell, and name the groups.

    Parameters
    ----------
    mdata
        Cells.
    names
        Modalities to look for labels in.
    groupby
        Column or columns of their ``obs``.

    Returns
    -------
    Group by name of cell (categorical, sorted, each category used), and one row per group with the columns of
    ``groupby`` and ``n_cells``.
    """
    columns = columns_of(groupby)
    taken = [column for column in columns if column in (keys.N_CELLS, keys.TOTAL_COUNTS)]
    if taken:
        raise InputError(f"groupby={taken[0]!r}: rows get a column of that name. Rename yours.")
    first_labels = get_labels(mdata, names, columns[0])
    labels = pd.DataFrame({column: get_labels(mdata, names, column).reindex(first_labels.index) for column in columns})
    for column in columns:
        warn_if_alike(labels[column], column)
    joined = labels[columns[0]].str.cat(labels[columns[1:]], sep="_") if len(columns) > 1 else first_labels
    obs = labels.assign(**{_GROUP: joined.to_numpy()}).drop_duplicates()
    twice = obs[_GROUP].duplicated(keep=False)
    if twice.any():
        same = obs.loc[twice].sort_values(_GROUP).iloc[:2]
        what = " and ".join(str(tuple(row)) for row in same[columns].to_numpy())
        raise InputError(f"groups {what} would both be named {same[_GROUP].iloc[0]!r}. Rename a label.")
    order = sorted(obs[_GROUP])
    obs = obs.set_index(_GROUP).loc[order, columns].rename_axis(None).astype("category")
    groups = pd.Series(pd.Categorical(joined, categories=order), index=first_labels.index)
    obs[keys.N_CELLS] = np.bincount(groups.cat.codes, minlength=len(order))
    return groups, obs
