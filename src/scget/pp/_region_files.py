"""Regions from a BED or narrowPeak file."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from scget import _keys as keys
from scget._errors import InputError, warn
from scget.pp._regions import Regions, check_coordinates

_BED = ("name", "score", "strand")  # columns 4 to 6
_PEAK = (*_BED, "signal", "minus_log10_p", "minus_log10_q", "summit")  # of narrowPeak; broadPeak has no summit
_NUMBERS = {"score", "signal", "minus_log10_p", "minus_log10_q", "summit"}
_HELP = "Needed are chromosome, start and end, separated by tabs; a line of column names must begin with '#'."


def read_regions(path: str | Path, *, one_based: bool = False) -> pd.DataFrame:
    r"""Read regions from a BED, narrowPeak or broadPeak file.

    Lines that are empty or begin with ``#``, ``track`` or ``browser`` are left out. Regions that occur more than once, as
    MACS writes one line per summit, are kept once: the line of the highest ``signal`` or else the first.

    Parameters
    ----------
    path
        File, plain or compressed with gzip or bgzip; three or more columns.
    one_based
        The coordinates are 1-based and include their end, which is against the rule of the format.

    Returns
    -------
    A table with one row per region, in the order of the file, indexed by names such as ``chr1:100-200``: ``chrom``,
    ``start`` (0-based) and ``end`` (half-open). Where the file has them: ``name``, ``score``, ``strand`` and, if its name
    says ``.narrowPeak`` or ``.broadPeak``, ``signal``, ``minus_log10_p``, ``minus_log10_q`` (each -1 where unknown) and
    ``summit`` (bases from ``start`` as written, -1 where unknown). It can be ``atac.var`` as it is, or the reference of
    :func:`scget.pp.match_regions`.

    Raises
    ------
    InputError
        If a line is malformed (its number is named), no region is found, or a region is empty or negative.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> with open("peaks.bed", "w") as file:
    ...     _ = file.write("track name=peaks\nchr1\t100\t600\tpeak1\nchr2\t50\t90\tpeak2\n")
    >>> scget.pp.read_regions("peaks.bed")
                chrom  start  end   name
    chr1:100-600  chr1    100  600  peak1
    chr2:50-90    chr2     50   90  peak2
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No file of regions at '{path}'. Give the path of a BED or narrowPeak file.")
    rows, line_of_row = _rows(path)
    columns = [*keys.REGION_COLUMNS, *_extra_columns(path)]
    n_columns = min(min(len(row) for row in rows), len(columns))
    table = pd.DataFrame([row[:n_columns] for row in rows], columns=columns[:n_columns], dtype=object)
    for column in ("start", "end"):
        table[column] = _whole(table[column], path, line_of_row)
    table["start"] -= int(one_based)
    table = table.astype({"chrom": object, "start": np.int64, "end": np.int64})
    for column in _NUMBERS.intersection(table.columns):
        table[column] = pd.to_numeric(table[column].replace(".", "-1"), errors="coerce")
    table = _without_repeats(table, path)
    regions = Regions(*(table[column].to_numpy() for column in keys.REGION_COLUMNS))
    check_coordinates(regions)
    return table.set_index(pd.Index(regions.names, dtype=object))


def _rows(path: Path) -> tuple[list[list[str]], list[int]]:
    """Fields of each line with a region, and its number."""
    rows, line_of_row = [], []
    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig") if packed else open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                line = line.rstrip("\r\n")
                if not line.strip() or line.startswith("#") or line.split(None, 1)[0] in ("track", "browser"):
                    continue
                fields = line.split("\t") if "\t" in line else _split_at_blanks(line)
                fields[0] = fields[0].strip()
                if len(fields) < 3 or not fields[0]:
                    raise InputError(f"line {number:,} of '{path.name}' has no region: {line[:60]!r}. {_HELP}")
                rows.append(fields)
                line_of_row.append(number)
    except (EOFError, OSError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"'{path}' cannot be read as text or gzip ({error}). Give a whole BED file.") from error
    if not rows:
        raise InputError(f"no region in '{path}'. {_HELP}")
    return rows, line_of_row


def _split_at_blanks(line: str) -> list[str]:
    """Fields of a line without tabs; the whole line where the second and third are no numbers, as blanks may be in names."""
    fields = line.split()
    return fields if all(re.fullmatch(r"-?[0-9.e+]+", field) for field in fields[1:3]) else [line]


def _extra_columns(path: Path) -> tuple[str, ...]:
    """Names of the columns after the third, as the file's ending tells."""
    ending = path.name.lower().removesuffix(".gz").removesuffix(".bgz").rsplit(".", 1)[-1]
    return {"narrowpeak": _PEAK, "broadpeak": _PEAK[:-1]}.get(ending, _BED)


def _whole(column: pd.Series, path: Path, line_of_row: list[int]) -> np.ndarray:
    """Column of text as whole numbers; the first line that has none is named."""
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(numbers) | (numbers != np.floor(numbers)) | (np.abs(numbers) >= 2**53)
    if wrong.any():
        at = int(wrong.argmax())
        raise InputError(
            f"line {line_of_row[at]:,} of '{path.name}': {column.name} {str(column.iloc[at])[:30]!r} is not a whole "
            f"number ({int(wrong.sum()):,} such lines). {_HELP}"
        )
    return numbers.astype(np.int64)


def _without_repeats(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """One line of each region, that of the highest signal."""
    place = list(keys.REGION_COLUMNS)
    again = table.duplicated(place)
    if not again.any():
        return table
    warn(
        f"{int(again.sum()):,} lines of '{path.name}' repeat a region and are left out, as where MACS writes one line per "
        "summit."
    )
    by_signal = table.sort_values("signal", ascending=False, kind="stable") if "signal" in table else table
    return by_signal.drop_duplicates(place).sort_index().reset_index(drop=True)
