"""Where the regions, genes and motif sites of `simulated` lie, and the FASTA, GTF and MEME that say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

BASES = np.frombuffer(b"ACGT", dtype=np.uint8)
_MARGIN = 10_000  # bp at either end of a chromosome
_SLOT = 25  # bp, room for one motif site
_LINE = 60  # bases a line of FASTA


def draw_regions(rng: np.random.Generator, n_chroms: int, per_chrom: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Regions of 400 to 500 bp about 4.5 kb apart, sorted, and the length of each chromosome."""
    tables, lengths = [], {}
    for i in range(n_chroms):
        size_p = rng.integers(400, 501, per_chrom)
        gap_p = 800 + rng.gamma(1.3, 2500, per_chrom).astype(np.int64)
        end_p = _MARGIN + np.cumsum(gap_p + size_p)
        chrom = f"chr{i + 1}"
        tables.append(pd.DataFrame({"chrom": chrom, "start": end_p - size_p, "end": end_p}))
        lengths[chrom] = int(end_p[-1]) + _MARGIN
    regions = pd.concat(tables, ignore_index=True)
    regions.index = regions["chrom"] + ":" + regions["start"].astype(str) + "-" + regions["end"].astype(str)
    return regions, lengths


def draw_genes(rng: np.random.Generator, regions: pd.DataFrame, n_apart: int) -> pd.DataFrame:
    """One row per TSS: gene, gene_id, chrom, strand, tss, region (row of `regions`, -1: none), body (bp).

    About a quarter of the regions are promoters, a tenth of those of two genes with opposite directions; a few genes have a
    second TSS in the next region; ``n_apart`` genes on each chromosome have a TSS in no region.
    """
    rows: list[tuple[str, str, int, int, int]] = []  # chrom, strand, tss, region, number of the gene
    gene = 0
    for chrom, here in regions.reset_index(drop=True).groupby("chrom", sort=False):
        name, size = str(chrom), (here["end"] - here["start"]).to_numpy()
        start, first = here["start"].to_numpy(), here.index[0]
        chosen = np.sort(rng.choice(len(here), round(0.23 * len(here)), replace=False))
        taken = set(chosen.tolist())
        for p in chosen.tolist():
            strands = ("+", "-", "-+")[rng.choice(3, p=[0.45, 0.45, 0.1])]
            for strand in strands:
                part = rng.uniform(0.55, 0.7) if strand == "+" else rng.uniform(0.3, 0.45)  # pairs point away
                rows.append((name, strand, int(start[p] + part * size[p]), first + p, gene))
                gene += 1
            after = p + 1 if strands == "+" else p - 1  # downstream
            if len(strands) == 1 and rng.random() < 0.06 and 0 <= after < len(here) and after not in taken:
                taken.add(after)
                rows.append((name, strands, int(start[after] + size[after] // 2), first + after, gene - 1))
        widest = np.argsort(np.diff(start), kind="stable")[-(len(here) // 4) :]
        for p in np.sort(rng.choice(widest, n_apart, replace=False)).tolist():
            rows.append((name, "+", int(start[p] + start[p + 1]) // 2, -1, gene))
            gene += 1
    table = pd.DataFrame(rows, columns=["chrom", "strand", "tss", "region", "number"])
    table["gene"] = [f"GENE{n + 1:04d}" for n in table["number"]]
    table["gene_id"] = [f"SIM{n + 1:08d}" for n in table["number"]]
    table["body"] = rng.integers(1_000, 8_000, gene)[table["number"]]
    return table.drop(columns="number")


def draw_sites(
    rng: np.random.Generator, regions: pd.DataFrame, content_pm: np.ndarray, pwms: list[np.ndarray], names: list[str]
) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """A place, a strand and a sequence for each planted motif; sites never overlap.

    Returns the table (region, motif, chrom, start, end, strand, sequence on the + strand) and, per site, base codes.
    """
    region_n, motif_n = np.nonzero(content_pm)
    slot_ps = rng.random((len(regions), int((regions["end"] - regions["start"]).min()) // _SLOT)).argsort(axis=1)
    nth_n = np.arange(len(region_n)) - np.searchsorted(region_n, region_n)  # nth site of its region
    width_n = np.array([len(pwm) for pwm in pwms])[motif_n]
    jitter_n = (rng.random(len(region_n)) * (_SLOT - width_n + 1)).astype(np.int64)
    start_n = regions["start"].to_numpy()[region_n] + slot_ps[region_n, nth_n] * _SLOT + jitter_n
    strand_n = rng.choice(["+", "-"], len(region_n))
    codes: list[np.ndarray] = [np.empty(0, np.uint8)] * len(region_n)
    for m, pwm in enumerate(pwms):
        rows = np.flatnonzero(motif_n == m)
        for row, word in zip(rows.tolist(), _sample_words(rng, pwm, len(rows)), strict=True):
            codes[row] = word if strand_n[row] == "+" else word[::-1] ^ 3
    sites = pd.DataFrame(
        {
            "region": regions.index.to_numpy()[region_n],
            "motif": np.array(names, dtype=object)[motif_n],
            "chrom": regions["chrom"].to_numpy()[region_n],
            "start": start_n,
            "end": start_n + width_n,
            "strand": strand_n.astype(object),
            "sequence": [BASES[word].tobytes().decode() for word in codes],
        }
    )
    return sites, codes


def _sample_words(rng: np.random.Generator, pwm: np.ndarray, n: int) -> np.ndarray:
    """Words drawn from a PWM, n x width base codes; those over one base off its best word are drawn again."""
    words = np.empty((n, len(pwm)), dtype=np.uint8)
    todo = np.arange(n)
    while len(todo):
        draws = rng.random((len(todo), len(pwm), 1))
        words[todo] = np.minimum((draws > pwm.cumsum(axis=1)).sum(axis=2), 3)
        todo = todo[(words[todo] != pwm.argmax(axis=1)).sum(axis=1) > 1]
    return words


def write_genome(
    rng: np.random.Generator, path: Path, lengths: dict[str, int], sites: pd.DataFrame, codes: list[np.ndarray]
) -> None:
    """Random bases with the sites written in, as FASTA."""
    by_chrom = sites.groupby("chrom").indices
    starts = sites["start"].to_numpy()
    with path.open("wb") as file:
        for chrom, length in lengths.items():
            code = rng.integers(0, 4, length, dtype=np.uint8)
            for n in by_chrom.get(chrom, ()):
                code[starts[n] : starts[n] + len(codes[n])] = codes[n]
            full = length // _LINE * _LINE
            lines = np.full((full // _LINE, _LINE + 1), ord("\n"), dtype=np.uint8)
            lines[:, :_LINE] = BASES[code[:full]].reshape(-1, _LINE)
            file.write(f">{chrom}\n".encode() + lines.tobytes())
            if full < length:
                file.write(BASES[code[full:]].tobytes() + b"\n")


def write_annotation(path: Path, genes: pd.DataFrame, lengths: dict[str, int]) -> None:
    """GTF of genes, transcripts (one per TSS) and exons (one per transcript); 1-based closed, as GTF is."""
    far_t = genes["tss"] + genes["body"].where(genes["strand"] == "+", -genes["body"])
    low_t = np.maximum(np.minimum(genes["tss"], far_t), 0)
    high_t = np.minimum(np.maximum(genes["tss"], far_t) + 1, genes["chrom"].map(lengths))
    by_gene: dict[str, list[tuple]] = {}
    columns = [genes[name] for name in ("gene", "chrom", "strand", "gene_id")]
    for gene, *transcript in zip(*columns, low_t.tolist(), high_t.tolist(), strict=True):
        by_gene.setdefault(gene, []).append(tuple(transcript))
    lines = ["##description: simulated annotation\n"]
    for gene, transcripts in by_gene.items():
        chrom, strand, gene_id, *_ = transcripts[0]
        spans = [transcript[3:] for transcript in transcripts]
        names = f'gene_id "{gene_id}"; gene_type "protein_coding"; gene_name "{gene}";'
        whole = (min(low for low, _ in spans), max(high for _, high in spans))
        features = [("gene", whole, "")]
        for i, span in enumerate(spans):
            extra = f' transcript_id "{gene_id}.{i + 1}"; transcript_type "protein_coding";'
            features += [("transcript", span, extra), ("exon", span, extra + " exon_number 1;")]
        for feature, (low, high), extra in features:
            lines.append(f"{chrom}\tscget\t{feature}\t{low + 1}\t{high}\t.\t{strand}\t.\t{names}{extra}\n")
    path.write_text("".join(lines), newline="\n")


def write_motifs(path: Path, names: list[str], pwms: list[np.ndarray]) -> None:
    """Motifs in the minimal MEME format."""
    head = "MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\nBackground letter frequencies\nA 0.25 C 0.25 G 0.25 T 0.25\n"
    parts = [head]
    for name, pwm in zip(names, pwms, strict=True):
        parts.append(f"\nMOTIF {name}\n\nletter-probability matrix: alength= 4 w= {len(pwm)} nsites= 1000 E= 0\n")
        parts += ["  ".join(f"{p:.6f}" for p in row) + "\n" for row in pwm]
    path.write_text("".join(parts), newline="\n")
