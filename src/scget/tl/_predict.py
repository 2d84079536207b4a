"""Predicted expression, written into the MuData."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from scget import _keys

from ._record import UNIT, modality, writable, write_record

if TYPE_CHECKING:
    from mudata import MuData

    from scget.model import GET, Ensemble


def predict(
    mdata: MuData, model: GET | Ensemble, *, key_added: str = "get", batch_size: int = 64, copy: bool = False
) -> MuData | None:
    """Predict expression and write it into a MuData.

    Parameters
    ----------
    mdata
        Rows x (regions, genes), or ATAC alone: then the ``rna`` modality is made.
    model
        Trained or loaded; or an ensemble of :meth:`scget.model.GET.train_folds`.
    key_added
        First part of the names written.
    batch_size
        Windows at a time; does not change the result.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    None, or the copy. Written: ``rna.layers["get"]`` (rows x genes, log10(CPM + 1); NaN for a gene without a promoter
    region) and the same as a table in ``rna.obsm["get_expression"]``; ``atac.layers["get_plus"]``, ``["get_minus"]``
    (rows x regions, per strand; NaN where no gene starts); ``mdata.uns["get"]``. Where the model keeps its training
    rows (``baseline="similar_rows"``), or is an ensemble, ``rna.layers["get_std"]``: calibrated standard deviation of the
    error, rows x genes, NaN where it is not known; and ``rna.obs["get_ood"]``: how much of a row's accessibility is like
    no training row's, 0 to 1.

    Examples
    --------
    >>> scget.tl.predict(pb, model)
    >>> pb["rna"].to_df(layer="get").loc["Mono", ["GATA1", "MYC"]].notna().tolist()
    [True, True]
    """
    slots = _keys.Slots(key_added)
    mdata = writable(mdata, model, slots, copy)
    table, prediction = model.predict_slots(mdata, batch_size=batch_size)
    expression = pd.DataFrame(prediction.genes_kg, index=table.rows, columns=table.genes).astype(np.float32)
    atac_name, rna_name = modality(model, "atac_layer"), modality(model, "rna_layer")
    atac = mdata[atac_name]
    if rna_name not in mdata.mod:
        mdata.mod[rna_name] = AnnData(obs=atac.obs.copy(), var=pd.DataFrame(index=table.genes.astype(str)))
        mdata.update()
    rna = mdata[rna_name]
    expression = expression.reindex(index=rna.obs_names, columns=rna.var_names)
    rna.layers[slots.expression] = expression.to_numpy()
    rna.layers.pop(slots.uncertainty, None)  # of another model
    rna.obs.drop(columns=slots.unlikeness, errors="ignore", inplace=True)
    if prediction.ood_k is not None:
        rna.obs[slots.unlikeness] = pd.Series(prediction.ood_k, index=table.rows).reindex(rna.obs_names).to_numpy()
    if prediction.std_kg is not None:
        std = pd.DataFrame(prediction.std_kg, index=table.rows, columns=table.genes).astype(np.float32)
        rna.layers[slots.uncertainty] = std.reindex(index=rna.obs_names, columns=rna.var_names).to_numpy()
    rna.obsm[slots.expression_table] = without_slashes(expression)
    rna.uns[slots.record] = {**rna.uns.get(slots.record, {}), "unit": UNIT}
    for strand, layer in enumerate(slots.strand_layers):
        here = table.promoters.strand_q == strand
        values_kp = np.full(atac.shape, np.nan, dtype=np.float32)
        values_kp[:, table.order_p[table.promoters.region_q[here]]] = prediction.slots_kq[:, here]
        atac.layers[layer] = values_kp
    write_record(mdata, model, slots)
    return mdata if copy else None


def without_slashes(table: pd.DataFrame) -> pd.DataFrame:
    """A slash in a column cannot be written to disk; a name that then occurs twice keeps its number too."""
    names = pd.Index([gene.replace("/", "_") for gene in table.columns])
    twice = names.duplicated(keep=False)
    return table.set_axis([f"{n}_{i}" if t else n for i, (n, t) in enumerate(zip(names, twice, strict=True))], axis=1)
