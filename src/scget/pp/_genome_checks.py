"""Whether a FASTA file can be read at random places, and whether regions belong to it."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from scget._errors import GenomeError, first, warn
from scget.pp._bases import OTHER
from scget.pp._bgzip import check_whole, is_bgzip, read_at
from scget.pp._regions import Regions, naming_hint

_LONGEST_NAME = 1 << 12  # bytes of a line that names a sequence
_MANY_LOST = 0.05  # share of regions on chromosomes that the genome lacks
_MANY_UNKNOWN, _MOST_UNKNOWN = 0.02, 0.5  # share of unknown bases: hg38 has 5% in all, called regions next to none
_log = logging.getLogger("scget")


def check_packing(path: Path) -> None:
    """Refuse a file compressed in a way, or named in a way, that leaves no access at random places."""
    with open(path, "rb") as file:
        head = file.read(18)
    if head[:2] != b"\x1f\x8b":
        return
    if not is_bgzip(head):
        packed = path.name if path.name.endswith(".gz") else f"{path.name}.gz"
        rename = "" if packed == path.name else f"mv '{path.name}' '{packed}' && "
        plain = packed.removesuffix(".gz")
        raise GenomeError(
            f"'{path}' is compressed with gzip, which can be read from its beginning only. Unpack it (gunzip), or compress "
            f"it with bgzip: {rename}gunzip '{packed}' && bgzip '{plain}' && samtools faidx '{packed}'"
        )
    if not path.name.lower().endswith((".gz", ".bgz")):
        raise GenomeError(f"'{path}' is compressed with bgzip, but its name does not end in '.gz'. Rename it.")
    check_whole(path, GenomeError)


def index_fits(path: Path, chroms: Iterable[str]) -> bool:
    """Whether the index ``.fai`` beside a FASTA file is of this file, as far as ``chroms`` and the file's end tell.

    The line before each sequence must be its name, and what follows it the next name or the end of the file.
    """
    try:
        rows = [line.split("\t") for line in Path(f"{path}.fai").read_text().splitlines()]
        spans = {name: tuple(int(field) for field in fields[:4]) for name, *fields in rows}
        last = max(spans, key=lambda name: spans[name][1])
        for name in {*chroms, last} & spans.keys():
            length, offset, bases, width = spans[name]
            before = max(0, offset - _LONGEST_NAME)
            title = read_at(path, before, offset - before).rstrip(b"\r\n").split(b"\n")[-1]
            if title[:1] != b">" or title[1:].split()[:1] != [name.encode()]:
                return False
            end = offset + (length // bases * width + length % bases if bases else 0)
            after = read_at(path, max(0, end - 1), _LONGEST_NAME)
            if not after or after[1:].lstrip()[:1] != (b"" if name == last else b">"):
                return False
    except (OSError, ValueError, zlib.error):  # ValueError: an index that is empty or cut
        return False
    return True


def check_fit(path: Path, regions: Regions, lengths: dict[str, int]) -> np.ndarray:
    """True for regions on chromosomes of the genome; the others are left out, told of or warned of.

    Refused are regions of which none is on a chromosome of the genome, and regions past the end of theirs.
    """
    length_p = np.array([lengths.get(chrom, -1) for chrom in regions.chrom], dtype=np.int64)
    known = length_p >= 0
    check_shared(path.name, "genome", regions, known, list(lengths))
    past = np.flatnonzero(known & ((regions.start < 0) | (regions.end > length_p)))
    if len(past):
        i = past[0]
        raise GenomeError(
            f"{len(past):,} regions lie outside their chromosome, first '{regions.names[i]}' where '{regions.chrom[i]}' "
            f"of '{path.name}' has {length_p[i]:,} bases. Give the genome build the regions were called on, or cut the "
            "regions if only a few stand over the edge."
        )
    tell_of_lost(path.name, regions, known, list(lengths))
    return known


def check_shared(name: str, what: str, regions: Regions, known: np.ndarray, there: list[str]) -> None:
    """Refuse regions of which none is on a chromosome of the file ``name``, which has the chromosomes ``there``."""
    if not known.any():
        missing = list(dict.fromkeys(regions.chrom))
        raise GenomeError(
            f"No chromosome in common: regions {first(missing)}; {what} '{name}' {first(there)}. "
            f"Regions and {what} must name chromosomes alike.{naming_hint(missing, there)}"
        )


def tell_of_lost(name: str, regions: Regions, known: np.ndarray, there: list[str]) -> None:
    """Log regions on chromosomes that the file ``name`` lacks, or warn where they are many."""
    n = len(regions) - int(known.sum())
    missing = list(dict.fromkeys(regions.chrom[~known]))
    text = (
        f"{n:,} of {len(regions):,} regions lie on {len(missing):,} chromosomes that '{name}' lacks ({first(missing)}): "
        "they have no motifs."
    )
    if n > _MANY_LOST * len(regions):
        advice = f"Drop these regions, or give a file that holds them.{naming_hint(missing, there)}"
        warn(f"{text} {advice}")
    elif n:
        _log.info(text)


def check_bases(path: Path, codes: np.ndarray, offsets: np.ndarray, known: np.ndarray) -> None:
    """Warn where many, and refuse where most, of the bases of the regions in ``known`` are not known."""
    n_bases = int(np.diff(offsets)[known].sum())
    lost = int(offsets[-1]) - n_bases
    share = (np.count_nonzero(codes == OTHER) - lost) / max(n_bases, 1)
    if share <= _MANY_UNKNOWN:
        return
    message = (
        f"{share:.0%} of the regions' bases are not A, C, G or T in '{path.name}', as in the gaps of an assembly. Were the "
        "regions called on another genome build? Give that one; a hard-masked file (repeats as N) does not serve either."
    )
    if share > _MOST_UNKNOWN:
        raise GenomeError(message)
    warn(message)
