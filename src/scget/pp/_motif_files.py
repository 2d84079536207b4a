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

from scget._errors import InputError

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
    if any(line.startswith(("MEME version", "MOTIF ", "letter-probability")) for line in text):
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
    rows: list[list[float]] | None = None  # the matrix being read
    for line in [*lines, ""]:
        words = line.split()
        if rows is not None:
            row = _numbers(words)
            if row is not None and len(rows) != width:
                rows.append(row)
                continue
            if width >= 0 and len(rows) != width:
                raise InputError(
                    f"Motif '{name}' in '{path}' has {len(rows)} rows, but says w= {width}. Mend the file."
                )
            yield Record(name, other, check_matrix(name, rows))
            rows = None
        if line.startswith("ALPHABET=") and "".join(words[1:] or [words[0][9:]]) != "ACGT":
            raise InputError(f"'{path}' has '{line.strip()}'; motifs of DNA (ALPHABET= ACGT) are needed.")
        if line.startswith("MOTIF") and len(words) > 1:
            name, other = words[1], " ".join(words[2:])
        elif line.startswith("letter-probability matrix"):
            told = words[words.index("w=") + 1] if "w=" in words[:-1] else "-1"
            if not re.fullmatch(r"-?[0-9]{1,6}", told):
                raise InputError(f"Motif '{name}' in '{path}' says w= {told}; a whole number is needed. Mend the file.")
            width = int(told)
            rows = []


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
    """Entries that end in ``//``; a matrix begins with ``P0`` (or ``PO``) and the letters, in any order."""
    entry: dict[str, str] = {}
    order: list[int] = []
    rows: list[list[float]] | None = None
    for line in [*lines, "//"]:
        key, *words = line.split() or [""]
        if key == "//":
            name = entry.get("AC") or entry.get("ID") or entry.get("NA") or ""
            if rows is not None and not name:
                raise InputError(f"'{path}' has a matrix without an AC, ID or NA line. Name it.")
            if rows is not None:
                yield Record(name.split()[0], entry.get("NA") or entry.get("ID", ""), _from_counts(name, rows, path))
            entry, rows = {}, None
        elif key in ("P0", "PO"):
            letters = [word.upper() for word in words]
            if sorted(letters) != list("ACGT"):
                raise InputError(f"'{path}' has '{line.strip()}'; a matrix of A, C, G, T is needed.")
            order, rows = [letters.index(base) for base in "ACGT"], []
        elif rows is not None and key.isdigit():
            row = _numbers(words[:4])  # a consensus letter may follow
            if row is None or len(row) != 4:
                raise InputError(f"'{path}' has '{line.strip()[:60]}' where four numbers are needed. Mend the file.")
            rows.append([row[i] for i in order])
        elif words:
            entry.setdefault(key, " ".join(words))


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
