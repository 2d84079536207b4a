"""Embeddings of rows, regions and genes, written into the MuData."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from scget import _keys
from scget._errors import InputError

from ._record import write_record
from ._slots import modality, writable

if TYPE_CHECKING:
    from mudata import MuData

    from scget.model import GET, Ensemble


def embed(
    mdata: MuData,
    model: GET | Ensemble,
    *,
    rows: Sequence[str] | None = None,
    key_added: str = "get",
    batch_size: int = 64,
    row_batch: int | None = None,
    cache: str | PathLike[str] | None = None,
    copy: bool = False,
) -> MuData | None:
    """Embed rows, regions and genes by the encoder of a model and write the result into a MuData.

    A region in a row is embedded by the encoder's output at its token, from the window in which it stands most central
    (Fu et al. 2025, "region embedding"). A row is the mean over the regions it shows, a region the mean over rows, a
    gene the mean over its promoter regions. Rows do not influence each other's embedding; a row of other depth shows
    other regions and so lies elsewhere: compare rows of like depth.

    Parameters
    ----------
    mdata
        Rows x (regions, genes), or ATAC alone.
    model
        Trained, pretrained or loaded. An ensemble has no one embedding: take a member, ``model.members[0]``.
    rows
        Names of the rows over which regions and genes are averaged; a single one for those of that row. None: all.
        Each row is embedded in any case.
    key_added
        Last part of the name written.
    batch_size, row_batch
        Windows and rows at a time; they do not change the result. None: as many rows as make 16 million values; with
        ``cache`` 1 million.
    cache
        A folder in which sums are kept as they are made, ``row_batch`` rows to a file of 8 bytes x regions x d, so that
        a run that was killed goes on where it stopped when called again in the same way.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    None, or the copy. Written, float32, d being the model's ``width``: ``atac.obsm["X_get"]`` (rows x d),
    ``atac.varm["X_get"]`` (regions x d; NaN for a region that no row shows), where there is ``rna`` also
    ``rna.varm["X_get"]`` (genes x d; NaN for a gene without a promoter region), and ``mdata.uns["get"]``.

    Raises
    ------
    InputError
        If ``model`` is an ensemble or of ``task="accessibility"``, a row is unknown, or as :func:`scget.tl.predict`.

    Examples
    --------
    >>> scget.tl.embed(pb, model)
    >>> pb["atac"].obsm["X_get"].shape
    (6, 16)
    >>> sc.pp.neighbors(pb["atac"], use_rep="X_get")  # doctest: +SKIP
    """
    from scget.model import Ensemble

    if isinstance(model, Ensemble):
        raise InputError(
            f"each of the {len(model.members)} members of this ensemble has an embedding of its own, and means over "
            "them mean nothing; embed by one: scget.tl.embed(mdata, model.members[0])"
        )
    slots = _keys.Slots(key_added)
    mdata = writable(mdata, model, slots, copy)
    found = model.embed(mdata, rows=rows, batch_size=batch_size, row_batch=row_batch, cache=cache)
    record = write_record(mdata, model, slots)
    record["embedded_rows"] = list(found.rows.index.astype(str)) if rows is None else [str(row) for row in rows]
    atac, rna_name = mdata[modality(model, "atac_layer")], modality(model, "rna_layer")
    atac.obsm[slots.embedding] = found.rows.to_numpy(dtype=np.float32)
    atac.varm[slots.embedding] = found.regions.to_numpy(dtype=np.float32)
    if rna_name in mdata.mod:
        rna = mdata[rna_name]
        rna.varm[slots.embedding] = found.genes.reindex(rna.var_names).to_numpy(dtype=np.float32)
    return mdata if copy else None
