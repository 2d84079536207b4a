"""Predictions to an h5ad file, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from scget import _keys
from scget._errors import InputError

from ._record import write_record
from ._slots import check_free, modality

if TYPE_CHECKING:
    import h5py
    from mudata import MuData

    from scget.data import RegionTable
    from scget.model import GET, Ensemble
    from scget.model._expression import SlotPrediction

_CHUNK = 1 << 18  # values compressed together, 1 MB
_ARRAY = {"encoding-type": "array", "encoding-version": "0.2.0"}  # how anndata marks a dense matrix


def write_predictions(
    path: Path,
    mdata: MuData,
    model: GET | Ensemble,
    chunks: Iterator[tuple[RegionTable, SlotPrediction]],
    slots: _keys.Slots,
) -> None:
    """Write predictions as they come to ``path``, which exists once all are there; see :func:`scget.tl.predict`."""
    import h5py

    if path.suffix != ".h5ad" or not path.parent.is_dir() or path.exists():
        raise InputError(f"out={str(path)!r}: a new file of a folder that is there is needed, with a name in .h5ad")
    shell = _shell(mdata, model)
    check_free(shell, slots)
    table, prediction = next(chunks)
    atac, rna = mdata[modality(model, "atac_layer")], mdata.mod.get(modality(model, "rna_layer"))
    var = pd.DataFrame(index=table.genes.astype(str)) if rna is None else rna.var.reindex(table.genes)
    obs = atac.obs.drop(columns=slots.unlikeness, errors="ignore")
    if prediction.ood_k is not None:
        obs[slots.unlikeness] = np.nan
    part = path.with_name(f"{path.name}.part")
    AnnData(obs=obs.copy(), var=var, uns={slots.record: write_record(shell, model, slots)}).write_h5ad(part)
    with h5py.File(part, "r+") as file:
        done = 0
        while True:
            _append(file, table, prediction, slots, done, atac.n_obs)
            done += len(table.rows)
            following = next(chunks, None)
            if following is None:
                break
            table, prediction = following
    part.replace(path)


def _append(
    file: h5py.File, table: RegionTable, prediction: SlotPrediction, slots: _keys.Slots, done: int, n_rows: int
) -> None:
    part = slice(done, done + len(table.rows))
    for name, values in (("X", prediction.genes_kg), (f"layers/{slots.uncertainty}", prediction.std_kg)):
        if values is None:
            continue
        if done == 0:
            if name in file:
                del file[name]
            n_genes = len(table.genes)
            shape, chunk = (n_rows, n_genes), (min(max(_CHUNK // n_genes, 1), n_rows), n_genes)
            file.create_dataset(name, shape, np.float32, chunks=chunk, compression="lzf").attrs.update(_ARRAY)
        file[name][part] = values.astype(np.float32)
    if prediction.ood_k is not None:
        file[f"obs/{slots.unlikeness}"][part] = prediction.ood_k


def _shell(mdata: MuData, model: GET | Ensemble) -> MuData:
    """Of what provenance is read from, and nothing else."""
    from mudata import MuData as Shell

    name = modality(model, "atac_layer")
    atac = mdata[name]
    known = {key: atac.uns[key] for key in (_keys.MOTIF_SCAN, _keys.ANNOTATION) if key in atac.uns}
    return Shell({name: AnnData(obs=atac.obs[[]], uns=known)})
