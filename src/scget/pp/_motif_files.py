"""Files of motifs: MEME, JASPAR, PFM and TRANSFAC, read strictly.

Biopython reads these formats too, but leaves out a motif that lacks a row and a position that lacks a number without a
word, and refuses the TRANSFAC files of JASPAR; a motif lost in silence is a wrong number later.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from scget._errors import InputError, first

_ROW = re.compile(r"([ACGT])?\s*[|\[:]?([^\[\]]*)\]?", re.IGNORECASE)  # A [ 4 19 0 ], or the numbers alone


class Record(NamedTuple):
    """A motif of a file: identifier, other name or "", and ``(width, 4)`` probabilities of A, C, G, T."""

    name: str
    other: str
    matrix: np.ndarray


def read_records(path: str | PathLike[str], format: str | None = None) -> list[Record]:
    """Motifs of a file in its order; see :func:`scget.pp.read_motifs`."""
    if format is not None and format not in FORMATS:
        raise InputError(f"`format` is {format!r}; one of {', '.join(FORMATS)} is needed, or None to find out.")
    if not Path(path).is_file():
        raise FileNotFoundError(f"No motif file at '{path}'. Give the path of a MEME, JASPAR, PFM or TRANSFAC file.")
    data = Path(path).read_bytes()
    try:
        lines = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig", "replace").splitlines()
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"'{path}' is not a whole gzip file ({error}). Copy it again.") from error
    format = format or _guess(lines, path)
    records = list(FORMATS[format](lines, path))
    if not records:
        raise InputError(f"'{path}' holds no motif in {format} format. {_LOOKS[format]}")
    seen: set[str] = set()
    for record in records:
        if record.name in seen:
            raise InputError(
                f"Motif '{record.name}' stands twice in '{path}'; names must differ. Rename or remove one."
            )
        seen.add(record.name)
    return records


def check_matrix(name: str, matrix: object) -> np.ndarray:
    """Return the probabilities of a motif as float64, (w, 4)."""
    if isinstance(matrix, pd.DataFrame):
        letters = [str(column).upper() for column in matrix.columns]
        if sorted(letters) != list("ACGT"):
            raise InputError(f"Motif '{name}' is a table with the columns {first(letters, 4)}; A, C, G, T are needed.")
        matrix = matrix.to_numpy()[:, [letters.index(base) for base in "ACGT"]]
    try:
        p = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        p = np.empty(0)
    if p.ndim != 2 or p.shape[1:] != (4,) or len(p) == 0:
        raise InputError(f"Motif '{name}' has shape {p.shape}; (width, 4) for A, C, G, T is needed.")
    bad = np.flatnonzero(~(np.isfinite(p).all(axis=1) & (p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) <= 0.01)))
    if len(bad):
        raise InputError(
            f"Motif '{name}' has {len(bad)} rows that are no probabilities, first row {bad[0]}: {p[bad[0]].tolist()}. "
            "Each row must be >= 0 and sum to 1; divide counts by their row sums."
        )
    return p


def _guess(lines: list[str], path: str | PathLike[str]) -> str:
    """Format of a file, from its content."""
    text = [line for line in lines if line.strip() and not line.startswith("#")]
    if any(line.lstrip().startswith(("MEME version", "MOTIF ", "letter-probability")) for line in text):
        return "meme"
    if any(re.match(r"P[0O]\s", line) for line in text):
        return "transfac"
    if any(re.match(r"A\s*[\[|:]", line) for line in text):
        return "jaspar"
    if text and all(line.startswith(">") or _numbers(line.split()) for line in text):
        return "pfm"
    raise InputError(f"'{path}' holds no motif in a format known here: {', '.join(FORMATS)}. Give such a file.")


def _numbers(words: list[str]) -> list[float] | None:
    """Numbers of a line, or None if it is anything else."""
    try:
        return [float(w) for w in words] or None
    except ValueError:
        return None


def _read_meme(lines: list[str], path: str | PathLike[str]) -> Iterator[Record]:
    """MOTIF lines, each followed by a letter-probability matrix."""
    name, other, width = "", "", -1
    has_matrix, after = True, False  # of the motif being read; whether its last row has just passed
    rows: list[list[float]] | None = None  # the matrix being read
    for line in [*lines, "", "MOTIF end"]:
        words = line.split()
        row = _numbers(words)
        if rows is not None:
            if row is not None and len(rows) != width:
                rows.append(row)
                continue
            if width >= 0 and len(rows) != width:
                raise InputError(
                    f"Motif '{name}' in '{path}' has {len(rows)} rows, but says w= {width}. Mend the file."
                )
            yield Record(name, other, check_matrix(name, rows))
            rows, has_matrix, after = None, True, True
        if after and row is not None:
            raise InputError(
                f"Motif '{name}' in '{path}' has the row '{line.strip()[:60]}' after its end. Mend the file."
            )
        after = after and not words
        if line.startswith("ALPHABET=") and "".join(words[1:] or [words[0][9:]]) != "ACGT":
            raise InputError(f"'{path}' has '{line.strip()}'; motifs of DNA (ALPHABET= ACGT) are needed.")
        if words[:1] == ["MOTIF"]:
            if not has_matrix:
                raise InputError(
                    f"Motif '{name}' in '{path}' has no letter-probability matrix; log-odds do not serve. Mend the file."
                )
            if len(words) == 1:
                raise InputError(f"'{path}' has a motif without a name, after '{name or 'the head'}'. Name it.")
            name, other, has_matrix = words[1], " ".join(words[2:]), False
        elif line.lstrip().startswith("letter-probability matrix"):
            if not name:
                raise InputError(f"'{path}' has a matrix before the first MOTIF line. Name it.")
            rows, width = [], _width(name, line, path)


def _width(name: str, line: str, path: str | PathLike[str]) -> int:
    """Number of rows that the head of a matrix tells, or -1."""
    match = re.search(r"\bw=\s*(\S+)", line)
    if match and not re.fullmatch(r"-?[0-9]{1,6}", match[1]):
        raise InputError(f"Motif '{name}' in '{path}' says w= {match[1]}; a whole number is needed. Mend the file.")
    return int(match[1]) if match else -1


def _read_blocks(lines: list[str], path: str | PathLike[str]) -> Iterator[Record]:
    """``>name`` lines, each followed by four rows for A, C, G, T, or by a row of four numbers for each position."""
    blocks: list[tuple[list[str], list[tuple[str, list[float]]]]] = []
    for line in lines:
        if line.startswith(">"):
            words = line[1:].split(maxsplit=1)
            if not words:
                raise InputError(f"'{path}' has a motif without a name, number {len(blocks) + 1}. Name it.")
            blocks.append((words, []))
        elif line.strip() and not line.startswith("#"):
            match = _ROW.fullmatch(line.strip())
            row = _numbers(match[2].split()) if match else None
            if match is None or row is None:
                raise InputError(f"'{path}' has '{line.strip()[:60]}' where numbers are needed. Mend the file.")
            if not blocks:  # a single matrix, named by its file
                blocks.append(([re.sub(r"\..*", "", Path(path).name)], []))
            blocks[-1][1].append(((match[1] or "").upper(), row))
    for words, rows in blocks:
        name = words[0]
        yield Record(name, words[1] if len(words) > 1 else "", _from_counts(name, _upright(name, rows, path), path))


def _upright(name: str, rows: list[tuple[str, list[float]]], path: str | PathLike[str]) -> list[list[float]]:
    """Positions x A, C, G, T of a block."""
    letters, numbers = [letter for letter, _ in rows], [row for _, row in rows]
    widths = {len(row) for row in numbers}
    if any(letters):
        if sorted(letters) != list("ACGT") or len(widths) != 1:
            raise InputError(
                f"Motif '{name}' in '{path}' has rows {', '.join(letters)} of {sorted(widths)} numbers; one row for each "
                "of A, C, G, T, all of one length, is needed. Mend the file."
            )
        return [list(column) for column in zip(*(numbers[letters.index(base)] for base in "ACGT"), strict=True)]
    if widths == {4} and len(rows) == 4:
        raise InputError(
            f"Motif '{name}' in '{path}' is 4 x 4 without letters, so rows may be bases or positions. Write the letters "
            "before the rows, as in 'A [ 4 19 0 1 ]'."
        )
    if widths == {4}:
        return numbers
    if len(rows) != 4 or len(widths) != 1:
        raise InputError(
            f"Motif '{name}' in '{path}' has {len(rows)} rows of {sorted(widths)} numbers; four rows of one length (A, C, "
            "G, T), or four numbers in each row, are needed. Mend the file."
        )
    return [list(column) for column in zip(*numbers, strict=True)]


def _read_transfac(lines: list[str], path: str | PathLike[str]) -> Iterator[Record]:
    """Entries that end in ``//``."""
    entry: list[str] = []
    for line in lines:
        entry.append(line)
        if line.split()[:1] == ["//"]:
            yield from _read_entry(entry, path)
            entry = []
    yield from _read_entry(entry, path)


