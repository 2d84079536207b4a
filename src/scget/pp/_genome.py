"""Sequences of regions from a FASTA file."""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from scget._errors import GenomeError, needs_extra
from scget.pp._bases import CODES, OTHER
from scget.pp._genome_checks import check_bases, check_fit, check_packing, index_fits
from scget.pp._regions import Regions, sort_order

if TYPE_CHECKING:
    from pyfaidx import Fasta

_BASES = re.compile(r"[A-Z*.-]*")


def genome_path(genome: object) -> Path:
    """Path of the FASTA file: ``genome`` itself, or its attribute ``fasta`` (SnapATAC2's ``Genome``).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If ``genome`` is neither.
    """
    fasta = getattr(genome, "fasta", genome)
    if not isinstance(fasta, str | os.PathLike):
        raise TypeError(
            f"the genome is a {type(fasta).__name__}; the path of a FASTA file is needed, or an object with such a path as "
            "attribute 'fasta'."
        )
    path = Path(fasta)
    if not path.is_file():
        raise FileNotFoundError(f"No FASTA file at '{path}'. Give the path of the genome, such as 'hg38.fa'.")
    return path


def read_sequences(genome: object, regions: Regions) -> tuple[np.ndarray, np.ndarray]:
    """Bases of each region as codes.

    The index of the file (``.fai``, for bgzip also ``.gzi``) is read beside it. Where it is missing, older than the
    file or of another file, it is made anew, and kept if the folder can be written.

    Parameters
    ----------
    genome
        Path of a FASTA file, plain or compressed with bgzip, or an object with such a path as attribute ``fasta``.
    regions
        Regions, 0-based half-open, in any order.

    Returns
    -------
    codes
        ``(bases,)`` uint8, the regions one after the other: 0..3 = A, C, G, T of either case, 4 = anything else, and
        all bases of regions on chromosomes that the file lacks.
    offsets
        ``(regions + 1,)`` int64; region ``i`` is ``codes[offsets[i]:offsets[i + 1]]``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    GenomeError
        If the file is damaged or no FASTA, has none of the chromosomes, a region lies past a chromosome's end, or more
        than half of the bases are unknown.
    ImportError
        If pyfaidx, or for bgzip biopython, is missing.
    """
    path = genome_path(genome)
    offsets = np.concatenate([[0], np.cumsum(regions.end - regions.start)]).astype(np.int64)
    codes = np.full(offsets[-1], OTHER, dtype=np.uint8)
    with (
        tqdm(total=len(regions), desc=f"Opening {path.name}", unit="region", leave=False) as bar,
        open_fasta(path, regions) as fasta,
    ):
        known = check_fit(path, regions, {record.name: len(record) for record in fasta})
        bar.set_description("Reading sequences")
        with refuse_damage(path):
            order = sort_order(regions)
            for i in order[known[order]].tolist():  # sorted, so that each block of a bgzip file is unpacked once
                text = fasta[regions.chrom[i]][int(regions.start[i]) : int(regions.end[i])]
                if len(text) != offsets[i + 1] - offsets[i] or not _BASES.fullmatch(text):
                    raise ValueError(f"no {offsets[i + 1] - offsets[i]} bases at '{regions[i : i + 1].names[0]}'")
                codes[offsets[i] : offsets[i + 1]] = CODES[np.frombuffer(text.encode(), dtype=np.uint8)]
                bar.update()
    check_bases(path, codes, offsets, known)
    return codes, offsets


def open_fasta(path: Path, regions: Regions) -> Fasta:
    """Open the file with an index that is not older than itself and tells where its sequences are."""
    with needs_extra("genome"):
        import pyfaidx
    check_packing(path)
    options = {"as_raw": True, "sequence_always_upper": True, "rebuild": False}
    kinds = (".fai", ".gzi") if path.name.lower().endswith((".gz", ".bgz")) else (".fai",)
    beside = [Path(f"{path}{kind}") for kind in kinds]
    changed = path.stat().st_mtime
    with needs_extra("genome"), refuse_damage(path):
        fresh = all(index.is_file() and index.stat().st_mtime >= changed for index in beside)
        if fresh and index_fits(path, set(regions.chrom)):
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
def refuse_damage(path: Path) -> Iterator[None]:
    """Name the file and a remedy in whatever pyfaidx raises for a file it cannot read."""
    import pyfaidx

    try:
        yield
    except (pyfaidx.FastaIndexingError, OSError, RuntimeError, ValueError, struct.error, zlib.error) as error:
        raise GenomeError(
            f"Cannot read '{path}' ({error}). Needed is a whole FASTA, plain or compressed with bgzip, beside which lies "
            "no index ('.fai', '.gzi') of another file. If the file is whole, make its index anew: samtools faidx "
            f"'{path.name}'"
        ) from error
