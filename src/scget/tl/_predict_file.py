"""Predictions to an h5ad file or a zarr folder, a few rows at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scget import _keys
from scget._errors import InputError

from ._record import write_record
from ._slots import check_free, modality

if TYPE_CHECKING:
    from mudata import MuData

    from scget.data import RegionTable
    from scget.model import GET, Ensemble
    from scget.model._expression import SlotPrediction

_SUFFIXES = (".h5ad", ".zarr")
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
    if path.suffix not in _SUFFIXES or not path.parent.is_dir() or path.exists():
        raise InputError(
            f"out={str(path)!r}: a new name in a folder that is there is needed, in .h5ad (a file) or .zarr (a folder)"
        )
    shell = _shell(mdata, model)
    check_free(shell, slots)
    table, prediction = first = next(chunks)
    atac, rna = mdata[modality(model, "atac_layer")], mdata.mod.get(modality(model, "rna_layer"))
    var = pd.DataFrame(index=table.genes.astype(str)) if rna is None else rna.var.reindex(table.genes)
    obs = atac.obs.drop(columns=slots.unlikeness, errors="ignore")
    if prediction.ood_k is not None:
        obs[slots.unlikeness] = np.nan
    empty = AnnData(obs=obs.copy(), var=var, uns={slots.record: write_record(shell, model, slots)})
    part = path.with_name(f"{path.name}.part")
    with _opened(part, path.suffix, empty) as (store, create):
        _append(store, create, chain([first], chunks), empty.shape, slots)
    part.replace(path)


@contextmanager
def _opened(part: Path, suffix: str, empty: AnnData) -> Iterator[tuple[Any, Callable[..., Any]]]:
    """``empty`` on disk, in place of what a killed run may have left: the open group, and what makes an array in it."""
    import h5py
    import zarr

    if suffix == ".h5ad":
        empty.write_h5ad(part)
        with h5py.File(part, "r+") as file:
            yield file, partial(file.create_dataset, compression="lzf")
        return
    with _quiet_on_formats():
        empty.write_zarr(part)
    store = zarr.open_group(str(part), mode="r+")
    yield store, store.create
    with _quiet_on_formats():
        zarr.consolidate_metadata(store.store)  # anndata did so before there were matrices


@contextmanager
def _quiet_on_formats() -> Iterator[None]:
    """Without warnings about zarr formats 2 and 3: ``anndata.settings.zarr_write_format`` chooses, and has a default."""
    with warnings.catch_warnings():
        told = "(?s).*(zarr v2 data|zarr v3 autosharding|[Cc]onsolidated metadata)"
        for category in (UserWarning, FutureWarning):
            warnings.filterwarnings("ignore", told, category)
        yield


def _append(
    store: Any,
    create: Callable[..., Any],
    chunks: Iterator[tuple[RegionTable, SlotPrediction]],
    shape: tuple[int, int],
    slots: _keys.Slots,
) -> None:
    """Matrices as they come, in chunks of whole rows; how unlike rows are, which is little, at the end."""
    chunk = min(max(_CHUNK // shape[1], 1), shape[0]), shape[1]
    arrays: dict[str, Any] = {}
    unlike, done = [], 0
    for table, prediction in chunks:
        part = slice(done, done + len(table.rows))
        for name, values in (("X", prediction.genes_kg), (f"layers/{slots.uncertainty}", prediction.std_kg)):
            if values is not None:
                if name not in arrays:
                    if name in store:
                        del store[name]
                    arrays[name] = create(name, shape=shape, dtype=np.float32, chunks=chunk)
                    arrays[name].attrs.update(_ARRAY)
                arrays[name][part] = values.astype(np.float32)
        if prediction.ood_k is not None:
            unlike.append(prediction.ood_k)
        done += len(table.rows)
    if unlike:
        store[f"obs/{slots.unlikeness}"][...] = np.concatenate(unlike)


def _shell(mdata: MuData, model: GET | Ensemble) -> MuData:
    """Of what provenance is read from, and nothing else."""
    from mudata import MuData as Shell

    name = modality(model, "atac_layer")
    atac = mdata[name]
    known = {key: atac.uns[key] for key in (_keys.MOTIF_SCAN, _keys.ANNOTATION) if key in atac.uns}
    return Shell({name: AnnData(obs=atac.obs[[]], uns=known)})
