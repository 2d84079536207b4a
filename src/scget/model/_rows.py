"""Predictions a few rows at a time, for single cells: no row is told of another, so this changes no number."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from scget._errors import ScgetWarning
from scget.data import RegionTable

from ._ensemble import Ensemble
from ._expression import SlotPrediction
from ._infer import progress
from ._kept import Folder, Kept
from ._setup import own_or, read_tables

if TYPE_CHECKING:
    from mudata import MuData

    from ._get import GET


def predict_rows(
    model: GET | Ensemble, mdata: MuData | None, batch_size: int, row_batch: int | None, cache: Folder = None
) -> Iterator[tuple[RegionTable, SlotPrediction]]:
    """Predictions of all rows in their order, ``row_batch`` at a time; see :func:`scget.tl.predict`."""
    reader = model.members[0] if isinstance(model, Ensemble) else model
    mdata = own_or(reader, mdata)
    tables = read_tables(reader, mdata, row_batch, often=cache is not None)
    table = next(tables)
    n_rows = mdata[reader.registry["setup_args"]["modalities"]["atac_layer"]].n_obs
    yield table, _predicted(model, table, batch_size, cache)
    for later in progress(tables, "rows", -(-n_rows // len(table.rows)) - 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ScgetWarning)  # said of the first rows
            prediction = _predicted(model, later, batch_size, cache)
        yield later, prediction


def _predicted(model: GET | Ensemble, table: RegionTable, batch_size: int, cache: Folder) -> SlotPrediction:
    """Predictions of a few rows, kept in the folder ``cache``."""

    def make() -> dict[str, np.ndarray]:
        found = model._predict_table(table, None, batch_size)
        values = {field.name: getattr(found, field.name) for field in fields(SlotPrediction)}
        return {name: array for name, array in values.items() if array is not None}

    return SlotPrediction(**Kept(cache, model, table, asked="predict").part("rows", make))
