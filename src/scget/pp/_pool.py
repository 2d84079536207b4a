"""Cells to rows: each cell with its nearest neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, identity, issparse

from scget import _keys as keys
from scget._errors import InputError, first
from scget.pp._checks import check_rows, check_rows_counted, get_counts, get_modality, only_predicted
from scget.pp._pseudobulk import make_rows

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def pool_neighbors(
    mdata: MuData,
    n_neighbors: int | None = None,
    *,
    use_rep: str | None = None,
    neighbors_key: str = "neighbors",
    modality: str = keys.ATAC,
    atac_layer: str | None = None,
    rna_layer: str | None = None,
) -> MuData:
    """Add to each cell's raw counts those of its nearest neighbours; a cell stays one row, less sparse.

    Parameters
    ----------
    mdata
        Cells in memory; modality ``atac`` and, if expression is known (not predicted), ``rna``, with raw counts.
    n_neighbors
        Neighbours added to each cell. None: all in the graph; with ``use_rep`` 15.
    use_rep
        Key of ``obsm`` whose nearest cells (Euclidean, exact) are the neighbours. None: those that
        :func:`scanpy.pp.neighbors` found, ordered by its distances; it counts the cell itself among ``n_neighbors``.
    neighbors_key
        As it was given to :func:`scanpy.pp.neighbors` as ``key_added``.
    modality
        Where the graph or ``use_rep`` is.
    atac_layer, rna_layer
        Layers with raw counts; None for ``X``.

    Returns
    -------
    A new MuData in memory, cells x (regions, genes). ``X`` is float32 CSR: ``(I + A) X``, summed in float64, ``A`` being
    1 for a neighbour. ``obs`` holds that of the cells with ``n_cells`` and ``total_counts`` of the pool; ``var``, motif
    scores and promoters are kept. It has up to ``n_neighbors + 1`` times as many non-zero values.

    Raises
    ------
    InputError
        If there is no such graph or key, it holds fewer neighbours, counts are not raw, or a row has none.

    Notes
    -----
    A pool may cross the borders of donors, batches and types: what is held out from training must be split off before.

    Examples
    --------
    >>> pb["atac"].obsm["X_lsi"] = pb["atac"].X.toarray()[:, :5]
    >>> pools = scget.pp.pool_neighbors(pb, 2, use_rep="X_lsi")
    >>> pools["atac"].obs["n_cells"].tolist()
    [3, 3, 3, 3, 3, 3]
    """
    from mudata import MuData

    get_modality(mdata, keys.ATAC, "accessibility")
    names = [keys.ATAC]
    if keys.RNA in mdata.mod and not only_predicted(mdata, rna_layer):
        get_modality(mdata, keys.RNA, "expression")
        names.append(keys.RNA)
    check_rows(mdata, names)
    if modality not in names:
        raise InputError(f"modality={modality!r}: one of {first(names)} is needed")
    if n_neighbors is not None and (type(n_neighbors) is not int or n_neighbors < 1):
        raise InputError(f"n_neighbors={n_neighbors!r}: a whole number of at least 1 is needed, or None")
    counts = {name: get_counts(mdata[name], {keys.ATAC: atac_layer, keys.RNA: rna_layer}[name], name) for name in names}
    graph, order = _graph(mdata[modality], modality, n_neighbors, use_rep, neighbors_key), mdata[modality].obs_names
    pool = csr_matrix(graph + identity(len(order), format="csr"))
    made = {}
    for name in (name for name in mdata.mod if name in names):
        cells = mdata[name]
        at = order.get_indexer(cells.obs_names)
        sums = csr_matrix(pool[at][:, at] @ csr_matrix(counts[name], dtype=np.float64))
        check_rows_counted(sums, cells.obs_names, name)
        n_cells = np.diff(pool.indptr)[at]
        made[name] = make_rows(sums, cells.obs.assign(**{keys.N_CELLS: n_cells}), cells, name)
    return MuData(made)


def _graph(adata: AnnData, name: str, n: int | None, use_rep: str | None, neighbors_key: str) -> csr_matrix:
    """1 for each neighbour, cells x cells, nothing on the diagonal."""
    if use_rep is not None:
        return _nearest_in(adata, name, 15 if n is None else n, use_rep)
    held = adata.uns.get(neighbors_key, {})
    key = held.get("distances_key", "distances") if isinstance(held, dict) else "distances"
    if key not in adata.obsp or neighbors_key not in adata.uns:
        raise InputError(
            f"no neighbours {neighbors_key!r} in {name!r}; run scanpy.pp.neighbors(mdata[{name!r}], use_rep=...) first, "
            "or name an obsm by use_rep="
        )
    distance = adata.obsp[key]
    distance = (distance if issparse(distance) else csr_matrix(distance)).tocoo()
    other = distance.row != distance.col
    row, column, value = distance.row[other], distance.col[other], distance.data[other]
    order = np.lexsort([column, value, row])
    row, column = row[order], column[order]
    size = np.bincount(row, minlength=adata.n_obs)
    if n is not None and n > size.max(initial=0):
        raise InputError(
            f"n_neighbors={n}, but the graph {neighbors_key!r} holds {size.max(initial=0)} of each cell; take fewer, or run "
            f"scanpy.pp.neighbors with n_neighbors={n + 1}"
        )
    rank = np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size)
    kept = rank < (len(row) if n is None else n)
    return csr_matrix((np.ones(kept.sum()), (row[kept], column[kept])), distance.shape)


def _nearest_in(adata: AnnData, name: str, n: int, use_rep: str) -> csr_matrix:
    from sklearn.neighbors import NearestNeighbors

    if use_rep not in adata.obsm:
        raise InputError(f"no {use_rep!r} in the obsm of {name!r}; there are {first(adata.obsm, 9) or 'none'}")
    if n >= adata.n_obs:
        raise InputError(f"n_neighbors={n}, but there are {adata.n_obs - 1} other cells; take fewer")
    place = adata.obsm[use_rep]
    place = np.asarray(place if not isinstance(place, pd.DataFrame) else place.to_numpy(), dtype=np.float64)
    if not np.isfinite(place).all():
        raise InputError(f"{int((~np.isfinite(place)).any(axis=1).sum())} cells have no finite place in {use_rep!r}")
    return NearestNeighbors(n_neighbors=n).fit(place).kneighbors_graph()
