"""Every value of a matrix looked at: are these raw counts of fragments or reads?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse

from scget._errors import InputError, first, warn
from scget.pp._chunks import read_chunks

if TYPE_CHECKING:
    from anndata import AnnData

_BLOCK = 1 << 22  # values looked at in one go
_LOG1P_MAX = 20.0  # log1p of 500 million; log-normalised data lie below


@dataclass(frozen=True)
class Tally:
    """What the stored values of a matrix, or of a part of it, are like; parts add up to the whole."""

    n_values: int = 0
    n_nan: int = 0
    n_inf: int = 0
    n_negative: int = 0
    n_broken: int = 0  # not whole numbers
    n_positive: int = 0
    n_even: int = 0  # of the positive ones
    n_one: int = 0
    n_two: int = 0
    least: float = np.inf
    most: float = -np.inf

    def __add__(self, other: Tally) -> Tally:
        sums = {key: value + getattr(other, key) for key, value in vars(self).items() if key.startswith("n_")}
        return Tally(**sums, least=min(self.least, other.least), most=max(self.most, other.most))


def check_in_memory(adata: AnnData, name: str) -> None:
    """Refuse a backed modality, which would be read over and over or become dense unseen."""
    if adata.isbacked:
        raise InputError(
            f"modality {name!r} is backed (on disk), which cannot be read this way. "
            "Load it into memory: mudata.read_h5mu(path) without backed=, or .to_memory()."
        )


def get_counts(adata: AnnData, layer: str | None, where: str) -> Any:
    """Return ``X`` or a layer once every value is known to be a raw count.

    Parameters
    ----------
    adata
        One modality.
    layer
        Key in ``layers``; None for ``X``.
    where
        Name of the modality, for the messages and for the argument they name ("rna": ``rna_layer``).
    """
    check_in_memory(adata, where)
    matrix, called = find_counts(adata, layer, where)
    names = adata.obs_names, adata.var_names
    check_counts(matrix, called, names, hint=lambda: where_counts_are(adata, layer, where))
    return matrix


def find_counts(adata: AnnData, layer: str | None, where: str) -> tuple[Any, str]:
    """Return ``X`` or a layer, unread where it is on disk, and what messages call it; see :func:`get_counts`."""
    layers = _layers(adata)
    if layer is not None and layer not in layers:
        raise InputError(f"no layer {layer!r} in {where!r}; there are {first(layers, 9) or 'none'}.")
    if layer is None and adata.isbacked and adata.is_view:
        raise InputError(
            f"modality {where!r} is a view of a backed file, whose counts would be loaded. Read the file with "
            "anndata.experimental.read_lazy, which can be subset, or load the view with .to_memory()."
        )
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        good = [key for key in layers if _is_counts(adata.layers[key])]  # predictions are none
        advice = f"Pass {where}_layer=, one of {first(good, 9)}." if good else "No layer holds raw counts either."
        raise InputError(f"{where}.X is empty (None). {advice}")
    return matrix, f"{where}.X" if layer is None else f"{where}.layers[{layer!r}]"


def _layers(adata: AnnData) -> list[str]:
    return [key for key in adata.layers if key is not None]


def where_counts_are(adata: AnnData, layer: str | None, where: str) -> str:
    """Sentence that names the layers which do hold raw counts, if ``layer`` (None: ``X``) does not."""
    others = [key for key in [None, *_layers(adata)] if key != layer]
    good = [key for key in others if _is_counts(adata.X if key is None else adata.layers[key])]
    if good:
        return " " + " or ".join(f"Pass {where}_layer={key!r}." for key in good)
    return f" Pass {where}_layer= with a layer of raw counts; none was found."


def _is_counts(matrix: Any) -> bool:
    if matrix is None:
        return False
    try:
        for chunk in read_chunks(matrix):
            check_counts(chunk.values, "")
    except InputError:
        return False
    return True


def check_counts(
    matrix: Any,
    where: str,
    axis_names: tuple[Sequence[str], Sequence[str]] | None = None,
    hint: Callable[[], str] | None = None,
) -> Tally:
    """Refuse anything but raw counts: finite, not negative, whole; every stored value is looked at.

    Parameters
    ----------
    matrix
        Rows x columns; array or sparse matrix/array of any number type.
    where
        What the matrix is called in messages, such as "rna.X".
    axis_names
        Names of rows and of columns, for messages.
    hint
        Makes the last sentence of the message where these are numbers, but no raw counts.

    Returns
    -------
    What the values are like.

    Raises
    ------
    InputError
        If a value is NaN, infinite, negative or not whole.
    """
    tally = tally_of(matrix, where)
    if tally.n_nan or tally.n_inf:
        check_finite(matrix, where, axis_names, ("row", "column"))
    refuse(tally, where, hint)
    return tally


def tally_of(matrix: Any, where: str) -> Tally:
    """Look at every stored value of a matrix in memory, called ``where`` in messages."""
    return sum((_tally(values) for values in _blocks(matrix, where)), Tally())


def _tally(values: np.ndarray) -> Tally:
    whole = values.dtype.kind in "biu"
    n_nan, n_inf = (0, 0) if whole else (int(np.isnan(values).sum()), int(np.isinf(values).sum()))
    if n_nan or n_inf:
        return Tally(values.size, n_nan, n_inf)
    least, most = float(values.min()), float(values.max())
    half = values / 2
    n_zero = int((values == 0).sum())
    return Tally(
        n_values=values.size,
        n_negative=int((values < 0).sum()) if least < 0 else 0,
        n_broken=0 if whole else int((values != np.floor(values)).sum()),
        n_positive=values.size - n_zero,
        n_even=int((half == np.floor(half)).sum()) - n_zero,
        n_one=int((values == 1).sum()),
        n_two=int((values == 2).sum()),
        least=least,
        most=most,
    )


def refuse(tally: Tally, where: str, hint: Callable[[], str] | None = None) -> None:
    """Refuse finite values that are no raw counts; see :func:`check_counts`."""
    advice = hint() if hint is not None and (tally.n_negative or tally.n_broken) else ""
    if tally.n_negative:
        raise InputError(
            f"{tally.n_negative:,} negative values in {where}, least {tally.least:.4g}. Raw counts are needed.{advice}"
        )
    if tally.n_broken:
        log1p = ": looks like log1p" if tally.most < _LOG1P_MAX else ""
        share = f"{tally.n_broken / tally.n_values:.1%} of its {tally.n_values:,} stored values"
        raise InputError(
            f"{where} must be raw counts: {share} are not whole numbers (max {tally.most:.4g}{log1p}).{advice}"
        )


def check_rows_counted(matrix: Any, rows: Sequence[str], modality: str) -> None:
    """Refuse rows without any count, from which nothing relative can be made."""
    empty = np.flatnonzero(np.asarray(matrix.sum(axis=1)).ravel() == 0)
    if len(empty):
        raise InputError(f"{len(empty)} rows of {modality!r} have no counts, first {rows[empty[0]]!r}. Remove them.")


def warn_if_not_fragments(matrix: Any, where: str) -> None:
    """Warn where accessibility is binary, or is mostly even as counts of reads or cut sites are.

    Parameters
    ----------
    matrix
        Rows x regions, raw counts in memory; or the :class:`Tally` of such.
    where
        What the matrix is called in messages, such as "atac.X".
    """
    tally = matrix if isinstance(matrix, Tally) else tally_of(matrix, where)
    n_even, n_values = tally.n_even, tally.n_positive
    if tally.most == 1 and n_values >= 200:  # of so many true counts in single cells, some are 2
        warn(f"{where} looks binary; counts of fragments carry more: scget.pp.count_fragments.")
    elif n_values >= 50 and n_even > 2 / 3 * n_values and tally.n_two > tally.n_one:
        # fragments give even and odd numbers alike, a read at each end of a fragment gives even ones
        warn(
            f"{n_even / n_values:.0%} of the counts in {where} are even and counts of 2 ({tally.n_two:,}) outnumber "
            f"counts of 1 ({tally.n_one:,}): reads, not fragments? scvi.data.reads_to_fragments halves them."
        )


def check_finite(matrix: Any, where: str, axis_names: tuple | None, axes: tuple[str, str]) -> None:
    """Refuse NaN and infinite values, naming the place of the first."""
    n_nan = n_inf = 0
    for values in _blocks(matrix, where):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            n_nan, n_inf = n_nan + int(np.isnan(values).sum()), n_inf + int(np.isinf(values).sum())
    if n_nan or n_inf:
        refuse_not_finite(Tally(n_nan=n_nan, n_inf=n_inf), where, place_of(matrix, n_nan > 0), axis_names, axes)


def place_of(matrix: Any, nan: bool) -> tuple[int, int]:
    """Row and column of the first NaN, or of the first infinite value, of a matrix in memory that holds one."""
    wanted = np.isnan if nan else np.isinf
    if issparse(matrix):
        triples = matrix.tocoo()
        at = int(wanted(triples.data).argmax())
        return int(triples.row[at]), int(triples.col[at])
    row, column = np.argwhere(wanted(matrix))[0]
    return int(row), int(column)


def refuse_not_finite(
    tally: Tally, where: str, place: tuple[int, int], axis_names: tuple | None, axes: tuple[str, str]
) -> None:
    """Refuse NaN, or else infinite values, the first of which is at ``place``; see :func:`check_finite`."""
    names = [str(axis[i]) for axis, i in zip(axis_names, place, strict=True)] if axis_names else list(map(str, place))
    named = ", ".join(f"{axis} {name!r}" for axis, name in zip(axes, names, strict=True))
    count = f"{tally.n_nan:,} NaN" if tally.n_nan else f"{tally.n_inf:,} infinite values"
    raise InputError(f"{count} in {where}, first in {named}. Remove or mend these values.")


def _blocks(matrix: Any, where: str) -> Iterator[np.ndarray]:
    """Stored values in blocks of a few million, so that checks need no second copy of the matrix."""
    if issparse(matrix):
        values = (matrix if matrix.format in ("csr", "csc", "coo") else matrix.tocsr()).data
    elif isinstance(matrix, np.ndarray):
        values = matrix
    else:
        raise InputError(f"{where} is a {type(matrix).__name__}, not in memory. Load it first, e.g. with .to_memory().")
    if values.dtype.kind not in "biuf":
        raise InputError(f"{where} holds {values.dtype}, numbers are needed.")
    width = values.shape[1] if values.ndim > 1 else 1
    step = max(1, _BLOCK // max(1, width))
    for begin in range(0, len(values), step):
        block = np.asarray(values[begin : begin + step])
        if block.size:
            yield block
