"""Tested pairs of element and gene: read, checked, with their distance, and matched with links of a model."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scget._errors import InputError, first, needs_extra, warn
from scget.pp._regions import Regions, check_coordinates, naming_hint, parse_regions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

COLUMNS = {  # what is read, and its column in the tables of EngreitzLab/CRISPR_comparison
    "chrom": "chrom",
    "start": "chromStart",
    "end": "chromEnd",
    "gene": "measuredGeneSymbol",
    "regulated": "Regulated",
    "distance": "distanceToTSS",
    "tss": "startTSS",
    "valid": "ValidConnection",
    "accessibility": "DHS.RPM",
    "acetylation": "H3K27ac.RPM.expandedRegion",
}
NEEDED = ("chrom", "start", "end", "gene", "regulated")
LINK_COLUMNS = ("gene", "region")
AGGREGATES = ("sum", "max")
FEW = 0.9  # share of pairs without a link above which something is probably wrong
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


def read_pairs(
    reference: str | PathLike[str] | pd.DataFrame,
    columns: Mapping[str, str] | None,
    tss: str | PathLike[str] | pd.DataFrame | None,
    valid_only: bool,
) -> tuple[pd.DataFrame, int]:
    """Tested pairs, under the names of ``COLUMNS``, and how many lines ``reference`` has.

    Added are ``distance`` in bp and ``line``, the position in ``reference``, whose index is kept. Pairs without a verdict are left out with a warning, and where asked for those that are no valid connection.
    """
    table = reference if isinstance(reference, pd.DataFrame) else _read(reference, "reference")
    names = _named(table, columns)
    lacking = [names[what] for what in NEEDED if names[what] not in table.columns]
    if lacking:
        raise InputError(
            f"reference lacks the columns {first(lacking, 9)}; it has {first(table.columns, 9)}. "
            f"Name yours: columns={{{NEEDED[0]!r}: ..., ...}}, for any of {first(COLUMNS, 10)}."
        )
    pairs = pd.DataFrame({what: table[name] for what, name in names.items() if name in table.columns})
    if not len(pairs):
        raise InputError("reference holds no pairs.")
    pairs["line"] = np.arange(len(pairs))
    pairs["regulated"] = _truth(pairs["regulated"], names["regulated"])
    pairs = _kept(pairs, names, valid_only)
    unnamed = pairs[["chrom", "gene"]].isna().any(axis=1)
    if unnamed.any():
        raise InputError(f"{int(unnamed.sum()):,} pairs lack chromosome or gene, first at {pairs.index[unnamed][0]!r}.")
    pairs = pairs.assign(chrom=pairs["chrom"].astype(str), gene=pairs["gene"].astype(str))
    for what in ("start", "end"):
        pairs[what] = _numbers(pairs[what], names[what]).astype(np.int64)
    check_coordinates(elements_of(pairs)[0])
    pairs["distance"] = _distance(pairs, names, tss)
    return pairs.assign(regulated=pairs["regulated"].astype(bool)), len(table)


def elements_of(pairs: pd.DataFrame) -> tuple[Regions, np.ndarray]:
    """Elements, each once, and the position among them of each pair's."""
    keys = pairs.groupby(["chrom", "start", "end"], sort=True).ngroup().to_numpy()
    _, at = np.unique(keys, return_index=True)
    each = pairs.iloc[at]
    return Regions(*(each[c].to_numpy() for c in ("chrom", "start", "end"))), keys


def merged_elements(pairs: pd.DataFrame) -> np.ndarray:
    """Number of each pair's cluster of elements that overlap each other."""
    with needs_extra("genome"):
        import bioframe

    elements, at = elements_of(pairs)
    frame = pd.DataFrame({"chrom": elements.chrom, "start": elements.start, "end": elements.end})
    return bioframe.cluster(frame, min_dist=None)["cluster"].to_numpy(dtype=np.int64)[at]


