"""Cells to rows: sums of raw counts over the cells of a group."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from tqdm.auto import tqdm

from scget import _keys as keys
from scget._errors import InputError, first
from scget.pp._checks import check_in_memory, check_rows, get_counts, get_labels, get_modality, warn_if_not_fragments

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_KEPT_UNS = (keys.MOTIF_NAMES, keys.MOTIF_SCAN, keys.MOTIF_TFS, keys.PEAK_ANNOTATION)

_GROUP = "group of scget"  # a column beside those of the user


def pseudobulk(
    mdata: MuData,
    groupby: str | Sequence[str],
    *,
    min_cells: int = 1,
    atac_layer: str | None = None,
    rna_layer: str | None = None,
) -> MuData:
    """Sum raw counts over the cells of each group; a group becomes one row.

    Cells are matched between the modalities by name, so their order plays no part. The sums come from
    :func:`scanpy.get.aggregate` and are made in float64.

    Parameters
    ----------
    mdata
        Cells; modality ``atac`` and, if expression is known, ``rna``, with raw counts.
    groupby
        Column of ``mdata["atac"].obs`` or ``mdata["rna"].obs`` with the groups, such as cell types. With several
        columns each combination is a group, named by the labels joined with ``_``.
    min_cells
        A group of fewer cells is refused.
    atac_layer, rna_layer
        Layers with raw counts; None for ``X``.

    Returns
    -------
    A new MuData, groups x (regions, genes), rows sorted by name and the same in each modality. ``X`` is float32 CSR.
    ``obs`` holds the columns of ``groupby`` and ``n_cells``. ``var``, motif scores and promoters are kept.

    Raises
    ------
    InputError
        If labels are missing or differ between modalities, counts are not raw, the modalities do not hold the same
        cells, a group has fewer than ``min_cells`` cells or no count at all, or the data are backed.

    Examples
    --------
    >>> pb = scget.pp.pseudobulk(mdata, groupby="cell_type")  # doctest: +SKIP
    >>> pb["atac"].obs["n_cells"]  # doctest: +SKIP
    >>> sc.pl.matrixplot(pb["rna"], ["GATA1"], groupby="cell_type")  # doctest: +SKIP
    """
    from mudata import MuData

    layers = {keys.ATAC: atac_layer, keys.RNA: rna_layer}
    names = [keys.ATAC]
    get_modality(mdata, keys.ATAC, "accessibility")
    if keys.RNA in mdata.mod:
        get_modality(mdata, keys.RNA, "expression")
        names.append(keys.RNA)
    for name in names:
        check_in_memory(mdata.mod[name], name)
    check_rows(mdata, names)
    groups, obs = _groups(mdata, names, [groupby] if isinstance(groupby, str) else list(groupby))
    _check_sizes(obs[keys.N_CELLS], min_cells)
    counts = {name: get_counts(mdata.mod[name], layers[name], name) for name in names}
    warn_if_not_fragments(counts[keys.ATAC], f"atac.layers[{atac_layer!r}]" if atac_layer else "atac.X", stacklevel=3)
    rows = {
        name: _sum_groups(counts[name], groups.reindex(mdata.mod[name].obs_names).array)
        for name in tqdm(names, desc="pseudobulk", leave=False)
    }
    for name in names:
        _check_not_empty(rows[name], obs.index, name)
    made = {name: _make_rows(rows[name], obs, mdata.mod[name], name) for name in mdata.mod if name in names}
    return MuData(made)


def _groups(mdata: MuData, names: list[str], columns: list[str]) -> tuple[pd.Series, pd.DataFrame]:
    """Group of each cell (categorical, sorted), and one row of obs per group."""
    if not columns:
        raise InputError("groupby names no column. Pass a column of obs, such as groupby='cell_type'.")
    first_labels = get_labels(mdata, names, columns[0])
    labels = pd.DataFrame({column: get_labels(mdata, names, column).reindex(first_labels.index) for column in columns})
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


def _check_sizes(n_cells: pd.Series, min_cells: int) -> None:
    small = n_cells[n_cells < min_cells]
    if len(small):
        shown = ", ".join(f"{group!r} ({n})" for group, n in small.items())
        raise InputError(f"groups below min_cells={min_cells}: {shown}. Lower min_cells, merge or drop them.")


def _sum_groups(counts: Any, groups: pd.Categorical) -> csr_matrix:
    """Sum ``counts`` (cells x columns) over the cells of each group, in float64; all groups are used."""
    import scanpy as sc
    from anndata import AnnData

    # scanpy < 1.12 takes no csr_array, and anndata may not hold every integer type
    counts = csr_matrix(counts, dtype=np.float64)
    cells = AnnData(counts, obs=pd.DataFrame({"group": groups}, index=np.arange(len(groups)).astype(str)))
    sums = sc.get.aggregate(cells, by="group", func="sum").layers["sum"]
    return csr_matrix(sums.astype(np.float32))


def _check_not_empty(sums: csr_matrix, groups: pd.Index, name: str) -> None:
    empty = groups[np.asarray(sums.sum(axis=1)).ravel() == 0]
    if len(empty):
        raise InputError(
            f"no {name.upper()} counts in {len(empty):,} groups, first {first(empty)}. "
            "Drop these cells or merge the group with another."
        )


def _make_rows(sums: csr_matrix, obs: pd.DataFrame, cells: AnnData, name: str) -> AnnData:
    from anndata import AnnData

    rows = AnnData(sums, obs=obs.copy(), var=cells.var.copy())
    if name == keys.ATAC:
        if keys.MOTIF_SCORES in cells.varm:
            rows.varm[keys.MOTIF_SCORES] = cells.varm[keys.MOTIF_SCORES].copy()
        rows.uns.update({key: copy.deepcopy(cells.uns[key]) for key in _KEPT_UNS if key in cells.uns})
    return rows
