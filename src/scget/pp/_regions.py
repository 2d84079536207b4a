"""Coordinates of regions: read, checked, named and sorted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scget._errors import InputError, first

if TYPE_CHECKING:
    from anndata import AnnData

# Read from the right, as contigs hold "_", "-" and ":" themselves; 18 digits fit into int64.
_NAME = re.compile(r"(.*[^:_\-])[:_\-](-?[0-9]{1,18})[_\-](-?[0-9]{1,18})", re.ASCII)
_NAME_HELP = "Use 'chr1:100-600' (also 'chr1-100-600', 'chr1_100_600'), or var columns chrom, start, end."
_CHROMS = ("chrom", "chr", "chromosome", "seqnames", "seqname", "seqid", "contig", "#chrom", "peak_chr")
_SPANS = (
    ("start", "end"),
    ("start", "stop"),
    ("chromstart", "chromend"),
    ("chrom_start", "chrom_end"),
    ("peak_start", "peak_end"),
)
_NAME_COLUMNS = ("interval", "peak", "peaks", "region", "regions", "coordinates")  # "interval" is Cell Ranger's


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions of a genome, 0-based half-open, in the order given by the user.

    Parameters
    ----------
    chrom
        ``(p,)`` names of chromosomes, text.
    start
        ``(p,)`` first base, int64.
    end
        ``(p,)`` base after the last, int64.
    """

    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray

    def __len__(self) -> int:
        return len(self.chrom)

    def __getitem__(self, index: np.ndarray | slice) -> Regions:
        return Regions(self.chrom[index], self.start[index], self.end[index])

    @cached_property
    def names(self) -> np.ndarray:
        """``(p,)`` names such as ``chr1:100-200``."""
        rows = zip(self.chrom.tolist(), self.start.tolist(), self.end.tolist(), strict=True)
        return np.array([f"{chrom}:{start}-{end}" for chrom, start, end in rows], dtype=object)

    @property
    def centers(self) -> np.ndarray:
        """``(p,)`` middle base, rounded down, int64."""
        return (self.start + self.end) // 2


def parse_regions(names: Sequence[str] | np.ndarray | pd.Index) -> Regions:
    """Read region names.

    Parameters
    ----------
    names
        ``chr1:100-200``, ``chr1-100-200`` or ``chr1_100_200``, 0-based half-open. Names of contigs may hold the
        separators themselves, as in ``chr11_KI270721v1_random_12_90``.

    Returns
    -------
    The regions, in the order of ``names``; only the form of the names is checked, see :func:`regions_of`.

    Raises
    ------
    InputError
        If a name cannot be read.

    Examples
    --------
    >>> parse_regions(["chr1_KI270706v1_random-10-20"]).names.tolist()
    ['chr1_KI270706v1_random:10-20']
    """
    texts = [str(name) for name in names]
    matches = [_NAME.fullmatch(text) for text in texts]
    unreadable = [text for text, match in zip(texts, matches, strict=True) if match is None]
    if unreadable:
        raise InputError(
            f"cannot read {len(unreadable):,} of {len(texts):,} region names, first {unreadable[0]!r}. {_NAME_HELP}"
        )
    columns = np.array([match.groups() for match in matches if match], dtype=object).reshape(-1, 3)
    return Regions(columns[:, 0], columns[:, 1].astype(np.int64), columns[:, 2].astype(np.int64))


def regions_of(atac: AnnData, *, one_based: bool = False) -> Regions:
    """Read and check the regions of an ATAC modality; :func:`regions_in` of its ``var``."""
    return regions_in(atac.var, one_based=one_based)


