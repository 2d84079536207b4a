"""Transcription start sites from a GTF, a GFF or a table."""

from __future__ import annotations

import csv
import os
import re
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scget._errors import InputError, first, warn
from scget.pp._bgzip import check_whole

TSS_COLUMNS = ("gene", "chrom", "tss", "strand")
_GTF_COLUMNS = ("chrom", "source", "feature", "start", "end", "score", "strand", "frame", "attributes")
_GTF_SUFFIXES = (".gtf", ".gff", ".gff3", ".gff2")
_GENES = ("gene", "ncRNA_gene", "pseudogene")
_TRANSCRIPTS = ("transcript", "mRNA")
_SPANS = "gene|ncRNA_gene|pseudogene|.*transcript|.*RNA|.*_segment"  # genes, and transcripts of every kind
_QUOTED = re.compile(r'"[^"]*"')
_HIDDEN = "\0"  # stands for a ";" within quotes
_CHUNK = 200_000  # lines


def read_tss(annotation: str | Path | pd.DataFrame) -> pd.DataFrame:
    """Read all transcription start sites of an annotation.

    Parameters
    ----------
    annotation
        Path of a GTF or GFF (``.gz`` or plain), of a table (separated by commas if its suffix is ``.csv``, by tabs with
        any other), or a DataFrame with the columns ``gene``, ``chrom``, ``tss`` (0-based) and ``strand`` (``+`` or
        ``-``). The dialects of GENCODE, Ensembl and RefSeq are read alike; where a file has exons alone, the
        transcripts are put together from them.

    Returns
    -------
    A table with the columns ``gene``, ``gene_id`` (both text; equal for tables), ``chrom``, ``tss`` (0-based
    position of the first base transcribed, int64) and ``strand``, without duplicates.

    Raises
    ------
    InputError
        If the file is damaged, columns are missing or hold no positions or strands, or if no transcript and no gene is
        found.
    FileNotFoundError
        If there is no such file.
    """
    if isinstance(annotation, pd.DataFrame):
        return _from_table(annotation, "the TSS table")
    if not isinstance(annotation, (str, os.PathLike)):
        raise InputError(
            f"annotation is {annotation!r}; the path of a GTF, a GFF or a table of TSS is needed, or a DataFrame with "
            "the columns gene, chrom, tss (0-based), strand."
        )
    path = Path(annotation)
    if not path.is_file():
        raise FileNotFoundError(f"no annotation file {str(path)!r}. Give a GTF, a GFF or a table of TSS.")
    plain = path.with_suffix("") if path.suffix.lower() in (".gz", ".bgz") else path
    if plain.suffix.lower() in _GTF_SUFFIXES:
        return _from_gtf(path)
    table = _read(
        path,
        sep="," if plain.suffix.lower() == ".csv" else "\t",
        dtype={"gene": str, "chrom": str},
        keep_default_na=False,  # a gene may be called NA or NAN
        na_values=[""],
    )
    return _from_table(table, path.name)


def read_exons(annotation: str | Path, chrom: str, start: float, end: float) -> pd.DataFrame:
    """Read the exons that overlap ``start`` to ``end`` (0-based, half-open) on a chromosome, with their genes.

    Parameters
    ----------
    annotation
        Path of a GTF or GFF (``.gz`` or plain).
    chrom, start, end
        Where.

    Returns
    -------
    A table with the columns ``gene``, ``gene_id``, ``start``, ``end`` (0-based, half-open) and ``strand``, without
    duplicates; empty where there are none.

    Raises
    ------
    InputError
        If the file is no GTF or GFF, or damaged.
    FileNotFoundError
        If there is no such file.
    """
    path = Path(annotation)
    if not path.is_file():
        raise FileNotFoundError(f"no annotation file {str(path)!r}. Give a GTF or a GFF.")
    rows = _read_features(path, f"exon|{_SPANS}")
    here = (rows["chrom"] == chrom) & (rows["end"] > start) & (rows["start"] <= end)
    rows = rows[here].reset_index(drop=True)
    is_gene, is_exon = rows["feature"].isin(_GENES), rows["feature"] == "exon"
    named = _gene_names(rows["attributes"], is_gene)[["gene", "gene_id"]]
    own, parent = (_attribute(rows["attributes"], key) for key in ("ID", "Parent"))
    spans = ~is_exon & own.notna() & ~own.duplicated()
    known = is_exon & parent.isin(own[spans])  # GFF: an exon names its transcript, and that its gene
    for column in named:
        named.loc[known, column] = parent[known].map(named.loc[spans, column].set_axis(own[spans]))
    exons = named.assign(start=rows["start"] - 1, end=rows["end"], strand=rows["strand"])[is_exon]
    return exons.drop_duplicates(ignore_index=True)


