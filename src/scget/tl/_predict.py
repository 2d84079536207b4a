"""Predicted expression, written into the MuData or to disk."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from scget import _keys
from scget._errors import InputError, warn
from scget.data import RegionTable

from ._predict_file import write_predictions
from ._record import UNIT, write_record
from ._slots import modality, without_slashes, writable

if TYPE_CHECKING:
    from mudata import MuData

    from scget.model import GET, Ensemble
    from scget.model._expression import SlotPrediction

_MOST = 8e9  # bytes of results in memory, above which a file is advised


def predict(
    mdata: MuData,
    model: GET | Ensemble,
    *,
    key_added: str = "get",
    batch_size: int = 64,
    row_batch: int | None = None,
    out: str | Path | None = None,
    cache: str | PathLike[str] | None = None,
    copy: bool = False,
) -> MuData | None:
    """Predict expression and write it into a MuData, or to disk.

    Parameters
    ----------
    mdata
        Rows x (regions, genes), or ATAC alone: then the ``rna`` modality is made. A row may be a single cell, or one
        with its neighbours (:func:`scget.pp.pool_neighbors`).
    model
        Trained or loaded; or an ensemble of :meth:`scget.model.GET.train_folds`.
    key_added
        First part of the names written.
    batch_size
        Windows at a time; does not change the result.
    row_batch
        Rows at a time, which alone are dense (some 50 bytes per region each); does not change the result. None: as many
        as make 16 million values, 160 rows of 100,000 regions; with ``cache`` 1 million.
    out
        An AnnData to write instead, a few rows at a time, leaving ``mdata`` as it is: a file in ``.h5ad``, or a folder in
        ``.zarr`` for :func:`anndata.read_zarr`, in chunks of whole rows of about 1 MB. Rows x genes, ``X`` the
        expression, ``layers["get_std"]``, ``obs["get_ood"]`` and ``uns["get"]`` as below, rows in the order of ``atac``.
        It has this name once it is complete. In memory, results take 8 bytes x rows x regions and 8 to 12 x rows x genes.
    cache
        A folder in which predictions are kept as they are made, ``row_batch`` rows to a file, so that a run that was
        killed goes on where it stopped when called again in the same way.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    None, or the copy. Written: ``rna.layers["get"]`` (rows x genes, float32, log10(CPM + 1); NaN for a gene without a
    promoter region) and the same as a table in ``rna.obsm["get_expression"]``; ``atac.layers["get_plus"]``,
    ``["get_minus"]`` (rows x regions, per strand; NaN where no gene starts); ``mdata.uns["get"]``. Where the model keeps
    its training rows (``baseline="similar_rows"``), or is an ensemble, ``rna.layers["get_std"]``: calibrated standard
    deviation of the error, rows x genes, NaN where it is not known; and ``rna.obs["get_ood"]``: how much of a row's
    accessibility is like no training row's, 0 to 1.

    Examples
    --------
    >>> scget.tl.predict(pb, model)
    >>> pb["rna"].to_df(layer="get").loc["Mono", ["GATA1", "MYC"]].notna().tolist()
    [True, True]
    >>> scget.tl.predict(pb, model, out="predicted.h5ad")
    >>> scget.tl.predict(pb, model, out="predicted.zarr")
    """
    from scget.model._rows import predict_rows

    slots = _keys.Slots(key_added)
    chunks = predict_rows(model, mdata, batch_size, row_batch, cache)
    if out is not None:
        if copy:
            raise InputError("out= leaves mdata as it is, so there is nothing to copy: leave out copy=True")
        write_predictions(Path(out), mdata, model, chunks, slots)
        return None
    mdata = writable(mdata, model, slots, copy)
    atac_name, rna_name = modality(model, "atac_layer"), modality(model, "rna_layer")
    first = next(chunks)
    atac, genes = mdata[atac_name], mdata[rna_name].var_names if rna_name in mdata.mod else first[0].genes
    _warn_of_size(atac.n_obs, atac.n_vars, len(genes))
    rows = mdata[rna_name].obs_names if rna_name in mdata.mod else atac.obs_names
    layers, ood_k = _gathered(chain([first], chunks), slots, atac, rows, pd.Index(genes))
    if rna_name not in mdata.mod:
        mdata.mod[rna_name] = AnnData(obs=atac.obs.copy(), var=pd.DataFrame(index=first[0].genes.astype(str)))
        mdata.update()
    _put(layers, ood_k, mdata[atac_name], mdata[rna_name], slots)
    write_record(mdata, model, slots)
    return mdata if copy else None


def _put(
    layers: dict[str, np.ndarray], ood_k: np.ndarray | None, atac: AnnData, rna: AnnData, slots: _keys.Slots
) -> None:
    """Write results in place of those of another model."""
    rna.layers.pop(slots.uncertainty, None)
    rna.obs.drop(columns=slots.unlikeness, errors="ignore", inplace=True)
    for name, values in layers.items():
        (atac if name in slots.strand_layers else rna).layers[name] = values
    if ood_k is not None:
        rna.obs[slots.unlikeness] = ood_k
    rna.obsm[slots.expression_table] = without_slashes(rna.to_df(layer=slots.expression))
    rna.uns[slots.record] = {**rna.uns.get(slots.record, {}), "unit": UNIT}


def _gathered(
    chunks: Iterator[tuple[RegionTable, SlotPrediction]],
    slots: _keys.Slots,
    atac: AnnData,
    rows: pd.Index,
    genes: pd.Index,
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Layers by name, float32: of regions in the order of ``atac``, of genes in that of ``rows`` and ``genes``."""
    layers: dict[str, np.ndarray] = {}
    ood_k, done = None, 0
    for table, prediction in chunks:
        column_g = genes.get_indexer(table.genes)
        place = np.ix_(rows.get_indexer(table.rows), column_g[column_g >= 0])
        of_genes = {slots.expression: prediction.genes_kg, slots.uncertainty: prediction.std_kg}
        for name, values_kg in of_genes.items():
            if values_kg is not None:
                if name not in layers:
                    layers[name] = _blank(len(rows), len(genes))
                layers[name][place] = values_kg[:, column_g >= 0]
        for strand, name in enumerate(slots.strand_layers):
            here = table.promoters.strand_q == strand
            if name not in layers:
                layers[name] = _blank(*atac.shape)
            region_q = table.order_p[table.promoters.region_q[here]]
            layers[name][done : done + len(table.rows), region_q] = prediction.slots_kq[:, here]
        if prediction.ood_k is not None:
            ood_k = np.full(len(rows), np.nan) if ood_k is None else ood_k
            ood_k[place[0][:, 0]] = prediction.ood_k
        done += len(table.rows)
    return layers, ood_k


def _blank(n: int, m: int) -> np.ndarray:
    return np.full((n, m), np.nan, dtype=np.float32)


def _warn_of_size(n_rows: int, n_regions: int, n_genes: int) -> None:
    size = 4 * n_rows * (2 * n_regions + 2 * n_genes)
    if size > _MOST:
        warn(
            f"the results of {n_rows:,} rows take {size / 1e9:.0f} GB in memory; scget.tl.predict(..., "
            "out='predicted.h5ad' or 'predicted.zarr') writes them to disk."
        )
