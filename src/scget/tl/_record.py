"""Where an answer came from, beside every answer."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scget import _keys
from scget._version import scget_version
from scget.data._table import plain_record

from ._slots import modality

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from scget.model import GET, Ensemble

UNIT = "log10(CPM + 1)"
OF_ROWS = (
    "links",
    "linked",
    "gap",
    "motif_null",
    "attribution",
    "regulators",
    "regulated",
    "motif_network",
    "motif_network_left_out",
    "motif_pairs",
    "paired",
)  # entries of the record that are answers


def write_record(mdata: MuData, model: GET | Ensemble, slots: _keys.Slots) -> dict[str, Any]:
    """Note :func:`provenance` in ``mdata.uns``; other entries stay."""
    record, made = mdata.uns.setdefault(slots.record, {}), provenance(mdata, model)
    if record.get("model", made["model"]) != made["model"]:
        _forget_attributions(mdata, model, slots)  # of another model
    record.pop("imported", None)
    record.update(made)
    return record


def provenance(mdata: MuData, model: GET | Ensemble) -> dict[str, Any]:
    """Version, weights, window, hold-outs, motif set and genome, as plain lists, strings and numbers."""
    from scget.model import Ensemble
    from scget.model._checkpoint import digest
    from scget.module._lora import merged_state

    atac = mdata[modality(model, "atac_layer")]
    scan, source = (plain_record(atac.uns.get(key)) for key in (_keys.MOTIF_SCAN, _keys.ANNOTATION))
    record: dict[str, Any] = {"scget_version": scget_version(), "unit": UNIT}
    record["model"] = model.digest() if isinstance(model, Ensemble) else digest(merged_state(model.module))
    record["members"] = len(model.members) if isinstance(model, Ensemble) else 1
    record["window"] = model.window
    record["motifs_sha256"] = hashlib.sha256("\n".join(map(str, model.motifs)).encode()).hexdigest()
    record["genome"] = str(scan.get("genome", "not recorded"))
    record["annotation"] = str(source.get("file", "not recorded"))
    record["holdout_obs"] = list(model.holdout.obs)
    record["holdout_chroms"] = list(model.holdout.chroms)
    record["watched_chroms"] = [] if isinstance(model, Ensemble) else _watched(atac, model)
    if model.holdout.imported is not None:  # what such weights saw is known as far as the user stated it
        record["imported"] = {key: value for key, value in model.holdout.imported.items() if value}
    return record


def _watched(atac: AnnData, model: GET) -> list[str]:
    """Chromosomes not held out of whose genes the model knows no mean: they were watched in training."""
    pairs = atac.uns.get(_keys.PEAK_ANNOTATION)
    if pairs is None or not len(pairs):
        return []
    known = np.isfinite(model.scaling.expression(pairs["gene"].to_numpy(dtype=object)))
    chroms = pairs["region"].astype(str).str.rsplit(":", n=1).str[0]
    known_c = pd.Series(known).groupby(chroms.to_numpy()).any()
    return [str(c) for c in known_c.index[~known_c] if c not in model.holdout.chroms] if known.any() else []


def _forget_attributions(mdata: MuData, model: GET | Ensemble, slots: _keys.Slots) -> None:
    for table in OF_ROWS:
        mdata.uns[slots.record].pop(table, None)
    atac = mdata[modality(model, "atac_layer")]
    for embedded in (atac.obsm, *(adata.varm for adata in mdata.mod.values())):
        embedded.pop(slots.embedding, None)
    name = modality(model, "rna_layer")
    if name in mdata.mod:
        rna = mdata[name]
        of_rows = tuple(name_of("") for name_of in (slots.motif_attribution, slots.motif_z, slots.motif_fdr))
        rna.obsm.pop(slots.motif_summary, None)
        for key in [key for key in rna.varm if key.startswith(of_rows)]:
            del rna.varm[key]
