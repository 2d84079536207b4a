"""Sequences of regions from a FASTA file."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from tqdm.auto import tqdm

from scget._errors import GenomeError, ScgetWarning, first
from scget.pp._regions import Regions

OTHER = 4  # code of a base that is not A, C, G or T
_CODE = bytes("ACGT".find(chr(i).upper()) if chr(i).upper() in "ACGT" else OTHER for i in range(256))
_READ = 1 << 24  # bytes at a time


def genome_path(genome: object) -> Path:
    """Path of the FASTA file: ``genome`` itself, or its attribute ``fasta`` (SnapATAC2's ``Genome``).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    path = Path(getattr(genome, "fasta", genome))  # type: ignore[arg-type]
    if not path.is_file():
        raise FileNotFoundError(f"No FASTA file at '{path}'. Give the path of the genome, such as 'hg38.fa'.")
    return path


def read_sequences(genome: object, regions: Regions) -> tuple[np.ndarray, np.ndarray]:
    """Bases of each region as codes.

    The file is read once from its beginning, a chromosome in memory at a time, so that no index is needed or made.

    Parameters
    ----------
    genome
        Path of a FASTA file, plain or compressed with gzip or bgzip, or an object with such a path as attribute ``fasta``.
    regions
        Regions, 0-based half-open, in any order.

    Returns
    -------
    codes
        ``(bases,)`` uint8, the regions one after the other: 0..3 = A, C, G, T of either case, 4 = anything else.
    offsets
        ``(regions + 1,)`` int64; region ``i`` is ``codes[offsets[i]:offsets[i + 1]]``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    GenomeError
        If the file is damaged or no FASTA, lacks a chromosome, or a region lies past a chromosome's end.
    """
    path = genome_path(genome)
    offsets = np.concatenate([[0], np.cumsum(regions.end - regions.start)]).astype(np.int64)
    codes = np.empty(offsets[-1], dtype=np.uint8)
    by_chrom: dict[str, list[int]] = {}
    for i, chrom in enumerate(regions.chrom):
        by_chrom.setdefault(str(chrom), []).append(i)
    missing, present, past = dict(by_chrom), [], []
    with tqdm(total=len(regions), desc="Reading sequences", unit="region", leave=False) as bar:
        for chrom, sequence in _chromosomes(path):
            present.append(chrom)
            for i in missing.pop(chrom, ()):
                if regions.end[i] > len(sequence) or regions.start[i] < 0:
                    past.append((i, len(sequence)))
                else:
                    codes[offsets[i] : offsets[i + 1]] = sequence[regions.start[i] : regions.end[i]]
            bar.update(len(by_chrom.get(chrom, ())))
            if not missing:
                break
    _check_found(path, regions, by_chrom, missing, present, past)
    _check_bases(path, codes)
    return codes, offsets


def _chromosomes(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Name and codes of each chromosome in the order of the file."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            yield from _records(path, gzip.GzipFile(fileobj=raw) if packed else raw)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise GenomeError(
                f"'{path}' is damaged ({error}); a whole gzip file is needed. Download it again."
            ) from error


def _records(path: Path, handle: IO[bytes] | gzip.GzipFile) -> Iterator[tuple[str, np.ndarray]]:
    name, pieces, tail = None, [], b""
    while True:
        block = handle.read(_READ)
        at_end = not block
        block = tail + block
        cut = len(block) if at_end else block.rfind(b"\n") + 1
        block, tail = block[:cut], block[cut:]
        body, *records = (b"\n" + block).split(b"\n>")  # whole lines, so that a header is never cut
        if name is None and body.strip():
            raise GenomeError(f"'{path}' does not begin with '>', so it is no FASTA file. Give the genome's FASTA.")
        pieces.append(body.translate(_CODE, b"\r\n \t"))
        for record in records:
            if name is not None:
                yield name, np.frombuffer(b"".join(pieces), dtype=np.uint8)
            header, _, body = record.partition(b"\n")
            name = (header.split() or [b""])[0].decode("utf-8", "replace")
            pieces = [body.translate(_CODE, b"\r\n \t")]
        if at_end:
            break
    if name is not None:
        yield name, np.frombuffer(b"".join(pieces), dtype=np.uint8)


def _check_found(
    path: Path,
    regions: Regions,
    by_chrom: dict[str, list[int]],
    missing: dict[str, list[int]],
    present: list[str],
    past: list[tuple[int, int]],
) -> None:
    """Refuse chromosomes the genome lacks and regions past a chromosome's end."""
    if missing and len(missing) == len(by_chrom):
        hint = ""
        if {f"chr{c}" for c in missing} & set(present):
            hint = " Add 'chr'?"
        elif {c.removeprefix("chr") for c in missing} & set(present):
            hint = " Remove 'chr'?"
        raise GenomeError(
            f"No chromosome in common: regions {first(list(missing))}; genome '{path.name}' {first(present)}. "
            f"Regions and genome must name chromosomes alike.{hint}"
        )
    if missing:
        lost = [i for rows in missing.values() for i in rows]
        raise GenomeError(
            f"{len(lost)} regions lie on {len(missing)} chromosomes that '{path.name}' lacks: {first(list(missing))} "
            f"(first region '{regions.names[lost[0]]}'). Drop these regions, or give a genome that holds them."
        )
    if past:
        i, length = min(past)
        raise GenomeError(
            f"{len(past)} regions lie outside their chromosome, first '{regions.names[i]}' where '{regions.chrom[i]}' "
            f"of '{path.name}' has {length:,} bases. Give the genome build the regions were called on."
        )


def _check_bases(path: Path, codes: np.ndarray) -> None:
    """Warn where most bases are unknown."""
    unknown = np.count_nonzero(codes == OTHER)
    if unknown > 0.5 * len(codes):
        warnings.warn(
            f"{unknown / len(codes):.0%} of the regions' bases are not A, C, G or T in '{path.name}'. "
            "Were the regions called on another genome build?",
            ScgetWarning,
            stacklevel=4,
        )
