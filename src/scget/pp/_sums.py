"""Sums of counts over the cells of each group: in memory by scanpy, else in chunks of a file or blocks of dask."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, issparse
from tqdm.auto import tqdm

from scget.pp._chunks import Chunk, dask_blocks, is_dask, is_on_disk, n_chunks, read_chunks
from scget.pp._counts import (
    Tally,
    check_counts,
    find_counts,
    place_of,
    refuse,
    refuse_not_finite,
    tally_of,
    where_counts_are,
)

if TYPE_CHECKING:
    from anndata import AnnData

_FAN_IN = 8  # blocks of dask that are added at once


class Part(NamedTuple):
    """Sums of some cells or columns, groups x all columns; parts add up to the whole."""

    sums: csr_matrix
    tally: Tally
    broken: tuple[int, int, int] | None  # 0 for NaN or 1 for infinite, row, column of the first


def sum_groups(adata: AnnData, layer: str | None, where: str, groups: pd.Categorical) -> tuple[csr_matrix, Tally]:
    """Sum raw counts over the cells of each group, in float64, once every value is known to be a raw count.

    A matrix on disk or of dask is read once, in chunks, and never held whole nor made dense.

    Parameters
    ----------
    adata
        One modality.
    layer
        Key in ``layers``; None for ``X``.
    where
        Name of the modality, for messages.
    groups
        ``(c,)`` group of each cell, in the order of ``adata``; each category is used.

    Returns
    -------
    Groups x columns, and what the values are like.
    """
    matrix, called = find_counts(adata, layer, where)
    names = adata.obs_names, adata.var_names
    if not is_on_disk(matrix):
        tally = check_counts(matrix, called, names, hint=lambda: where_counts_are(adata, layer, where))
        return _sum_in_memory(matrix, groups), tally
    codes, n_groups = np.asarray(groups.codes), len(groups.categories)
    part = (_sum_dask if is_dask(matrix) else _sum_chunks)(matrix, called, codes, n_groups)
    if part.broken is not None:
        refuse_not_finite(part.tally, called, part.broken[1:], names, ("row", "column"))
    refuse(part.tally, called, hint=lambda: where_counts_are(adata, layer, where))
    part.sums.sort_indices()
    return part.sums, part.tally


def _sum_in_memory(counts: Any, groups: pd.Categorical) -> csr_matrix:
    import scanpy as sc
    from anndata import AnnData

    # scanpy < 1.12 takes no csr_array, and anndata may not hold every integer type
    counts = csr_matrix(counts, dtype=np.float64)
    cells = AnnData(counts, obs=pd.DataFrame({"group": groups}, index=np.arange(len(groups)).astype(str)))
    return csr_matrix(sc.get.aggregate(cells, by="group", func="sum").layers["sum"])


def _sum_chunks(matrix: Any, called: str, codes: np.ndarray, n_groups: int) -> Part:
    place = {"called": called, "n_groups": n_groups, "n_columns": matrix.shape[1]}
    chunks = tqdm(read_chunks(matrix), called, total=n_chunks(matrix), leave=False)
    return _add_up(_sum_part(chunk, codes[chunk.row :][: chunk.values.shape[0]], **place) for chunk in chunks)


def _sum_dask(matrix: Any, called: str, codes: np.ndarray, n_groups: int) -> Part:
    """Sums of blocks, added in a tree; dask computes it with its scheduler in scope, such as a ``Client``."""
    import dask

    sum_part, add_up = dask.delayed(_sum_part, pure=False), dask.delayed(_add_up, pure=False)
    place = {"called": called, "n_groups": n_groups, "n_columns": matrix.shape[1]}
    rows = dict(pairwise(np.cumsum((0, *matrix.chunks[0])).tolist()))  # first row of a block: end of its rows
    parts = [sum_part(block, codes[block.row : rows[block.row]], **place) for block in dask_blocks(matrix)]
    while len(parts) > 1:
        parts = [add_up(parts[i : i + _FAN_IN]) for i in range(0, len(parts), _FAN_IN)]
    return parts[0].compute()


def _sum_part(chunk: Chunk, codes: np.ndarray, called: str, n_groups: int, n_columns: int) -> Part:
    """Sums and tally of a chunk in memory; ``codes`` holds the group of each of its rows."""
    row, column, values = chunk
    tally, broken = tally_of(values, called), None
    if tally.n_nan or tally.n_inf:
        i, j = place_of(values, tally.n_nan > 0)
        broken = (int(tally.n_nan == 0), row + i, column + j)
    n_rows = len(codes)
    indicator = csr_matrix((np.ones(n_rows), (codes, np.arange(n_rows))), shape=(n_groups, n_rows))
    sums = csr_matrix(indicator @ (values if issparse(values) else values.astype(np.float64)), dtype=np.float64)
    # scipy takes wider numbers for the places where there are more values than int32 can count
    sums = csr_matrix((sums.data, sums.indices + column, sums.indptr), shape=(n_groups, n_columns))
    return Part(sums, tally, broken)


def _add_up(parts: Iterable[Part]) -> Part:
    """Add two parts of like size at a time, so that a large sum is not gone through for each small part."""
    stack: list[Part] = []
    for part in parts:
        stack.append(part)
        while len(stack) > 1 and stack[-2].sums.nnz <= 2 * stack[-1].sums.nnz:
            stack[-2:] = [_add(*stack[-2:])]
    return reduce(_add, reversed(stack))


def _add(one: Part, other: Part) -> Part:
    broken = min(filter(None, (one.broken, other.broken)), default=None)
    return Part(one.sums + other.sums, one.tally + other.tally, broken)