def _read_entry(lines: list[str], path: str | PathLike[str]) -> Iterator[Record]:
    """One record, or none: a matrix begins with ``P0`` (or ``PO``) and the letters, in any order."""
    fields: dict[str, str] = {}
    order: list[int] = []
    rows: list[list[float]] | None = None
    begin = 1
    ended = True  # by XX or //, as the matrix of a whole file is
    for line in lines:
        key, *words = line.split() or [""]
        if key in ("//", "XX"):
            ended = True
        elif key in ("P0", "PO"):
            letters = [word.upper() for word in words]
            if sorted(letters) != list("ACGT"):
                raise InputError(f"'{path}' has '{line.strip()}'; a matrix of A, C, G, T is needed.")
            if rows is not None:
                raise InputError(
                    f"'{path}' has two matrices in the entry of '{fields.get('AC')}'. Put '//' between them."
                )
            order, rows, ended = [letters.index(base) for base in "ACGT"], [], False
        elif rows is not None and key.isdigit():
            begin = int(key) if not rows else begin
            row = _numbers(words[:4])  # a consensus letter may follow
            if row is None or len(row) != 4:
                raise InputError(f"'{path}' has '{line.strip()[:60]}' where four numbers are needed. Mend the file.")
            if ended or begin > 1 or int(key) != begin + len(rows):
                raise InputError(f"'{path}' has the row '{line.strip()[:60]}' out of its order. Is the file whole?")
            rows.append([row[i] for i in order])
        elif words:
            fields.setdefault(key, " ".join(words))
    if rows is None:
        return
    name = fields.get("AC") or fields.get("ID") or fields.get("NA")
    if not name:
        raise InputError(f"'{path}' has a matrix without an AC, ID or NA line. Name it.")
    if not ended:
        raise InputError(f"'{path}' has motif '{name}', which no '//' ends. Is the file whole?")
    yield Record(name.split()[0], fields.get("NA") or fields.get("ID", ""), _from_counts(name, rows, path))


