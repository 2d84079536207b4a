"""One look at all counts of a modality, in parts, wherever they are: are they raw, and how are they spread?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse

from scget.pp._chunks import pieces
from scget.pp._counts import Tally, find_counts, place_of, refuse, refuse_not_finite, tally_of, where_counts_are

if TYPE_CHECKING:
    from anndata import AnnData

_MOST_WEIGHT = 1 << 20  # times 8 billion counts of a row is the last whole number that float64 holds


@dataclass(frozen=True)
class Survey:
    """What counts are like; k is rows, p columns."""

    called: str
    matrix: Any
    tally: Tally
    sums_k: np.ndarray
    prints_k: np.ndarray  # (k, 2) sums weighted at random, whole numbers: rows are equal where these are
    counted_p: np.ndarray  # whether a row has a count there


def survey(adata: AnnData, layer: str | None, where: str) -> Survey:
    """Look at every count, in memory, on disk or of dask; :class:`InputError` where these are no raw counts.

    Parameters
    ----------
    adata
        One modality.
    layer
        Key in ``layers``; None for ``X``.
    where
        Name of the modality, for messages.
    """
    matrix, called = find_counts(adata, layer, where)
    weights = np.random.default_rng(0).integers(1, _MOST_WEIGHT, (adata.n_vars, 3)).astype(np.float64)
    weights[:, 0] = 1
    sums, counted = np.zeros((adata.n_obs, 3)), np.zeros(adata.n_vars, dtype=bool)
    tally, broken = Tally(), []
    for row, column, values in pieces(matrix):
        part = tally_of(values, called)
        tally += part
        if part.n_nan or part.n_inf:
            i, j = place_of(values, part.n_nan > 0)
            broken.append((int(part.n_nan == 0), row + i, column + j))
            continue
        n_rows, n_columns = values.shape
        values = values if issparse(values) else values.astype(np.float64)
        sums[row : row + n_rows] += values @ weights[column : column + n_columns]
        counted[column + _columns_counted(values)] = True
    if broken:
        refuse_not_finite(tally, called, min(broken)[1:], (adata.obs_names, adata.var_names), ("row", "column"))
    refuse(tally, called, hint=lambda: where_counts_are(adata, layer, where))
    return Survey(called, matrix, tally, sums[:, 0], sums[:, 1:], counted)


def _columns_counted(values: Any) -> np.ndarray:
    if not issparse(values):
        return np.flatnonzero((values > 0).any(axis=0))
    values = values.tocoo(copy=False)
    return np.unique(values.col[values.data > 0])