def regions_in(var: pd.DataFrame, *, one_based: bool = False) -> Regions:
    """Read and check the regions of a table.

    Parameters
    ----------
    var
        The coordinates are in the columns ``chrom``, ``start`` and ``end`` (also ``chr``, ``seqnames``, ``Chromosome``,
        ``Start``, ``chromStart``, ``peak_chr``, ...) or, where these are missing, in the row names or a column of names
        such as Cell Ranger's ``interval``; 0-based half-open.
    one_based
        The coordinates given are 1-based and include their end.

    Returns
    -------
    The regions, in the order of the table, 0-based half-open.

    Raises
    ------
    InputError
        If coordinates are unreadable, not whole numbers, negative, empty or duplicated, or if names and columns
        disagree.
    """
    columns = find_columns(var)
    if not columns:
        regions = _from_names(var)
    else:
        regions = _from_columns(var, columns[0])
        _check_names_agree(regions, np.asarray(var.index, dtype=object))
    if one_based:
        regions = _from_one_based(regions)
    check_coordinates(regions)
    return regions


def are_names(texts: Sequence[object] | np.ndarray | pd.Index) -> np.ndarray:
    """``(n,)`` True for texts in one of the forms that :func:`parse_regions` reads."""
    return np.array([_NAME.fullmatch(str(text)) is not None for text in texts], dtype=bool)


def naming_hint(ours: Iterable[str], theirs: Iterable[str]) -> str:
    """What to do where names of chromosomes, ``ours`` of the regions, differ from ``theirs`` by "chr" alone; else nothing."""
    ours, theirs = set(ours), set(theirs)
    if {f"chr{chrom}" for chrom in ours} & theirs:
        return " Add 'chr'? scget.pp.rename_chromosomes(mdata, to='ucsc')"
    if {chrom.removeprefix("chr") for chrom in ours} & theirs:
        return " Remove 'chr'? scget.pp.rename_chromosomes(mdata, to='ensembl')"
    return ""


def sort_order(regions: Regions) -> np.ndarray:
    """Find the positions that sort regions by chromosome (chr2 before chr10 before chrX), start and end.

    Examples
    --------
    >>> sort_order(parse_regions(["chrX:1-2", "chr10:1-2", "chr2:5-6", "chr2:1-2"])).tolist()
    [3, 2, 1, 0]
    """
    codes, chroms = pd.factorize(regions.chrom)
    rank_of_code = np.empty(len(chroms), dtype=np.int64)
    rank_of_code[sorted(range(len(chroms)), key=lambda i: _natural(chroms[i]))] = np.arange(len(chroms))
    return np.lexsort((regions.end, regions.start, rank_of_code[codes]))


def _natural(name: str) -> tuple[list[str | int], str]:
    """Sort key in which numbers inside of text count as numbers."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def find_columns(var: pd.DataFrame) -> list[list[str]]:
    """Each three columns of ``var`` that hold chromosome, start and end; none unless there are all three.

    Names of one family belong together, so that ``start`` of a gene is not joined with ``peak_chr``.

    Raises
    ------
    InputError
        If two such triples differ.
    """
    written = {str(column).lower(): column for column in reversed(var.columns)} | {c: c for c in var.columns}
    found: list[list[str]] = []
    for start, end in _SPANS:
        family = "peak_" if start.startswith("peak_") else ""
        chroms = [name for name in _CHROMS if name in written and name.startswith("peak_") == bool(family)]
        if chroms and start in written and end in written:
            found.append([written[name] for name in (chroms[0], start, end)])
    for other in found[1:]:
        if not all(_as_written(var[a]).equals(_as_written(var[b])) for a, b in zip(found[0], other, strict=True)):
            raise InputError(
                f"var holds two sets of coordinates that differ, in the columns {first(found[0])} and {first(other)}. "
                "Drop or rename the columns that are not those of the regions."
            )
    return found


def _as_written(column: pd.Series) -> pd.Series:
    """Values as text, whole numbers of any type alike."""
    numbers = pd.to_numeric(column.astype(object), errors="coerce").astype(np.float64)
    return column.astype(str).where(numbers.isna(), numbers.astype(str))


def name_columns(var: pd.DataFrame) -> list[str]:
    """Columns of ``var`` such as Cell Ranger's ``interval``, in which all texts are coordinates."""
    named = [column for column in var.columns if str(column).lower() in _NAME_COLUMNS]
    return [column for column in named if are_names(var[column]).all()]


