"""Cells to rows: sums of raw counts over the cells of a group."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from tqdm.auto import tqdm

from scget import _keys as keys
from scget._errors import InputError, first
from scget.pp._checks import check_rows, get_modality, only_predicted, warn_if_not_fragments
from scget.pp._chunks import loaded
from scget.pp._groups import groups_of
from scget.pp._sums import sum_groups

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_KEPT_UNS = (
    keys.MOTIF_NAMES,
    keys.MOTIF_SCAN,
    keys.MOTIF_TFS,
    keys.PEAK_ANNOTATION,
    keys.ANNOTATION,
    keys.MATCHED,
)


def pseudobulk(
    mdata: MuData,
    groupby: str | Sequence[str],
    *,
    min_cells: int = 1,
    min_counts: int = 0,
    atac_layer: str | None = None,
    rna_layer: str | None = None,
) -> MuData:
    """Sum raw counts over the cells of each group; a group becomes one row.

    Cells are matched between the modalities by name, so their order plays no part. In memory the sums come from
    :func:`scanpy.get.aggregate`; they are made in float64.

    Parameters
    ----------
    mdata
        Cells; modality ``atac`` and, if expression is known (not predicted), ``rna``, with raw counts: in memory,
        backed by h5mu or zarr, or arrays of dask.
    groupby
        Column of ``mdata["atac"].obs`` or ``mdata["rna"].obs`` with the groups, such as cell types or metacells. With
        several columns (donor, cell type) each combination is a group, named by the labels joined with ``_``.
    min_cells
        A group of fewer cells is refused.
    min_counts
        A group of fewer ATAC counts is refused. Depth decides how well a row can be predicted: 3 million is typical.
    atac_layer, rna_layer
        Layers with raw counts; None for ``X``.

    Returns
    -------
    A new MuData in memory, groups x (regions, genes), rows sorted by name and the same in each modality. ``X`` is
    float32 CSR. ``obs`` holds the columns of ``groupby``, ``n_cells``, and ``total_counts`` of the modality. ``var``,
    motif scores and promoters are kept.

    Raises
    ------
    InputError
        If labels are missing or differ between modalities, counts are not raw, the modalities do not hold the same
        cells, or a group has fewer than ``min_cells`` cells, fewer than ``min_counts`` ATAC counts, or no count at all.

    Notes
    -----
    What is on disk is read once, in chunks of 16 million values, and checked value by value on the way; memory is some
    hundred MB, plus at most 40 bytes x groups x columns, whatever the number of cells. Arrays of dask are summed by
    their blocks with the scheduler in scope: make a :class:`distributed.Client` first, and its workers do it.

    **Metacells.** Any maker will do that leaves a label for each cell: ``groupby="metacell"``. ``metacells`` is made
    for it; k-means of scikit-learn on the principal components, one cluster per 50 to 100 cells, needs nothing more.
    A metacell should hold cells of one donor, and of no held-out type beside others: make them within these.

    Examples
    --------
    >>> rows = scget.pp.pseudobulk(pb, groupby="cell_type")
    >>> rows["atac"].obs.columns.tolist()
    ['cell_type', 'n_cells', 'total_counts']
    """
    from mudata import MuData

    for argument, least in (("min_cells", min_cells), ("min_counts", min_counts)):
        if isinstance(least, bool) or not isinstance(least, Real) or np.isnan(least):
            raise InputError(f"{argument}={least!r}: a number is needed, such as {argument}=50.")
    layers = {keys.ATAC: atac_layer, keys.RNA: rna_layer}
    names = [keys.ATAC]
    get_modality(mdata, keys.ATAC, "accessibility")
    if keys.RNA in mdata.mod and not only_predicted(mdata, rna_layer):
        get_modality(mdata, keys.RNA, "expression")
        names.append(keys.RNA)
    check_rows(mdata, names)
    groups, obs = groups_of(mdata, names, groupby)
    _check_sizes(obs[keys.N_CELLS], "min_cells", min_cells)
    rows, counts = {}, {}  # sums, and what the summed values are like
    for name in tqdm(names, desc="pseudobulk", leave=False):
        cells = mdata.mod[name]
        rows[name], counts[name] = sum_groups(cells, layers[name], name, groups.reindex(cells.obs_names).array)
    warn_if_not_fragments(counts[keys.ATAC], f"atac.layers[{atac_layer!r}]" if atac_layer else "atac.X")
    for name in names:
        _check_not_empty(rows[name], obs.index, name)
    _check_sizes(pd.Series(_depth(rows[keys.ATAC]), obs.index), "min_counts", min_counts)
    made = {name: make_rows(rows[name], obs, mdata.mod[name], name) for name in mdata.mod if name in names}
    return MuData(made)


def _check_sizes(sizes: pd.Series, argument: str, least: float) -> None:
    small = sizes[sizes < least]
    if len(small):
        shown = ", ".join(f"{group!r} ({n:,})" for group, n in small.items())
        raise InputError(f"groups below {argument}={least:,.15g}: {shown}. Lower {argument}, merge or drop them.")


def _depth(sums: csr_matrix) -> np.ndarray:
    """Total counts of each row, whole numbers."""
    return np.asarray(sums.sum(axis=1)).ravel().astype(np.int64)


def _check_not_empty(sums: csr_matrix, groups: pd.Index, name: str) -> None:
    empty = groups[_depth(sums) == 0]
    if len(empty):
        raise InputError(
            f"no {name.upper()} counts in {len(empty):,} groups, first {first(empty)}. "
            "Drop these cells or merge the group with another."
        )


def make_rows(sums: csr_matrix, obs: pd.DataFrame, cells: AnnData, name: str) -> AnnData:
    """Rows of ``sums``, with what holds for any rows of these cells taken along."""
    from anndata import AnnData

    obs = obs.assign(**{keys.TOTAL_COUNTS: _depth(sums)})
    rows = AnnData(sums.astype(np.float32), obs=obs, var=cells.var.copy())
    if name == keys.ATAC:
        if keys.MOTIF_SCORES in cells.varm:
            rows.varm[keys.MOTIF_SCORES] = loaded(cells.varm[keys.MOTIF_SCORES])
        rows.uns.update({key: loaded(cells.uns[key]) for key in _KEPT_UNS if key in cells.uns})
    return rows