def score_pairs(links: pd.DataFrame, pairs: pd.DataFrame, *, score: str, row: str | None, aggregate: str) -> np.ndarray:
    """Score of each pair from the links whose region overlaps its element; NaN where there is none."""
    links = _checked_links(links, score, row)
    links = links[links["gene"].isin(set(pairs["gene"]))]
    if not len(links):
        raise InputError(
            f"no gene of the links is among those tested, such as {first(pairs['gene'].unique())}. "
            "Genes are matched by name: columns={'gene': ...} names the column of the reference to match."
        )
    absent = pairs[~pairs["gene"].isin(set(links["gene"]))]
    if len(absent):
        warn(
            f"{absent['gene'].nunique():,} of {pairs['gene'].nunique():,} tested genes have no link, first "
            f"{absent['gene'].iloc[0]!r}; their {len(absent):,} pairs score the lowest"
        )
    names, code = np.unique(links["region"].to_numpy(dtype=object), return_inverse=True)
    elements, element_n = elements_of(pairs)
    met = _overlaps(elements, parse_regions(names))
    links = links.assign(region=code).sort_values(["region", "gene"])  # sums do not hang on the order of links
    by_pair = met.merge(links, on="region").groupby(["element", "gene"])["score"].agg(aggregate)
    wanted = pd.MultiIndex.from_arrays([element_n, pairs["gene"]])
    score_n = by_pair.reindex(wanted).to_numpy(dtype=np.float64)
    _check_covered(np.isnan(score_n))
    return score_n


def _check_covered(missing_n: np.ndarray) -> None:
    """Links of another assembly of the genome fall beside nearly all elements."""
    advice = "Are links and reference of one genome assembly? More regions per gene: tl.attribute(..., top=...)."
    if missing_n.all():
        raise InputError(f"no link touches an element tested with its gene, of {len(missing_n):,} pairs. {advice}")
    if missing_n.mean() > FEW:
        warn(f"{int(missing_n.sum()):,} of {len(missing_n):,} pairs have no link and score the lowest. {advice}")


def _overlaps(elements: Regions, regions: Regions) -> pd.DataFrame:
    """Positions of elements and regions that share at least one base."""
    with needs_extra("genome"):
        import bioframe

    if not set(elements.chrom) & set(regions.chrom):
        hint = " One side writes 'chr' before the number." if naming_hint(regions.chrom, elements.chrom) else ""
        raise InputError(
            f"no chromosome in common: links have {first(sorted(set(regions.chrom)))}, "
            f"reference has {first(sorted(set(elements.chrom)))}.{hint}"
        )
    frames = [pd.DataFrame({"chrom": r.chrom, "start": r.start, "end": r.end}) for r in (elements, regions)]
    met = bioframe.overlap(*frames, how="inner", return_index=True, return_input=False).astype(np.int64)
    return met.set_axis(["element", "region"], axis=1).sort_values(["element", "region"])


def _checked_links(links: pd.DataFrame, score: str, row: str | None) -> pd.DataFrame:
    """Gene, region and score of one row, each pair of gene and region once."""
    lacking = [column for column in (*LINK_COLUMNS, score) if column not in links.columns]
    if lacking:
        raise InputError(
            f"links lack the columns {first(lacking)}; they have {first(links.columns, 9)}. Needed are gene, region "
            f"(chr1:100-200) and {score!r}, as in mdata.uns['get']['links']; score=... names another column."
        )
    if "row" in links.columns:
        rows = pd.unique(links["row"].astype(str))
        if row is None and len(rows) > 1:
            raise InputError(f"links are of {len(rows)} rows ({first(rows)}); choose the one tested: row=...")
        if row is not None and row not in rows:
            raise InputError(f"no links of row {row!r}; there are {first(rows)}.")
        links = links if row is None else links[links["row"].astype(str) == row]
    elif row is not None:
        raise InputError(f"row={row!r}, but the links have no column 'row'. Leave it out.")
    values = pd.to_numeric(links[score], errors="coerce").to_numpy(dtype=np.float64)
    plain = pd.DataFrame(
        {"gene": links["gene"].astype(str), "region": links["region"].astype(str), "score": values}
    ).reset_index(drop=True)
    wrong = plain[~np.isfinite(values)]
    if len(wrong):
        raise InputError(f"{len(wrong):,} links have no finite {score!r}, first {wrong['region'].iloc[0]!r}.")
    twice = plain[plain.duplicated(["gene", "region"])]
    if len(twice):
        raise InputError(
            f"{len(twice):,} links occur twice, first {twice['gene'].iloc[0]!r} with {twice['region'].iloc[0]!r}. "
            "Keep one of each gene and region."
        )
    return plain


def _read(path: str | PathLike[str], what: str) -> pd.DataFrame:
    """A table, tab-separated, plain or compressed."""
    try:
        return pd.read_csv(path, sep="\t")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {what} {str(path)!r} as a tab-separated table: {error}") from error