def _from_names(var: pd.DataFrame) -> Regions:
    """Coordinates from the row names or, where not all of these are coordinates, from the first column that is."""
    if not are_names(var.index).all():
        for column in name_columns(var):
            return parse_regions(var[column])
    return parse_regions(var.index)


def _from_one_based(regions: Regions) -> Regions:
    """Shift the first base by one; the last one of 1-based coordinates is the one after the last, counted from 0."""
    at_zero = np.flatnonzero(regions.start == 0)
    if len(at_zero):
        raise InputError(
            f"{len(at_zero):,} regions start at 0, first {str(regions.names[at_zero[0]])!r}, so that the coordinates are "
            "0-based already. Leave out one_based=True."
        )
    return Regions(regions.chrom, regions.start - 1, regions.end)


def _from_columns(var: pd.DataFrame, columns: list[str]) -> Regions:
    """Coordinates from three columns of ``var``, as whole numbers."""
    chrom = var[columns[0]]
    if chrom.isna().any():
        lacking = var.index[chrom.isna()]
        raise InputError(f"{len(lacking):,} regions have no chromosome in var[{columns[0]!r}], first {lacking[0]!r}.")
    start, end = (_whole_numbers(var[column]) for column in columns[1:])
    return Regions(chrom.astype(str).to_numpy(dtype=object), start, end)


def _whole_numbers(column: pd.Series) -> np.ndarray:
    """Column as int64; anything else than a whole number is refused."""
    if pd.api.types.is_complex_dtype(column.dtype):
        raise InputError(f"{column.name} holds complex numbers. Coordinates are 0-based whole numbers.")
    if pd.api.types.is_integer_dtype(column.dtype) and not column.isna().any():
        numbers = column.to_numpy(dtype=np.float64)
    else:
        numbers = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(numbers) | (numbers != np.floor(numbers)) | (np.abs(numbers) >= 2**53)
    if wrong.any():
        at = int(wrong.argmax())
        raise InputError(
            f"{column.name} {column.iloc[at]} is not a whole number (region {str(column.index[at])!r}; "
            f"{int(wrong.sum()):,} such values). Coordinates are 0-based whole numbers."
        )
    return numbers.astype(np.int64)


def _check_names_agree(regions: Regions, var_names: np.ndarray) -> None:
    """Refuse columns that contradict those names which can be read as coordinates."""
    written = regions.names
    unlike = np.flatnonzero(written != var_names)
    named = unlike[are_names(var_names[unlike])]
    if not len(named):
        return
    wrong = [i for i, name in zip(named, parse_regions(var_names[named]).names, strict=True) if name != written[i]]
    if wrong:
        raise InputError(
            f"name {str(var_names[wrong[0]])!r}, but the columns of var say {written[wrong[0]]} "
            f"(names and columns disagree for {len(wrong):,} of {len(regions):,} regions). Mend one of them."
        )


def check_coordinates(regions: Regions) -> None:
    """Refuse negative, empty and duplicated regions."""
    frame = pd.DataFrame({"chrom": regions.chrom, "start": regions.start, "end": regions.end})
    problems = (
        (regions.start < 0, "start before 0", "Coordinates are 0-based half-open."),
        (regions.start >= regions.end, "have no length (start >= end)", "Coordinates are 0-based half-open."),
        (frame.duplicated().to_numpy(), "occur twice", "Keep one of each."),
    )
    for wrong, what, help_text in problems:
        if wrong.any():
            at = np.flatnonzero(wrong)
            raise InputError(f"{len(at):,} regions {what}, first {first(regions[at[:4]].names.tolist())}. {help_text}")
