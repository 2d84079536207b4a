"""Transcription start sites from a GTF, a GFF or a table."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scget._errors import InputError, ScgetWarning, first

TSS_COLUMNS = ("gene", "chrom", "tss", "strand")
_GTF_COLUMNS = ("chrom", "source", "feature", "start", "end", "score", "strand", "frame", "attributes")
_GTF_SUFFIXES = (".gtf", ".gff", ".gff3", ".gff2")
_TRANSCRIPTS = ("transcript", "mRNA")
_CHUNK = 200_000  # lines


def read_tss(annotation: str | Path | pd.DataFrame) -> pd.DataFrame:
    """Read all transcription start sites of an annotation.

    Parameters
    ----------
    annotation
        Path of a GTF or GFF (``.gz`` or plain), of a tab-separated table (any other suffix), or a DataFrame with
        the columns ``gene``, ``chrom``, ``tss`` (0-based) and ``strand`` (``+`` or ``-``).

    Returns
    -------
    A table with the columns ``gene``, ``gene_id`` (both text; equal for tables), ``chrom``, ``tss`` (0-based
    position of the first base transcribed, int64) and ``strand``, without duplicates.

    Raises
    ------
    InputError
        If columns are missing, hold no positions or strands, or if no transcript and no gene is found.
    """
    if isinstance(annotation, pd.DataFrame):
        return _from_table(annotation, "the TSS table")
    path = Path(annotation)
    if not path.is_file():
        raise FileNotFoundError(f"no annotation file {str(path)!r}. Give a GTF, a GFF or a table of TSS.")
    plain = path.with_suffix("") if path.suffix in (".gz", ".bgz") else path
    if plain.suffix.lower() in _GTF_SUFFIXES:
        return _from_gtf(path)
    table = pd.read_csv(
        path,
        sep="\t",
        compression="gzip" if plain != path else None,
        dtype={"gene": str, "chrom": str},
        keep_default_na=False,  # a gene may be called NA or NAN
        na_values=[""],
    )
    return _from_table(table, path.name)


def _from_table(table: pd.DataFrame, what: str) -> pd.DataFrame:
    missing = [column for column in TSS_COLUMNS if column not in table.columns]
    if missing:
        raise InputError(
            f"{what} lacks the columns {first(missing, 4)}; it has {first(list(table.columns), 8)}. "
            "Needed: gene, chrom, tss (0-based), strand."
        )
    tss = pd.to_numeric(table["tss"], errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(tss) | (tss < 0) | (tss != np.floor(tss))
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
    rows = _read_features(path)
    is_gene = rows["feature"].eq("gene")
    names = _gene_names(rows["attributes"], is_gene)
    rows = rows.join(names)
    rows = rows[~is_gene | ~rows["gene_id"].isin(rows.loc[~is_gene, "gene_id"])]
    rows = rows[rows["gene_id"].notna()]
    stranded = rows["strand"].isin(["+", "-"])
    if not stranded.all():
        warnings.warn(
            f"{int((~stranded).sum()):,} transcripts in {path.name} have no strand and are left out.",
            ScgetWarning,
            stacklevel=4,
        )
        rows = rows[stranded]
    if rows.empty:
        raise InputError(f"no transcript or gene with a gene_id and a strand in {path.name}. Is it a GTF or GFF?")
    start, end = rows["start"].astype(np.int64), rows["end"].astype(np.int64)  # 1-based, both ends included
    table = rows[["gene", "gene_id", "chrom", "strand"]].assign(tss=np.where(rows["strand"] == "+", start - 1, end - 1))
    return table.drop_duplicates(ignore_index=True)


def _read_features(path: Path) -> pd.DataFrame:
    """Lines of transcripts and genes; the other nine tenths of a GTF are skipped."""
    wanted = ("gene", *_TRANSCRIPTS)
    chunks = pd.read_csv(
        path,
        sep="\t",
        names=list(_GTF_COLUMNS),
        usecols=["chrom", "feature", "start", "end", "strand", "attributes"],
        dtype=str,
        quoting=csv.QUOTE_NONE,
        compression="gzip" if path.suffix in (".gz", ".bgz") else None,
        chunksize=_CHUNK,
    )
    kept = [chunk[chunk["feature"].isin(wanted)] for chunk in tqdm(chunks, desc=path.name, unit="chunk", leave=False)]
    return pd.concat(kept, ignore_index=True)


def _gene_names(attributes: pd.Series, is_gene: pd.Series) -> pd.DataFrame:
    """Columns ``gene`` and ``gene_id`` from the last column of a GTF or GFF.

    Ensembl's GFF tells a transcript's gene only by ``Parent=gene:ENSG...``, the ``ID`` of a gene line.
    """
    gene_id = _attribute(attributes, "gene_id")
    gene = _attribute(attributes, "gene_name")
    parent, own = _attribute(attributes, "Parent"), _attribute(attributes, "ID")
    gene = gene.fillna(_attribute(attributes, "gene"))  # RefSeq
    gene = gene.where(gene.notna() | ~is_gene, _attribute(attributes, "Name"))
    gene_id = gene_id.where(gene_id.notna() | ~is_gene, own).where(gene_id.notna() | is_gene, parent)
    of_parent = pd.DataFrame({"gene": gene, "gene_id": gene_id})[is_gene].set_axis(own[is_gene])
    of_parent = of_parent[of_parent.index.notna() & ~of_parent.index.duplicated()]
    if len(of_parent):
        gene = gene.fillna(parent.map(of_parent["gene"]))
        gene_id = parent.map(of_parent["gene_id"]).fillna(gene_id)
    gene_id = gene_id.fillna(gene)
    return pd.DataFrame({"gene": gene.fillna(gene_id), "gene_id": gene_id})


def _attribute(attributes: pd.Series, key: str) -> pd.Series:
    """Value of ``key "value";`` (GTF) or ``key=value;`` (GFF), NaN where there is none."""
    return attributes.str.extract(rf'(?:^|;)\s*{key}[= ]\s*"?([^";]+)"?', expand=False)
