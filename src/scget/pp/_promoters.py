"""Which region is the promoter of which gene."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scget import _keys as keys
from scget._errors import GenomeError, InputError, first, needs_extra, warn
from scget.pp._annotation import read_tss
from scget.pp._checks import check_genes, check_writable, get_modality
from scget.pp._region_warnings import warn_of_regions
from scget.pp._regions import Regions, regions_of, sort_order

if TYPE_CHECKING:
    from mudata import MuData

_WIDEST = 1_000_000_000  # bases; no chromosome is longer
FEW_GENES = 0.2  # share of genes with a promoter region, below which build or annotation are in doubt
NO_PROMOTER = (
    "not in the annotation",
    "on more than one chromosome",
    "chromosome without regions",
    "no region at a TSS",
)


def promoters(
    mdata: MuData, annotation: str | Path | pd.DataFrame, *, flank: int = 300, copy: bool = False
) -> MuData | None:
    """Find the regions that lie at transcription start sites.

    A region is a promoter of a gene if it overlaps ``[tss - flank, tss + flank + 1)`` of one of its transcripts. A
    region may be the promoter of several genes (on both strands too), and a gene may have several promoters.

    Parameters
    ----------
    mdata
        Holds ``atac`` with coordinates of regions and, optionally, ``rna``, whose ``var_names`` are gene names or
        gene ids (with or without version).
    annotation
        Path of a GTF or GFF3 of GENCODE, Ensembl or RefSeq (plain or ``.gz``), or a table of TSS: path of a tab-separated
        file (or ``.csv``; plain or ``.gz``) or DataFrame with columns ``gene``, ``chrom``, ``tss`` (0-based) and
        ``strand``. Each transcript counts; genes without a transcript count with their own start. Genes on more than
        one chromosome with regions are left out; those on X and Y alike (pseudo-autosomal) count with their place on X.
    flank
        Bases at either side of the TSS, 0 or more.
    copy
        Return a changed copy instead of changing ``mdata``.

    Returns
    -------
    None, or the changed copy. ``mdata["atac"].uns["peak_annotation"]`` is a table with one row per region, gene and
    strand: ``region`` (``chr1:100-200``), ``gene`` (as in ``rna.var_names`` where there is ``rna``, and then only
    genes found there), ``strand``, ``tss`` (0-based, the nearest one to the region's centre) and ``distance`` (bases
    from TSS to centre; negative is upstream on the gene's strand). ``uns["promoter_source"]`` names the file and
    ``flank``. Where there is ``rna``, ``mdata["rna"].var["promoter"]`` says of each gene "yes", or why it has no
    promoter region: "not in the annotation", "on more than one chromosome", "chromosome without regions" or "no region
    at a TSS"; count them with ``value_counts()``.

    Raises
    ------
    InputError
        If regions or annotation cannot be read, or if no gene of ``rna`` is in the annotation.
    GenomeError
        If regions and annotation share no chromosome, or no region lies at a TSS.
    ImportError
        If bioframe is missing.

    Examples
    --------
    >>> tss = pd.DataFrame({"gene": ["GATA1"], "chrom": ["chrX"], "tss": [48644981], "strand": ["+"]})
    >>> scget.pp.promoters(mdata, tss)  # doctest: +SKIP
    >>> mdata["atac"].uns["peak_annotation"]  # doctest: +SKIP
    """
    if isinstance(flank, bool) or not isinstance(flank, Integral) or not 0 <= flank <= _WIDEST:
        raise InputError(
            f"flank={flank!r}: bases at either side of the TSS are needed, a whole number from 0 to {_WIDEST:,}."
        )
    atac = get_modality(mdata, keys.ATAC, "accessibility")
    genes = None
    if keys.RNA in mdata.mod:
        check_genes(mdata.mod[keys.RNA])
        genes = mdata.mod[keys.RNA].var_names.astype(str)
    if not copy:
        check_writable(mdata, keys.ATAC, *([] if genes is None else [keys.RNA]))
    regions = regions_of(atac)
    every_tss = read_tss(annotation)
    _check_chromosomes(regions, every_tss)
    if genes is not None:
        every_tss = _name_as_in(every_tss, genes)
    tss = _drop_ambiguous(every_tss, regions)
    table = _annotate(regions, tss, int(flank))
    if table.empty:
        raise GenomeError(
            f"none of {len(regions):,} regions lies within {flank} bases of one of {len(tss):,} TSS. "
            "Do regions and annotation belong to the same genome build?"
        )
    if genes is not None and table["gene"].nunique() < FEW_GENES * len(genes):
        warn(
            f"only {table['gene'].nunique():,} of {len(genes):,} genes in 'rna' have a promoter region "
            f"({every_tss['gene'].nunique():,} are in the annotation): other genome build or annotation?"
        )
    warn_of_regions(atac, regions)
    mdata = mdata.copy() if copy else mdata
    file = "table" if isinstance(annotation, pd.DataFrame) else Path(annotation).name
    mdata[keys.ATAC].uns[keys.PEAK_ANNOTATION] = table
    mdata[keys.ATAC].uns[keys.ANNOTATION] = {"file": file, "flank": int(flank)}
    if genes is not None:
        mdata[keys.RNA].var[keys.PROMOTER] = _report(genes, every_tss, tss, regions, table)
    return mdata if copy else None


def _report(
    genes: pd.Index, every_tss: pd.DataFrame, tss: pd.DataFrame, regions: Regions, table: pd.DataFrame
) -> pd.Categorical:
    """Of each gene, whether it has a promoter region or how far it came."""
    steps = (every_tss["gene"], tss["gene"], tss.loc[tss["chrom"].isin(regions.chrom), "gene"], table["gene"])
    reached = np.sum([genes.isin(step) for step in steps], axis=0)  # each step holds genes of the one before
    return pd.Categorical.from_codes(reached, categories=[*NO_PROMOTER, "yes"])


def _check_chromosomes(regions: Regions, tss: pd.DataFrame) -> None:
    ours, theirs = pd.unique(regions.chrom), pd.unique(tss["chrom"])
    if set(ours) & set(theirs):
        return
    advice = "Take the annotation of the same genome."
    if any(str(c).startswith("chr") for c in ours) != any(str(c).startswith("chr") for c in theirs):
        advice = "Rename them: scget.pp.rename_chromosomes(mdata, to='ucsc') or to='ensembl'."
    for who, chroms in (("the regions name", ours), ("the annotation names", theirs)):
        if any(str(c).startswith("NC_") for c in chroms):
            advice = (
                f"Here {who} chromosomes by RefSeq accession. Rename them by the assembly report of NCBI (columns "
                "RefSeq-Accn and UCSC-style-name), or take RefSeq from UCSC (such as hg38.ncbiRefSeq.gtf.gz)."
            )
    raise GenomeError(
        f"no chromosome in common: regions {first(sorted(ours))}; annotation {first(sorted(theirs))}. {advice}"
    )


def _drop_ambiguous(tss: pd.DataFrame, regions: Regions) -> pd.DataFrame:
    """Leave out genes annotated on more than one chromosome with regions, as GET does: one name, but several genes.

    A place on a chromosome without regions, such as an alternate contig, plays no part where the gene has another.

    A gene on X and on Y alone is one gene of the pseudo-autosomal regions, which read mapping leaves on X.
    """
    here = tss["chrom"].isin(regions.chrom)
    tss = tss[here | ~tss["gene"].isin(tss.loc[here, "gene"])]
    chrom = tss["chrom"].str.removeprefix("chr")
    n_chroms = tss.groupby("gene")["chrom"].transform("nunique")
    on_x = tss["gene"].isin(tss.loc[chrom == "X", "gene"])
    tss = tss[~(on_x & (chrom == "Y") & (n_chroms == 2))]
    n_chroms = tss.groupby("gene")["chrom"].transform("nunique")
    lost = tss.loc[n_chroms > 1, "gene"].unique()
    if len(lost):
        warn(
            f"{len(lost):,} genes stand on more than one chromosome in the annotation and are left out: "
            f"{first(sorted(lost))}. Use Ensembl ids to keep them apart."
        )
    return tss[n_chroms == 1].reset_index(drop=True)


def _name_as_in(tss: pd.DataFrame, genes: pd.Index) -> pd.DataFrame:
    """Keep the TSS of ``genes`` under their names there, by gene name or gene id, whichever finds most."""
    plain = genes.str.replace(r"\.[0-9]+$", "", regex=True)
    forms = (
        (tss["gene"], genes),
        (tss["gene_id"], genes),
        (tss["gene_id"].str.replace(r"\.[0-9]+$", "", regex=True), plain),
    )
    found = [int(wanted.isin(form).sum()) for form, wanted in forms]
    if not max(found):
        raise InputError(
            f"none of {len(genes):,} genes in 'rna' is in the annotation: 'rna' has {_kind(genes)} ({first(genes)}), "
            f"the annotation {_kind(tss['gene'])} ({first(list(tss['gene'].unique()))}) with ids "
            f"({first(list(tss['gene_id'].unique()))}). Rename rna.var_names, or take another annotation."
        )
    form, wanted = forms[int(np.argmax(found))]
    names = pd.Series(genes, index=wanted)
    gene = form.map(names[~names.index.duplicated()])
    return tss.assign(gene=gene)[gene.notna()].reset_index(drop=True)


def _kind(names: pd.Index | pd.Series) -> str:
    ensembl = names.astype(str).str.match(r"ENS[A-Z]*[GT][0-9]{6,}")
    return "Ensembl ids" if np.mean(ensembl) > 0.5 else "gene symbols"


def _annotate(regions: Regions, tss: pd.DataFrame, flank: int) -> pd.DataFrame:
    """Table of all pairs of a region and a gene, sorted by region and gene; nearest TSS of each."""
    with needs_extra("genome"):
        import bioframe
    regions = regions[sort_order(regions)]
    spans = {"chrom": regions.chrom, "start": regions.start, "end": regions.end, "center": regions.centers}
    sites = tss.assign(start=tss["tss"] - flank, end=tss["tss"] + flank + 1)
    # The columns of regions get a "_" at their end; "index_" is the region's position.
    table = bioframe.overlap(sites, pd.DataFrame(spans), how="inner", return_index=True)
    offset = table["center_"] - table["tss"]
    table = table.assign(distance=offset.where(table["strand"] == "+", -offset), away=offset.abs())
    pair = ["index_", "gene", "strand"]
    table = table.sort_values([*pair, "away", "tss"]).drop_duplicates(pair).astype({"gene": object, "strand": object})
    table["region"] = regions[table["index_"].to_numpy(np.int64)].names
    table.index = pd.RangeIndex(len(table)).astype(str)
    return table[list(keys.PROMOTER_COLUMNS)]
