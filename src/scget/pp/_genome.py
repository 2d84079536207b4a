"""Sequences of regions from a FASTA file."""

from __future__ import annotations

import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from scget._errors import GenomeError, ScgetWarning, first, needs_extra
from scget.pp._regions import Regions, sort_order

if TYPE_CHECKING:
    from pyfaidx import Fasta

OTHER = 4  # code of a base that is not A, C, G or T
_CODE = np.array(["ACGT".find(chr(i)) % 5 for i in range(256)], dtype=np.uint8)  # -1 % 5 = OTHER
_BASES = re.compile(r"[A-Z*.-]*")


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

    The index of the file (``.fai``, for bgzip also ``.gzi``) is read beside it. Where it is missing or older than the
    file, it is made anew, and kept if the folder can be written.

    Parameters
    ----------
    genome
        Path of a FASTA file, plain or compressed with bgzip, or an object with such a path as attribute ``fasta``.
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
    ImportError
        If pyfaidx, or for bgzip biopython, is missing.
    """
    path = genome_path(genome)
    offsets = np.concatenate([[0], np.cumsum(regions.end - regions.start)]).astype(np.int64)
    codes = np.empty(offsets[-1], dtype=np.uint8)
    with tqdm(total=len(regions), desc=f"Opening {path.name}", unit="region", leave=False) as bar, _open(path) as fasta:
        _check_fit(path, regions, {record.name: len(record) for record in fasta})
        bar.set_description("Reading sequences")
        with _refuse_damage(path):
            for i in sort_order(regions).tolist():  # sorted, so that each block of a bgzip file is unpacked once
                text = fasta[regions.chrom[i]][int(regions.start[i]) : int(regions.end[i])]
                if len(text) != offsets[i + 1] - offsets[i] or not _BASES.fullmatch(text):
                    raise ValueError(f"no {offsets[i + 1] - offsets[i]} bases at '{regions[i : i + 1].names[0]}'")
                codes[offsets[i] : offsets[i + 1]] = _CODE[np.frombuffer(text.encode(), dtype=np.uint8)]
                bar.update()
    _check_bases(path, codes)
    return codes, offsets


def _open(path: Path) -> Fasta:
    """Open the file with an index that is not older than itself."""
    with needs_extra("genome"):
        import pyfaidx
    options = {"as_raw": True, "sequence_always_upper": True, "rebuild": False}
    kinds = (".fai", ".gzi") if path.name.lower().endswith((".gz", ".bgz")) else (".fai",)
    beside = [Path(f"{path}{kind}") for kind in kinds]
    changed = path.stat().st_mtime
    with needs_extra("genome"), _refuse_damage(path):
        if all(index.is_file() and index.stat().st_mtime >= changed for index in beside):
            return pyfaidx.Fasta(path, **options)
        keep = os.access(path.parent, os.W_OK)
        with TemporaryDirectory(prefix=".scget-", dir=path.parent if keep else None) as folder:
            made = [Path(folder) / index.name for index in beside]
            fasta = pyfaidx.Fasta(path, indexname=made[0], gzi_indexname=made[-1], **options)
            with suppress(OSError):  # such as another's old index in a shared folder
                for new, index in zip(made, beside if keep else (), strict=False):
                    os.replace(new, index)  # so that no half-written index is left when this is killed
            return fasta


@contextmanager
def _refuse_damage(path: Path) -> Iterator[None]:
    """Name the file and a remedy in whatever pyfaidx raises for a file it cannot read."""
    import pyfaidx

    try:
        yield
    except (pyfaidx.FastaIndexingError, OSError, RuntimeError, ValueError, struct.error, zlib.error) as error:
        raise GenomeError(
            f"Cannot read '{path}' ({error}). Needed is a whole FASTA, plain or compressed with bgzip, beside which lies "
            "no index ('.fai', '.gzi') of another file. Is it compressed with gzip? gunzip it, or recompress with bgzip."
        ) from error


def _check_fit(path: Path, regions: Regions, lengths: dict[str, int]) -> None:
    """Refuse chromosomes the genome lacks and regions past a chromosome's end."""
    length_p = np.array([lengths.get(chrom, -1) for chrom in regions.chrom], dtype=np.int64)
    lost = np.flatnonzero(length_p < 0)
    missing = list(dict.fromkeys(regions.chrom[lost]))
    if missing and len(lost) == len(regions):
        hint = ""
        if {f"chr{c}" for c in missing} & lengths.keys():
            hint = " Add 'chr'?"
        elif {c.removeprefix("chr") for c in missing} & lengths.keys():
            hint = " Remove 'chr'?"
        raise GenomeError(
            f"No chromosome in common: regions {first(missing)}; genome '{path.name}' {first(list(lengths))}. "
            f"Regions and genome must name chromosomes alike.{hint}"
        )
    if missing:
        raise GenomeError(
            f"{len(lost)} regions lie on {len(missing)} chromosomes that '{path.name}' lacks: {first(missing)} "
            f"(first region '{regions.names[lost[0]]}'). Drop these regions, or give a genome that holds them."
        )
    past = np.flatnonzero((regions.start < 0) | (regions.end > length_p))
    if len(past):
        i = past[0]
        raise GenomeError(
            f"{len(past)} regions lie outside their chromosome, first '{regions.names[i]}' where '{regions.chrom[i]}' "
            f"of '{path.name}' has {length_p[i]:,} bases. Give the genome build the regions were called on."
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
