"""Every value of a matrix looked at: are these raw counts of fragments or reads?"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse

from scget._errors import InputError, ScgetWarning, first

if TYPE_CHECKING:
    from anndata import AnnData

_BLOCK = 1 << 22  # values looked at in one go
_LOG1P_MAX = 20.0  # log1p of 500 million; log-normalised data lie below


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
    layers = [key for key in adata.layers if key is not None]
    if layer is not None and layer not in layers:
        raise InputError(f"no layer {layer!r} in {where!r}; there are {first(layers, 9) or 'none'}.")
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        raise InputError(f"{where}.X is empty (None). Pass {where}_layer=, one of {first(layers, 9) or 'none'}.")
    check_counts(
        matrix,
        f"{where}.X" if layer is None else f"{where}.layers[{layer!r}]",
        (adata.obs_names, adata.var_names),
        hint=lambda: _where_counts_are(adata, layers, layer, where),
    )
    return matrix


def _where_counts_are(adata: AnnData, layers: list[str], layer: str | None, where: str) -> str:
    """Sentence that names the layers which do hold raw counts."""
    others: list[str | None] = [key for key in layers if key != layer]
    if layer is not None and adata.X is not None:
        others.insert(0, None)
    good = [key for key in others if _is_counts(adata.X if key is None else adata.layers[key])]
    if good:
        return " " + " or ".join(f"Pass {where}_layer={key!r}." for key in good)
    return f" Pass {where}_layer= with a layer of raw counts; none was found."


def _is_counts(matrix: Any) -> bool:
    try:
        check_counts(matrix, "")
    except InputError:
        return False
    return True


def check_counts(
    matrix: Any,
    where: str,
    axis_names: tuple[Sequence[str], Sequence[str]] | None = None,
    hint: Callable[[], str] | None = None,
) -> None:
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

    Raises
    ------
    InputError
        If a value is NaN, infinite, negative or not whole.
    """
    check_finite(matrix, where, axis_names, ("row", "column"))
    n_values = n_negative = n_broken = 0
    least, most = np.inf, -np.inf
    for values in _blocks(matrix, where):
        n_values += values.size
        least, most = min(least, float(values.min())), max(most, float(values.max()))
        n_negative += int((values < 0).sum()) if least < 0 else 0
        n_broken += int((values != np.floor(values)).sum()) if values.dtype.kind == "f" else 0
    advice = hint() if hint is not None and (n_negative or n_broken) else ""
    if n_negative:
        raise InputError(
            f"{n_negative:,} negative values in {where}, least {least:.4g}. Raw counts are needed.{advice}"
        )
    if n_broken:
        log1p = ": looks like log1p" if most < _LOG1P_MAX else ""
        raise InputError(
            f"{where} must be raw counts: {n_broken / n_values:.1%} of its {n_values:,} stored values are not whole "
            f"numbers (max {most:.4g}{log1p}).{advice}"
        )


def check_rows_counted(matrix: Any, rows: Sequence[str], modality: str) -> None:
    """Refuse rows without any count, from which nothing relative can be made."""
    empty = np.flatnonzero(np.asarray(matrix.sum(axis=1)).ravel() == 0)
    if len(empty):
        raise InputError(f"{len(empty)} rows of {modality!r} have no counts, first {rows[empty[0]]!r}. Remove them.")


def warn_if_not_fragments(matrix: Any, where: str, stacklevel: int = 2) -> None:
    """Warn where accessibility is binary, or is mostly even as counts of reads or cut sites are.

    Parameters
    ----------
    matrix
        Rows x regions, raw counts.
    where
        What the matrix is called in messages, such as "atac.X".
    stacklevel
        As in :func:`warnings.warn`, so that the line of the user is named.
    """
    n_values = n_even = n_one = n_two = 0
    most = 0.0
    for values in _blocks(matrix, where):
        positive = values[values > 0]
        n_values += positive.size
        most = max(most, float(positive.max(initial=0)))
        n_even += int((positive % 2 == 0).sum()) if positive.dtype.kind != "b" else 0
        n_one, n_two = n_one + int((positive == 1).sum()), n_two + int((positive == 2).sum())
    if most == 1 and n_values >= 200:  # of so many true counts in single cells, some are 2
        warnings.warn(
            f"{where} looks binary; counts of fragments carry more: scget.pp.count_fragments.",
            ScgetWarning,
            stacklevel=stacklevel,
        )
    elif n_values >= 50 and n_even > 2 / 3 * n_values and n_two > n_one:
        # fragments give even and odd numbers alike, a read at each end of a fragment gives even ones
        warnings.warn(
            f"{n_even / n_values:.0%} of the counts in {where} are even and counts of 2 ({n_two:,}) outnumber counts "
            f"of 1 ({n_one:,}): reads, not fragments? scvi.data.reads_to_fragments halves them.",
            ScgetWarning,
            stacklevel=stacklevel,
        )


def check_finite(matrix: Any, where: str, axis_names: tuple | None, axes: tuple[str, str]) -> None:
    """Refuse NaN and infinite values, naming the place of the first."""
    n_nan = n_inf = 0
    for values in _blocks(matrix, where):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            n_nan, n_inf = n_nan + int(np.isnan(values).sum()), n_inf + int(np.isinf(values).sum())
    if not n_nan and not n_inf:
        return
    wanted = np.isnan if n_nan else np.isinf
    if issparse(matrix):
        triples = matrix.tocoo()
        at = int(wanted(triples.data).argmax())
        place = [int(triples.row[at]), int(triples.col[at])]
    else:
        place = [int(i) for i in np.argwhere(wanted(matrix))[0]]
    names = [str(axis[i]) for axis, i in zip(axis_names, place, strict=True)] if axis_names else list(map(str, place))
    named = ", ".join(f"{axis} {name!r}" for axis, name in zip(axes, names, strict=True))
    count = f"{n_nan:,} NaN" if n_nan else f"{n_inf:,} infinite values"
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
