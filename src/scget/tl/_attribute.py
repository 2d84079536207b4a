"""What predictions rest on, written into the MuData."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scget import _keys
from scget._errors import InputError

from ._record import modality, writable, write_record

if TYPE_CHECKING:
    from mudata import MuData

    from scget.model import GET, Ensemble


def attribute(
    mdata: MuData,
    model: GET | Ensemble,
    *,
    genes: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    key_added: str = "get",
    batch_size: int = 32,
    top: int = 50,
    copy: bool = False,
) -> MuData | None:
    """Attribute predictions to motifs and regions and write the result into a MuData.

    By gradient x input; :class:`scget.model.Attribution` says what the numbers mean.

    Parameters
    ----------
    mdata
        Rows x (regions, genes); after ``tl.predict`` where it held ATAC alone.
    model
        Trained or loaded; or an ensemble, whose members' attributions are averaged.
    genes, rows
        Names. None: all genes with a promoter region, all rows.
    key_added
        First part of the names written.
    batch_size
        Genes at a time; does not change the result.
    top
        Regions kept per row and gene, the strongest.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    None, or the copy. Written: ``rna.varm["get_motif_<row>"]`` (genes x motifs, signed, log10(CPM + 1); NaN for genes
    not asked for), ``rna.obsm["get_motif"]`` (rows x motifs, mean over these genes of the absolute value), motif names
    in ``rna.uns["get"]["motif_names"]``, and ``mdata.uns["get"]["links"]``: row, gene, region, distance (bp, negative
    upstream), score (share of the gene's total), signed (log10(CPM + 1)).

    Examples
    --------
    >>> scget.tl.attribute(pb, model, genes=["GATA1", "MYC"], rows=["Mono"])
    >>> pb.uns["get"]["links"].columns.tolist()
    ['row', 'gene', 'region', 'distance', 'score', 'signed']
    """
    slots = _keys.Slots(key_added)
    mdata = writable(mdata, model, slots, copy)
    rna_name = modality(model, "rna_layer")
    if rna_name not in mdata.mod:
        raise InputError(f"no modality {rna_name!r} to write into; run scget.tl.predict(mdata, model) first")
    rna = mdata[rna_name]
    found = model.attribute(mdata, genes=genes, rows=rows, batch_size=batch_size, top=top)
    names = {row: slots.motif_attribution(row) for row in found.motifs}
    if len(set(names.values())) < len(names):
        raise InputError("two row names differ only in '/' and '_', so their results would share one slot; rename one")
    record = write_record(mdata, model, slots)
    summary_km = np.full((rna.n_obs, len(model.motifs)), np.nan, dtype=np.float32)
    for row, motifs in found.motifs.items():
        rna.varm[names[row]] = motifs.reindex(rna.var_names).to_numpy(dtype=np.float32)
        summary_km[rna.obs_names.get_loc(row)] = motifs.abs().mean(axis=0)
    rna.obsm[slots.motif_summary] = summary_km
    rna.uns[slots.record] = {**rna.uns.get(slots.record, {}), "motif_names": model.motifs.astype(str)}
    record["links"] = _plain(found.links)
    return mdata if copy else None


def _plain(links: pd.DataFrame) -> pd.DataFrame:
    """Names as categories: a million links stay small in memory and on disk."""
    names = {column: links[column].astype("category") for column in ("row", "gene", "region")}
    return links.assign(**names)
