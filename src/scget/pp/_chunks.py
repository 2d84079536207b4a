"""Matrices that are not in memory, read a few million values at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import issparse

_VALUES = 1 << 24  # read in one go: some 500 MB while they are summed


class Chunk(NamedTuple):
    """A part of a matrix, in memory, and where its first row and column stand in the whole."""

    row: int
    column: int
    values: Any


def is_dask(matrix: Any) -> bool:
    """Whether ``matrix`` is an array of dask, told without importing dask."""
    return any(kind.__module__.startswith("dask.") for kind in type(matrix).__mro__)  # anndata derives its views


def is_on_disk(matrix: Any) -> bool:
    """Whether ``matrix`` must be read in chunks: backed by HDF5 or zarr, or an array of dask."""
    from anndata.abc import CSCDataset, CSRDataset

    outside = type(matrix).__module__.startswith(("h5py.", "zarr."))
    return outside or is_dask(matrix) or isinstance(matrix, (CSRDataset, CSCDataset))


def in_memory(value: Any) -> Any:
    """Return ``value``, or what is read where it is lazy or on disk, alone or in a record.

    Text of numpy's own type, as zarr files give, becomes text in an array of objects, which any file takes.
    """
    if is_dask(value):
        value = value.compute()
    elif hasattr(value, "to_memory"):  # a lazy table is a mapping too
        value = value.to_memory()
    elif is_on_disk(value):
        value = np.asarray(value)
    elif isinstance(value, Mapping):
        return {key: in_memory(item) for key, item in value.items()}
    return value.astype(object) if isinstance(value, np.ndarray) and value.dtype.kind == "T" else value


def loaded(value: Any) -> Any:
    """Return a plain copy in memory of what may be a view, on disk, or lazy; see :func:`in_memory`."""
    value = in_memory(value)
    if isinstance(value, Mapping):
        return {key: loaded(item) for key, item in value.items()}
    if issparse(value):  # a view of anndata is of a class derived from that of scipy
        kind = next(kind for kind in type(value).__mro__ if kind.__module__.startswith("scipy."))
        return kind(value, copy=True)
    if isinstance(value, np.ndarray):
        return np.array(value)
    return pd.DataFrame(value, copy=True) if isinstance(value, pd.DataFrame) else copy.deepcopy(value)


def pieces(matrix: Any) -> Iterator[Chunk]:
    """As :func:`read_chunks`, and what is in memory cut as small, so that work on a part needs little memory."""
    if is_on_disk(matrix):
        yield from read_chunks(matrix)
    elif issparse(matrix):
        matrix = matrix if matrix.format in ("csr", "csc") else matrix.tocsr()
        for a, b in pairwise(_cuts(matrix.indptr)):
            yield Chunk(a, 0, matrix[a:b]) if matrix.format == "csr" else Chunk(0, a, matrix[:, a:b])
    elif isinstance(matrix, np.ndarray) and matrix.ndim == 2:
        step = max(1, _VALUES // max(1, matrix.shape[1]))
        yield from (Chunk(a, 0, np.asarray(matrix[a : a + step])) for a in range(0, matrix.shape[0], step))
    else:
        yield Chunk(0, 0, matrix)  # of no known kind, to be refused


def read_chunks(matrix: Any) -> Iterator[Chunk]:
    """Parts that make up ``matrix``, each read when it is asked for; one already in memory is one chunk."""
    from anndata.abc import CSCDataset, CSRDataset

    if not is_on_disk(matrix):
        yield Chunk(0, 0, matrix)
    elif isinstance(matrix, CSRDataset):
        yield from (Chunk(a, 0, matrix[a:b]) for a, b in pairwise(_cuts(_ends(matrix))))
    elif isinstance(matrix, CSCDataset):
        yield from (Chunk(0, a, matrix[:, a:b]) for a, b in pairwise(_cuts(_ends(matrix))))
    elif is_dask(matrix):
        yield from (Chunk(row, column, block.compute()) for row, column, block in dask_blocks(matrix))
    else:
        step = _dense_step(matrix)
        yield from (Chunk(a, 0, matrix[a : a + step]) for a in range(0, matrix.shape[0], step))


def n_chunks(matrix: Any) -> int:
    """Count the chunks of :func:`read_chunks`, for a progress bar."""
    from anndata.abc import CSCDataset, CSRDataset

    if isinstance(matrix, (CSRDataset, CSCDataset)):
        return len(_cuts(_ends(matrix))) - 1
    if is_dask(matrix):
        return int(np.prod(matrix.numblocks))
    return -(-matrix.shape[0] // _dense_step(matrix))


def dask_blocks(matrix: Any) -> list[Chunk]:
    """Blocks of an array of dask, their values delayed."""
    rows, columns = (np.cumsum((0, *sizes)) for sizes in matrix.chunks)
    blocks = matrix.to_delayed()
    return [Chunk(int(rows[i]), int(columns[j]), blocks[i, j]) for i, j in np.ndindex(*blocks.shape)]


def _ends(matrix: Any) -> np.ndarray:
    """Where the values of each row (CSR) or column (CSC) on disk end."""
    return np.asarray(matrix.group["indptr"][:]).astype(np.int64)  # beyond 2**31 values in a large file


def _cuts(ends: np.ndarray) -> list[int]:
    """Ends of runs of rows (CSR) or columns (CSC) that hold at most ``_VALUES`` values, or are a single one."""
    cuts = [0]
    while cuts[-1] < len(ends) - 1:
        limit = int(ends[cuts[-1]]) + _VALUES
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(ends, limit, side="right")) - 1))
    return cuts


def _dense_step(matrix: Any) -> int:
    """Rows of a dense matrix on disk to read in one go: whole chunks of the file where it has any."""
    step = max(1, _VALUES // max(1, matrix.shape[1]))
    stored = matrix.chunks[0] if getattr(matrix, "chunks", None) else 1
    return max(1, step // stored) * stored
