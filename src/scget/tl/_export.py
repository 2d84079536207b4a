"""Links for other programs: BEDPE, and the peak annotation that muon reads."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scget import _keys
from scget._errors import InputError, first
from scget.pp._regions import parse_regions, regions_of

if TYPE_CHECKING:
    from mudata import MuData

BEDPE = ["chrom1", "start1", "end1", "chrom2", "start2", "end2", "name", "score", "strand1", "strand2"]


def to_bedpe(
    mdata: MuData,
    path: str | PathLike[str] | None = None,
    *,
    row: str | None = None,
    min_score: float = 0.0,
    key: str = "get",
    atac: str = _keys.ATAC,
) -> pd.DataFrame:
    """Links as BEDPE: a line from each region to the nearest TSS of its gene, for genome browsers and bedtools.

    Parameters
    ----------
    mdata
        After ``scget.tl.links`` or ``scget.tl.attribute``.
    path
        File to write, tab-separated, without a header. None: none.
    row
        Row whose links are wanted. None: all, with the row in the name.
    min_score
        Leave out links of lower score.
    key, atac
        ``key_added`` of the links, name of the ATAC modality.

    Returns
    -------
    Table of the ten columns of BEDPE (0-based, half-open; name: gene, or gene|row) and signed, the eleventh in the file.

    Raises
    ------
    InputError
        If there are no links, or none of this row.

    Examples
    --------
    >>> scget.tl.links(pb, model, genes=["GATA1"], rows=["Mono"])
    >>> scget.tl.to_bedpe(pb, row="Mono")["name"].unique().tolist()
    ['GATA1']
    """
    links = _links(mdata, row, min_score, key)
    regions, sites = parse_regions(links["region"]), mdata[atac].uns[_keys.PEAK_ANNOTATION]
    sites = sites[sites["gene"].isin(links["gene"])].reset_index(drop=True)
    pairs = pd.DataFrame({"gene": links["gene"], "line": np.arange(len(links)), "center": regions.centers})
    pairs = pairs.merge(sites[["gene", "region", "tss", "strand"]], on="gene")
    pairs = pairs.assign(far=(pairs["tss"] - pairs["center"]).abs()).sort_values(["line", "far", "tss"], kind="stable")
    pairs = pairs.drop_duplicates("line")
    chrom, tss = parse_regions(pairs["region"]).chrom, pairs["tss"].to_numpy(dtype=np.int64)
    name = links["gene"] if row is not None else links["gene"] + "|" + links["row"]
    ends = [regions.chrom, regions.start, regions.end, chrom, tss, tss + 1]
    values = [*ends, name.to_numpy(), links["score"].to_numpy(), ".", pairs["strand"].to_numpy()]
    table = pd.DataFrame(dict(zip(BEDPE, values, strict=True))).assign(signed=links["signed"].to_numpy())
    if path is not None:
        table.to_csv(path, sep="\t", header=False, index=False)
    return table


def to_peak_annotation(
    mdata: MuData, *, row: str, min_score: float = 0.0, key: str = "get", atac: str = _keys.ATAC
) -> None:
    """Write the links of a row where muon looks for the peaks of a gene: ``atac.uns["atac"]["peak_annotation"]``.

    With it, ``muon.atac.pl.embedding(atac, color="GATA1")`` and other functions of muon take the regions linked with a gene.
    scget's own table of promoters, ``atac.uns["peak_annotation"]``, is another place and stays.

    Parameters
    ----------
    mdata
        After ``scget.tl.links`` or ``scget.tl.attribute``; changed in place.
    row
        Row whose links are wanted.
    min_score
        Leave out links of lower score.
    key, atac
        ``key_added`` of the links, name of the ATAC modality.

    Returns
    -------
    None. Written, in the place of an earlier one: a table by gene of peak (as in ``atac.var_names``), distance (bp),
    peak_type ("promoter" of that gene, or "distal") and score.

    Raises
    ------
    InputError
        If there are no links of this row, or ``atac.uns["atac"]`` holds something else.

    Examples
    --------
    >>> scget.tl.links(pb, model, genes=["GATA1"], rows=["Mono"])
    >>> scget.tl.to_peak_annotation(pb, row="Mono")
    >>> pb["atac"].uns["atac"]["peak_annotation"].columns.tolist()
    ['peak', 'distance', 'peak_type', 'score']
    """
    adata, links = mdata[atac], _links(mdata, row, min_score, key)
    place = adata.uns.get("atac", {})
    if not isinstance(place, dict):
        raise InputError(f"{atac}.uns['atac'] holds a {type(place).__name__}; muon keeps a dictionary there: remove it")
    names = pd.Series(adata.var_names.to_numpy(), index=regions_of(adata).names)
    own = pd.MultiIndex.from_frame(adata.uns[_keys.PEAK_ANNOTATION][["region", "gene"]].astype(str))
    here = pd.MultiIndex.from_frame(links[["region", "gene"]])
    columns = {
        "peak": names[links["region"]].to_numpy(dtype=object),
        "distance": links["distance"].to_numpy(),
        "peak_type": np.where(here.isin(own), "promoter", "distal").astype(object),
        "score": links["score"].to_numpy(),
    }
    table = pd.DataFrame(columns, index=pd.Index(links["gene"].to_numpy(dtype=object), name="gene"))
    adata.uns["atac"] = {**place, "peak_annotation": table}


def _links(mdata: MuData, row: str | None, min_score: float, key: str) -> pd.DataFrame:
    """Names as text."""
    record = mdata.uns.get(key, {})
    links = record.get("links") if isinstance(record, dict) else None
    if links is None or not len(links):
        raise InputError(f"no links in mdata.uns[{key!r}]; run scget.tl.links(mdata, model) first")
    links = links.astype(dict.fromkeys(("row", "gene", "region"), str))
    if row is not None:
        have = links["row"].unique()
        links = links[links["row"] == row]
        if not len(links):
            raise InputError(f"no links of row {row!r}; there are those of {first(have)}")
    links = links[links["score"] >= min_score].reset_index(drop=True)
    if not len(links):
        raise InputError(f"no link has a score of at least {min_score}; ask for less")
    return links
