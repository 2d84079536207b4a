"""A file of fragments, read in blocks of whole lines and refused where it is no such file."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scget._errors import InputError
from scget.pp._bgzip import check_whole

_BLOCK = 1 << 25  # bytes of text read in one go: about 700,000 fragments
_DTYPES = {"chrom": "category", "start": np.int64, "end": np.int64, "barcode": "category"}
_COMMENT = re.compile(rb"^#.*$", re.MULTILINE)
_WHOLE = re.compile(rb"\s*[+-]?[0-9]{1,18}\s*")  # fits into int64
_FAR = 10**18  # bases; what _WHOLE reads is below
_NEEDED = "Needed are tab-separated chrom, start, end and barcode, 0-based half-open."


def read_fragments(path: Path) -> Iterator[pd.DataFrame]:
    """Read a file of fragments block by block, under a progress bar in bytes of the file.

    Parameters
    ----------
    path
        Tab-separated chromosome, start, end, barcode; further columns (10x: read pairs) are passed over, as are lines
        that begin with ``#``. Plain, gzip or bgzip; in any order, without index.

    Yields
    ------
    Tables with categorical ``chrom`` and ``barcode``, int64 ``start`` and ``end``; 0-based half-open, checked.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If the file is cut, damaged or empty, or a line is no fragment.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no fragment file '{path}'. Give its path, such as 'atac_fragments.tsv.gz'.")
    empty = True
    for line, block in read_blocks(path):
        text = _COMMENT.sub(b"", block)  # leaves an empty line, so that lines keep their numbers
        if text.strip():
            empty = False
            yield _parse(text, line, path)
    if empty:
        raise InputError(f"'{path.name}' holds no fragments. {_NEEDED}")


def read_blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield blocks of whole lines, each with the number of its first line."""
    size, line = path.stat().st_size, 1
    progress = {"total": size, "desc": f"Reading {path.name}", "unit": "B", "unit_scale": True, "leave": False}
    with path.open("rb") as raw, tqdm(**progress) as bar:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if size and not zipped and path.suffix.lower() in (".gz", ".bgz"):
            raise InputError(f"'{path.name}' is no gzip file in spite of its name. Compress or rename it.")
        check_whole(path)
        handle = gzip.GzipFile(fileobj=raw) if zipped else raw
        while block := _whole_lines(handle, path):
            yield line, block.removeprefix(codecs.BOM_UTF8) if line == 1 else block
            line += block.count(b"\n")
            bar.update(raw.tell() - bar.n)


def _whole_lines(handle: gzip.GzipFile | io.BufferedReader, path: Path) -> bytes:
    try:
        return handle.read(_BLOCK) + handle.readline()
    except EOFError as error:
        raise InputError(f"'{path.name}' is not whole: it ends within compressed data. Copy it again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"'{path.name}' is damaged ({error}). Copy it again.") from error


def _parse(text: bytes, line: int, path: Path) -> pd.DataFrame:
    """Table of one block; ``line`` is the number of its first line."""
    layout = {"header": None, "names": list(_DTYPES), "usecols": range(len(_DTYPES)), "dtype": _DTYPES}
    try:
        # A barcode may hold "#" or a quote sign and may be called "NA", so none of these means anything.
        table = pd.read_csv(io.BytesIO(text), sep="\t", na_filter=False, quoting=csv.QUOTE_NONE, **layout)
    except (ValueError, OverflowError) as error:  # pandas' ParserError is a ValueError
        raise _fault(text, line, path, str(error)) from error
    start, end = table["start"].to_numpy(), table["end"].to_numpy()
    if (
        (start < 0).any()
        or (start >= end).any()
        or (end >= _FAR).any()
        or any("" in table[c].cat.categories for c in ("chrom", "barcode"))
    ):
        raise _fault(text, line, path, "a field is empty")
    return table


def _fault(text: bytes, line: int, path: Path, otherwise: str) -> InputError:
    """Count the lines of a block that are no fragments, and show the first."""
    lines = text.rstrip().split(b"\n")
    wrong = [(i, what) for i, one in enumerate(lines) if one.strip() and (what := _what_is_wrong(one))]
    at, what = wrong[0] if wrong else (0, otherwise)
    return InputError(
        f"{max(1, len(wrong)):,} of the first {line - 1 + len(lines):,} lines of '{path.name}' are no fragments, first "
        f"line {line + at:,}: {lines[at][:80].decode(errors='replace')!r} ({what}). {_NEEDED}"
    )


def _what_is_wrong(line: bytes) -> str | None:
    fields = line.rstrip(b"\r").split(b"\t")
    if len(fields) < len(_DTYPES):
        return f"{len(fields)} columns"
    if not fields[0] or not fields[3]:
        return "no chromosome" if not fields[0] else "no barcode"
    for name, field in zip(("start", "end"), fields[1:3], strict=True):
        if not _WHOLE.fullmatch(field):
            return f"{name} is not a whole number"
    start, end = int(fields[1]), int(fields[2])
    return "start before 0" if start < 0 else "start >= end" if start >= end else None