def _from_counts(name: str, rows: list[list[float]], path: str | PathLike[str]) -> np.ndarray:
    """Probabilities of counts or of frequencies, each position by its own sum."""
    counts = np.array(rows, dtype=np.float64).reshape(-1, 4)
    bad = np.flatnonzero(~(np.isfinite(counts).all(axis=1) & (counts >= 0).all(axis=1) & (counts.sum(axis=1) > 0)))
    if len(bad):
        raise InputError(
            f"Motif '{name}' in '{path}' has {len(bad)} positions that are no counts, first position {bad[0]}: "
            f"{counts[bad[0]].tolist()}. Each must be >= 0 and at least one above 0; log-odds cannot be read."
        )
    return check_matrix(name, counts / counts.sum(axis=1, keepdims=True))


FORMATS: dict[str, Callable[[list[str], str | PathLike[str]], Iterator[Record]]] = {
    "meme": _read_meme,
    "jaspar": _read_blocks,
    "pfm": _read_blocks,
    "transfac": _read_transfac,
}
_LOOKS = {
    "meme": "'MOTIF' and 'letter-probability matrix' lines are needed.",
    "jaspar": "'>name' lines, each followed by rows such as 'A [ 4 19 0 ]', are needed.",
    "pfm": "'>name' lines, each followed by rows of numbers, are needed.",
    "transfac": "'P0' lines, each followed by rows of counts, are needed.",
}