def _named(table: pd.DataFrame, columns: Mapping[str, str] | None) -> dict[str, str]:
    """The column of each thing that is read; refuse what is unknown and what is named but not there."""
    columns = columns or {}
    unknown = [what for what in columns if what not in COLUMNS]
    if unknown:
        raise InputError(f"columns names {first(unknown)}, which is not read; there are {first(COLUMNS, 10)}.")
    lacking = [name for name in columns.values() if name not in table.columns]
    if lacking:
        raise InputError(f"reference has no column {first(lacking)}; it has {first(table.columns, 9)}.")
    return {**COLUMNS, **columns}


def _truth(values: pd.Series, name: str) -> pd.Series:
    """True, False or NA."""
    read = values.astype(str).str.lower().map(_TRUTH)
    odd = values[read.isna() & values.notna() & (values.astype(str).str.upper() != "NA")]
    if len(odd):
        raise InputError(f"{len(odd):,} values of {name!r} are neither true nor false, first {str(odd.iloc[0])!r}.")
    return read


def _kept(pairs: pd.DataFrame, names: Mapping[str, str], valid_only: bool) -> pd.DataFrame:
    """Pairs with a verdict and, where asked for, valid ones; the others are counted in warnings."""
    judged = pairs["regulated"].notna()
    if not judged.all():
        warn(f"{int((~judged).sum()):,} of {len(pairs):,} pairs have no {names['regulated']!r} and are left out")
    pairs = pairs[judged]
    if "valid" in pairs:
        valid = pairs["valid"].astype(str).str.lower() == "true"
        fate = "are left out" if valid_only else "are kept; valid_only=True leaves them out"
        if not valid.all():
            warn(f"{int((~valid).sum()):,} of {len(pairs):,} pairs are not true in {names['valid']!r} and {fate}")
        pairs = pairs[valid] if valid_only else pairs
    elif valid_only:
        raise InputError(f"valid_only=True, but reference has no column {names['valid']!r}; columns={{'valid': ...}}.")
    if not len(pairs):
        raise InputError("no pair is left to judge by.")
    return pairs.copy()


def _distance(
    pairs: pd.DataFrame, names: Mapping[str, str], tss: str | PathLike[str] | pd.DataFrame | None
) -> np.ndarray:
    """From the middle of the element to the TSS of the gene, bp: by ``tss``, else as written, else by column."""
    center = ((pairs["start"] + pairs["end"]) // 2).to_numpy(dtype=np.float64)
    if tss is None and "distance" in pairs:
        return np.abs(_numbers(pairs["distance"], names["distance"]))
    if tss is None and "tss" in pairs:
        return np.abs(center - _numbers(pairs["tss"], names["tss"]))
    if tss is None:
        raise InputError(
            f"reference has neither {names['distance']!r} nor {names['tss']!r}: give the TSS of genes by tss=..., a "
            "table of chromosome, start, end and gene."
        )
    sites = tss if isinstance(tss, pd.DataFrame) else _read(tss, "tss")
    if sites.shape[1] < 4:
        raise InputError(
            f"tss has {sites.shape[1]} columns; needed are chromosome, start, end and gene, in this order."
        )
    gene = sites.iloc[:, 3].astype(str)
    middle = (_numbers(sites.iloc[:, 1], "tss start") + _numbers(sites.iloc[:, 2], "tss end")) // 2
    at = pd.Series(middle, pd.MultiIndex.from_arrays([sites.iloc[:, 0].astype(str), gene]))
    if at.index.has_duplicates:
        raise InputError(f"tss has genes twice, first {at.index[at.index.duplicated()][0][1]!r}. Keep one TSS of each.")
    found = at.reindex(pd.MultiIndex.from_frame(pairs[["chrom", "gene"]])).to_numpy()
    if np.isnan(found).any():
        lost = pairs["gene"][np.isnan(found)]
        raise InputError(
            f"tss has no site of {lost.nunique():,} tested genes on their chromosome: {first(lost.unique())}."
        )
    return np.abs(center - found)


def _numbers(values: ArrayLike, name: str) -> np.ndarray:
    """Float64, all finite."""
    numbers = pd.to_numeric(pd.Series(values), errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise InputError(
            f"{len(wrong):,} values of {name!r} are no numbers, first {str(pd.Series(values).iloc[wrong[0]])!r}."
        )
    return numbers
