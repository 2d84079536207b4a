"""Alleles beside the genome: whether they fit it, and what they make of the sequences of regions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scget._errors import GenomeError, first, needs_extra
from scget.pp._bases import as_text
from scget.pp._genome import genome_path, open_fasta, read_sequences, refuse_damage
from scget.pp._regions import Regions, sort_order

_BLOCK = 1 << 16  # bp read at once
_FEW = 3  # variants; of fewer no remedy is proposed
_MOST = 0.9  # share of variants that a remedy must mend to be proposed


@dataclass(frozen=True)
class Alleles:
    """Bases ``start_v`` to ``end_v`` of the reference (0-based half-open) replaced by the text ``put_v``.

    What reference and alternative share at their ends, the left end first, is not replaced.
    """

    chrom_v: np.ndarray
    start_v: np.ndarray
    end_v: np.ndarray
    put_v: np.ndarray

    @classmethod
    def of(cls, variants: pd.DataFrame) -> Alleles:
        """Those of a table from :func:`~scget.pp._variants.read_variants`; an allele without bases changes none."""
        size = len(variants)
        start_v, end_v, put_v = np.zeros(size, np.int64), np.zeros(size, np.int64), np.full(size, "", object)
        columns = (variants[name].tolist() for name in ("pos", "ref", "alt", "spelled"))
        for v, (pos, ref, alt, spelled) in enumerate(zip(*columns, strict=True)):
            alt = alt if spelled else ref
            left = len(commonprefix([ref, alt]))
            ref, alt = ref[left:], alt[left:]
            right = len(commonprefix([ref[::-1], alt[::-1]]))
            start_v[v] = pos - 1 + left
            end_v[v], put_v[v] = start_v[v] + len(ref) - right, alt[: len(alt) - right]
        return cls(variants["chrom"].to_numpy(dtype=object), start_v, end_v, put_v)

    def within(self, regions: Regions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs of a variant and a region that it changes, sorted: positions of both, and True where no base is left.

        An insertion changes a region that has bases on both sides of it.
        """
        with needs_extra("genome"):
            import bioframe

        between_v = self.start_v == self.end_v
        spans = pd.DataFrame(
            {"chrom": self.chrom_v, "start": self.start_v - between_v, "end": self.end_v + between_v}
        ).astype({"chrom": object})
        table = pd.DataFrame({"chrom": regions.chrom, "start": regions.start, "end": regions.end})
        met = bioframe.overlap(spans, table, how="inner", return_index=True, return_input=False).astype(np.int64)
        v_n, p_n = met.sort_values(["index", "index_"]).to_numpy().reshape(-1, 2).T
        begin_n, end_n = regions.start[p_n], regions.end[p_n]
        touched_n = (self.start_v[v_n] < end_n) & (self.end_v[v_n] > begin_n)  # of an insertion: strictly inside
        v_n, p_n = v_n[touched_n], p_n[touched_n]
        lost_n = (self.start_v[v_n] <= regions.start[p_n]) & (self.end_v[v_n] >= regions.end[p_n])
        return v_n, p_n, lost_n

    def put_into(self, text: str, at: int, variant: int) -> str:
        """Sequence ``text``, whose first base is number ``at`` of its chromosome, with the allele of a variant in it.

        Bases of the allele stand on bases of the reference from the left, so that only those of ``text`` come in.
        """
        start, end, put = self.start_v[variant], self.end_v[variant], self.put_v[variant]
        stop = at + len(text)
        inside = put[max(at - start, 0) : len(put) if end <= stop else stop - start]
        return text[: max(start - at, 0)] + inside + text[min(end, stop) - at :]


def region_texts(genome: object, regions: Regions) -> list[str]:
    """Sequences of regions as texts of A, C, G, T and N."""
    codes, offsets = read_sequences(genome, regions)
    text = as_text(codes)
    return [text[low:high] for low, high in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]