def _read(path: Path, feature: str | None = None, **kwargs: Any) -> pd.DataFrame:
    """Read a table; in chunks, and of each only the lines of ``feature`` (a pattern), where that is given."""
    with path.open("rb") as raw:
        compression = "gzip" if raw.read(2) == b"\x1f\x8b" else None  # whatever its name
    check_whole(path)
    try:
        if feature is None:
            return pd.read_csv(path, compression=compression, **kwargs)
        kept = []
        chunks = pd.read_csv(path, compression=compression, chunksize=_CHUNK, **kwargs)
        for chunk in tqdm(chunks, desc=path.name, unit="chunk", leave=False):
            wanted = [name for name in chunk["feature"].dropna().unique() if re.fullmatch(feature, name)]
            kept.append(chunk[chunk["feature"].isin(wanted)])
        return pd.concat(kept, ignore_index=True)
    except (OSError, EOFError, ValueError, zlib.error) as error:  # ValueError: broken table, encoding
        raise InputError(
            f"cannot read {path.name}: {str(error).strip()}. Is it whole, with columns separated by tabs?"
        ) from error


def _from_table(table: pd.DataFrame, what: str) -> pd.DataFrame:
    missing = [column for column in TSS_COLUMNS if column not in table.columns]
    if missing:
        raise InputError(
            f"{what} lacks the columns {first(missing, 4)}; it has {first(list(table.columns), 8)}. "
            "Needed: gene, chrom, tss (0-based), strand."
        )
    twice = [column for column in TSS_COLUMNS if list(table.columns).count(column) > 1]
    if twice:
        raise InputError(f"{what} has more than one column {first(twice)}. Keep one of each.")
    if table.empty:
        raise InputError(f"{what} has no rows. Needed: one row per TSS, with gene, chrom, tss (0-based), strand.")
    tss = pd.to_numeric(table["tss"], errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(tss) | (tss < 0) | (tss != np.floor(tss)) | (tss >= 2**53)
    if wrong.any():
        raise InputError(
            f"{int(wrong.sum()):,} positions in {what} are no whole numbers from 0 on, first "
            f"{table['tss'].iloc[int(wrong.argmax())]!r}. tss is the 0-based position of the first base transcribed."
        )
    strand = table["strand"].astype(str).to_numpy()
    wrong = ~np.isin(strand, ["+", "-"])
    if wrong.any():
        raise InputError(
            f"{int(wrong.sum()):,} strands in {what} are not '+' or '-', first {strand[wrong][0]!r}. Mend them."
        )
    n_lacking = int(table[["gene", "chrom"]].isna().any(axis=1).sum())
    if n_lacking:
        raise InputError(f"{n_lacking:,} rows of {what} lack gene or chrom. Fill or drop them.")
    gene, chrom = (table[column].astype(str).to_numpy() for column in ("gene", "chrom"))
    made = {"gene": gene, "gene_id": gene, "chrom": chrom, "tss": tss.astype(np.int64), "strand": strand}
    return pd.DataFrame(made).drop_duplicates(ignore_index=True)


def _from_gtf(path: Path) -> pd.DataFrame:
    """TSS of each transcript; of each gene for genes without one."""
    rows = _read_features(path, _SPANS)
    if rows.empty:
        rows = _join_exons(_read_features(path, "exon"))
    is_gene = rows["feature"].isin(_GENES)
    rows = rows.join(_gene_names(rows["attributes"], is_gene))
    # Kinds of transcript other than these are known by their parent: a mature miRNA has none among the genes.
    rows = rows[is_gene | rows["feature"].isin(_TRANSCRIPTS) | rows["of_gene"]]
    is_gene = is_gene[rows.index]
    rows = rows[~is_gene | ~rows["gene_id"].isin(rows.loc[~is_gene, "gene_id"])]
    rows = rows[rows["gene_id"].notna()]
    stranded = rows["strand"].isin(["+", "-"])
    if not stranded.all():
        warn(f"{int((~stranded).sum()):,} transcripts in {path.name} have no strand and are left out.")
        rows = rows[stranded]
    if rows.empty:
        raise InputError(f"no transcript or gene with a gene_id and a strand in {path.name}. Is it a GTF or GFF?")
    # Positions are 1-based, and both ends are included.
    table = rows[["gene", "gene_id", "chrom", "strand"]].assign(
        tss=np.where(rows["strand"] == "+", rows["start"] - 1, rows["end"] - 1)
    )
    return table.drop_duplicates(ignore_index=True)


def _read_features(path: Path, feature: str) -> pd.DataFrame:
    """Lines whose feature has the pattern ``feature``; comments and the rest are skipped."""
    rows = _read(
        path,
        feature,
        sep="\t",
        names=list(_GTF_COLUMNS),
        index_col=False,  # so that a tab at the end of each line moves no column
        usecols=["chrom", "feature", "start", "end", "strand", "attributes"],
        dtype=str,
        quoting=csv.QUOTE_NONE,
    )
    rows["attributes"] = rows["attributes"].str.strip()
    odd = rows["attributes"].str.contains(r'[ =]"[^"]*;[^"]*"', regex=True).fillna(False).astype(bool)
    if odd.any():  # a ";" within quotes ends no attribute
        hidden = rows.loc[odd, "attributes"].str.replace(_QUOTED, lambda m: m[0].replace(";", _HIDDEN), regex=True)
        rows.loc[odd, "attributes"] = hidden
    for column in ("start", "end"):
        positions = pd.to_numeric(rows[column], errors="coerce")
        wrong = ~(positions >= 1) | (positions % 1 != 0)
        if wrong.any():
            raise InputError(
                f"{int(wrong.sum()):,} lines of {path.name} have no {column}, first {rows[column][wrong.idxmax()]!r}. "
                "A GTF or GFF has nine columns separated by tabs, the fourth and fifth are 1-based positions."
            )
        rows[column] = positions.astype(np.int64)
    return rows


def _join_exons(exons: pd.DataFrame) -> pd.DataFrame:
    """Transcripts from their exons: those of one transcript on one chromosome and strand."""
    transcript = _attribute(exons["attributes"], "transcript_id")
    parts = exons.assign(transcript=transcript, feature="transcript")[transcript.notna()]
    ends = parts.groupby(["transcript", "chrom", "strand"], sort=False, as_index=False)
    return ends.agg({"feature": "first", "attributes": "first", "start": "min", "end": "max"})


def _gene_names(attributes: pd.Series, is_gene: pd.Series) -> pd.DataFrame:
    """Columns ``gene``, ``gene_id`` and ``of_gene`` (whether the parent is a gene) from the last column of a GTF or GFF.

    Ensembl's GFF tells a transcript's gene only by ``Parent=gene:ENSG...``, the ``ID`` of a gene line.
    """
    gene_id = _attribute(attributes, "gene_id")
    gene = _attribute(attributes, "gene_name")
    parent, own = _attribute(attributes, "Parent"), _attribute(attributes, "ID")
    gene = gene.where(gene.notna(), _attribute(attributes, "gene"))  # RefSeq
    gene = gene.where(gene.notna() | ~is_gene, _attribute(attributes, "Name"))
    gene_id = gene_id.where(gene_id.notna() | ~is_gene, own).where(gene_id.notna() | is_gene, parent)
    of_parent = pd.DataFrame({"gene": gene, "gene_id": gene_id})[is_gene].set_axis(own[is_gene])
    of_parent = of_parent[of_parent.index.notna() & ~of_parent.index.duplicated()]
    if len(of_parent):
        gene = gene.where(gene.notna(), parent.map(of_parent["gene"]))
        gene_id = gene_id.where(~parent.isin(of_parent.index), parent.map(of_parent["gene_id"]))
    gene_id = gene_id.where(gene_id.notna(), gene)
    gene = gene.where(gene.notna(), gene_id)
    return pd.DataFrame({"gene": gene, "gene_id": gene_id, "of_gene": parent.isin(of_parent.index)})


def _attribute(attributes: pd.Series, key: str) -> pd.Series:
    """Value of ``key "value";`` (GTF) or ``key=value;`` (GFF), NaN where there is none."""
    found = attributes.str.extract(rf'(?:^|;)\s*{key}([= ])\s*"?([^";]+)"?', expand=True)
    value = found[1].str.strip().str.replace(_HIDDEN, ";", regex=False)
    escaped = (found[0] == "=") & value.str.contains("%", regex=False, na=False)  # GFF writes a comma as %2C
    return value.mask(escaped, value[escaped].map(unquote)) if escaped.any() else value
