"""How predictions change when regions or motifs do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from scget import _keys
from scget.data import RegionTable

from ._averaging import members_asked
from ._changes import Change, read_changes
from ._edits import Edit, find_edits
from ._gene_windows import genes_to_explain
from ._kept import Folder, Kept
from ._what_if import rows_of

if TYPE_CHECKING:
    from mudata import MuData

    from ._ensemble import Ensemble
    from ._get import GET


def perturb_genes(
    model: GET | Ensemble,
    mdata: MuData,
    changes: Mapping[str, Change | Sequence[Change]] | pd.DataFrame,
    genes: Sequence[str] | None,
    rows: Sequence[str] | None,
    *,
    batch_size: int,
    cache: Folder = None,
) -> AnnData:
    """(Perturbations x rows) x genes; :func:`scget.tl.perturb` says what is in it."""
    named, table = read_changes(changes), model.table(mdata)
    atac = mdata[model.registry["setup_args"]["modalities"]["atac_layer"]]
    edits = find_edits(named, table, atac.uns.get(_keys.MOTIF_TFS))
    row_k, gene_g = table.row_positions(rows), genes_to_explain(table, genes)
    predicted_ekg = np.zeros((len(edits), len(row_k), len(gene_g)))
    reference_kg = np.zeros(predicted_ekg.shape[1:])
    for member, where, share_g in members_asked(model, table, genes, rows, batch_size):
        kept = Kept(cache, member, table, asked="perturb", edits=edits, genes=gene_g)
        for k, what_if in enumerate(rows_of(where, batch_size)):
            more_eg = what_if.added(edits, kept).toarray()
            predicted_ekg[:, k] += share_g * np.maximum(what_if.raw_g + more_eg, 0)
            reference_kg[k] += share_g * np.maximum(what_if.raw_g, 0)
    obs = _obs(named, edits, table, table.rows[row_k].astype(str))
    return _result(predicted_ekg, reference_kg, obs, table.genes[gene_g].astype(str))


def _obs(
    named: Mapping[str, tuple[Change, ...]], edits: Sequence[Edit], table: RegionTable, rows: np.ndarray
) -> pd.DataFrame:
    """A line per perturbation and row, the rows of one perturbation together."""
    lines = pd.DataFrame(
        {
            "perturbation": list(named),
            "kind": [" + ".join(change.kind for change in some) for some in named.values()],
            "target": ["; ".join(change.target for change in some) for some in named.values()],
            "value": [some[0].value if len(some) == 1 else None for some in named.values()],
            "n_regions": [len(table.regions) if e.region_n is None else len(e.region_n) for e in edits],
        }
    )
    obs = lines.loc[lines.index.repeat(len(rows))].assign(row=np.tile(rows, len(lines)))
    obs["value"] = obs["value"].astype(np.float64)
    obs.index = pd.Index(obs["perturbation"] + " in " + obs["row"])
    for column, order in (("perturbation", list(named)), ("row", rows), ("kind", None)):
        obs[column] = pd.Categorical(obs[column], categories=order)
    return obs[["perturbation", "row", "kind", "target", "value", "n_regions"]]


def _result(predicted_ekg: np.ndarray, reference_kg: np.ndarray, obs: pd.DataFrame, genes: np.ndarray) -> AnnData:
    """A gene of which a row shows no promoter does not change there, and its layers are NaN."""
    layers = {
        "predicted": predicted_ekg.reshape(len(obs), -1).astype(np.float32),
        "reference": np.tile(reference_kg, (len(predicted_ekg), 1)).astype(np.float32),
    }
    difference = np.nan_to_num((predicted_ekg - reference_kg).reshape(len(obs), -1)).astype(np.float32)
    adata = AnnData(difference, obs=obs, var=pd.DataFrame(index=genes), layers=layers)
    adata.obs_names_make_unique()
    return adata