def check_reference(genome: object, variants: pd.DataFrame) -> None:
    """Refuse variants whose reference allele is not what the FASTA has there; an unknown base (N) agrees with any.

    Raises
    ------
    GenomeError
        If a chromosome is not in the FASTA, a variant lies beyond the end of one, or a reference allele differs.
    """
    path = genome_path(genome)
    start_v = variants["pos"].to_numpy() - 1
    spans = Regions(variants["chrom"].to_numpy(dtype=object), start_v, start_v + variants["ref"].str.len().to_numpy())
    with open_fasta(path, spans) as fasta:
        lengths = {record.name: len(record) for record in fasta}
        _check_chromosomes(path.name, spans, lengths)
        length_v = np.array([lengths[chrom] for chrom in spans.chrom], dtype=np.int64)
        past = np.flatnonzero(spans.end > length_v)
        if len(past):
            v = past[0]
            raise GenomeError(
                f"{len(past):,} of {len(spans):,} variants lie beyond the end of their chromosome, first "
                f"{_short(variants['variant'][v])!r}, where {spans.chrom[v]!r} of '{path.name}' has {length_v[v]:,} bases. Give "
                "the genome build that the variants were called on"
            )
        with refuse_damage(path):
            there_v = _texts_around(path.name, fasta, spans)
    _compare(path.name, variants, there_v)


def _texts_around(name: str, fasta: Any, spans: Regions) -> list[str]:
    """Bases of spans with one more on either side; ``.`` for the base before the first and after the last."""
    order, block_v = sort_order(spans), spans.start // _BLOCK
    same = (spans.chrom[order][1:] == spans.chrom[order][:-1]) & (np.diff(block_v[order]) == 0)
    cuts = np.flatnonzero(np.r_[True, ~same, True])
    there_v = [""] * len(spans)
    with tqdm(total=len(order), desc=f"Comparing with {name}", unit="variant", leave=False) as bar:
        for low, high in zip(cuts[:-1], cuts[1:], strict=True):
            some = order[low:high]
            begin, end = int(spans.start[some].min()) - 1, int(spans.end[some].max()) + 1
            read = fasta[spans.chrom[some[0]]][max(begin, 0) : end].upper()
            text = "." * (begin < 0) + read + "."  # at most one base is beyond either end
            for v, at, stop in zip(some.tolist(), spans.start[some] - begin, spans.end[some] - begin, strict=True):
                there_v[v] = text[at - 1 : stop + 1]
            bar.update(len(some))
    return there_v


def _check_chromosomes(name: str, spans: Regions, there: Iterable[str]) -> None:
    """Refuse variants on chromosomes that the FASTA lacks: whether they fit cannot be told."""
    asked, known = list(dict.fromkeys(spans.chrom)), list(there)
    lacking = [chrom for chrom in asked if chrom not in set(known)]
    if not lacking:
        return
    with_chr = {f"chr{chrom}" for chrom in lacking} & set(known)
    without = {chrom.removeprefix("chr") for chrom in lacking} & set(known)
    advice = "Write them with 'chr'" if with_chr else "Write them without 'chr'" if without else "Drop or rename these"
    raise GenomeError(
        f"{int(np.isin(spans.chrom, lacking).sum()):,} of {len(spans):,} variants lie on chromosomes that '{name}' lacks, "
        f"{first(lacking)}; it has {first(known)}. {advice}"
    )


def _compare(name: str, variants: pd.DataFrame, there_v: list[str]) -> None:
    """Refuse alleles that differ from the bases of the FASTA."""
    ref_v, alt_v = variants["ref"].tolist(), variants["alt"].tolist()
    fits = np.array([_agree(ref, there[1:-1]) for ref, there in zip(ref_v, there_v, strict=True)])
    wrong = np.flatnonzero(~fits)
    if not len(wrong):
        return
    v = wrong[0]
    shifted = {
        f"add {step} to pos": [_agree(ref_v[i], there_v[i][1 + step :][: len(ref_v[i])]) for i in range(len(ref_v))]
        for step in (1, -1)
    }
    shares = {
        f"Positions may be off by one (pos is 1-based, as in VCF): {how}": np.mean(ok) for how, ok in shifted.items()
    }
    shares["Are ref and alt exchanged?"] = np.mean([there_v[i][1:].startswith(alt_v[i]) for i in wrong])
    advice = [what for what, share in shares.items() if share >= _MOST and share > fits.mean()]
    if len(wrong) < _FEW:
        advice = []  # by chance a quarter of bases fit anywhere
    raise GenomeError(
        f"the reference allele of {len(wrong):,} of {len(fits):,} variants is not what '{name}' has there, first "
        f"{_short(variants['variant'][v])!r}, where it has {_short(there_v[v][1:-1])!r}. "
        + (advice[0] if advice else "Give the genome build that the variants were called on, or drop these variants")
    )


def _agree(ref: str, there: str) -> bool:
    """Whether texts are alike, an unknown base being like any."""
    if ref == there:
        return True
    pairs = zip(ref, there, strict=False)
    return len(ref) == len(there) and all(a == b or a == "N" or b not in "ACGT." for a, b in pairs)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
