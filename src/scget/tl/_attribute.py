"""What predictions rest on, written into the MuData."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scget import _keys
from scget._errors import InputError

from ._record import write_record
from ._slots import modality, with_categories, writable

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from scget.model import GET, Attribution, Ensemble


def attribute(
    mdata: MuData,
    model: GET | Ensemble,
    *,
    genes: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    method: Literal["gradient", "integrated"] = "gradient",
    steps: int = 16,
    against: str | None = None,
    n_shuffles: int = 0,
    seed: int = 0,
    key_added: str = "get",
    batch_size: int = 32,
    top: int = 50,
    cache: str | PathLike[str] | None = None,
    copy: bool = False,
) -> MuData | None:
    """Attribute predictions to motifs and regions and write the result into a MuData.

    By gradient x input or integrated gradients; :class:`scget.model.Attribution` says what the numbers mean.

    Parameters
    ----------
    mdata
        Rows x (regions, genes); after ``tl.predict`` where it held ATAC alone.
    model
        Trained or loaded; or an ensemble, whose members' attributions are averaged.
    genes, rows
        Names. None: all genes with a promoter region, all rows.
    method
        ``"gradient"``: one gradient for motifs and one for regions. ``"integrated"``: averaged along the way from a
        reference, with a check that attributions sum to the difference in prediction.
    steps
        Places along the way with ``"integrated"``; each costs as much as ``"gradient"``.
    against
        Name of a row to compare each row with: what makes it express more or less than that one. None: the mean
        training row.
    n_shuffles
        Shuffles of motifs among regions to compare motif attributions with, see :class:`scget.model.MotifNull`; each costs
        half of an attribution. 20 do well; 0: none.
    seed
        Of the shuffles.
    key_added
        First part of the names written.
    batch_size
        Genes at a time; does not change the result.
    top
        Regions kept per row and gene, the strongest.
    cache
        Folder where parts of the answer are kept as they are made, so that a killed run goes on when called again in the
        same way; shuffles are not. It may be deleted afterwards.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    None, or the copy. Written: ``rna.varm["get_motif_<row>"]`` (genes x motifs, signed, log10(CPM + 1); NaN for genes
    not asked for), ``rna.obsm["get_motif"]`` (rows x motifs, mean over these genes of the absolute value), motif names
    in ``rna.uns["get"]["motif_names"]``, and ``mdata.uns["get"]["links"]``: row, gene, region, distance (bp, negative
    upstream), score (share of the gene's total), signed (log10(CPM + 1)). With ``"integrated"`` also
    ``mdata.uns["get"]["gap"]``: row, gene, of ("motifs" or "regions"), difference in prediction, and how much of it the
    attributions lack. With ``n_shuffles`` also ``rna.varm["get_motif-z_<row>"]`` and ``["get_motif-fdr_<row>"]`` (genes x
    motifs) and ``mdata.uns["get"]["motif_null"]``: row, motif, mean, shuffled, z, fdr. How it was done stands in
    ``mdata.uns["get"]["attribution"]``.

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
    how: dict[str, Any] = {"method": method, "steps": steps, "against": against, "n_shuffles": n_shuffles, "seed": seed}
    found = model.attribute(mdata, genes=genes, rows=rows, batch_size=batch_size, top=top, cache=cache, **how)
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
    _write_checks(rna, record, slots, found)
    record["links"] = with_categories(found.links, ("row", "gene", "region"))
    record["attribution"] = {**how, "against": "mean training row" if against is None else against}
    return mdata if copy else None


def _write_checks(rna: AnnData, record: dict[str, Any], slots: _keys.Slots, found: Attribution) -> None:
    """Null and gap of these rows; what an earlier attribution left is taken away."""
    record.pop("motif_null", None)
    record.pop("gap", None)
    if found.gap is not None:
        record["gap"] = with_categories(found.gap, ("row", "gene", "of"))
    for row in found.motifs:
        for name, table in (("z", slots.motif_z(row)), ("fdr", slots.motif_fdr(row))):
            if found.null is not None:
                rna.varm[table] = getattr(found.null, name)[row].reindex(rna.var_names).to_numpy(dtype=np.float32)
            elif table in rna.varm:
                del rna.varm[table]
    if found.null is not None:
        record["motif_null"] = with_categories(found.null.motifs, ("row", "motif"))
