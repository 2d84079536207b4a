"""Predictions a few rows at a time, for single cells: no row is told of another, so this changes no number."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scget._errors import ScgetWarning
from scget.data import RegionTable

from ._ensemble import Ensemble
from ._expression import SlotPrediction
from ._infer import progress
from ._setup import own_or, read_tables

if TYPE_CHECKING:
    from mudata import MuData

    from ._get import GET


def predict_rows(
    model: GET | Ensemble, mdata: MuData | None, batch_size: int, row_batch: int | None
) -> Iterator[tuple[RegionTable, SlotPrediction]]:
    """Predictions of all rows in their order, ``row_batch`` at a time (None: what makes 16 million accessibility values)."""
    reader = model.members[0] if isinstance(model, Ensemble) else model
    mdata = own_or(reader, mdata)
    tables = read_tables(reader, mdata, row_batch)
    table = next(tables)
    n_rows = mdata[reader.registry["setup_args"]["modalities"]["atac_layer"]].n_obs
    yield table, model._predict_table(table, None, batch_size)
    for later in progress(tables, "rows", -(-n_rows // len(table.rows)) - 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ScgetWarning)  # said of the first rows
            prediction = model._predict_table(later, None, batch_size)
        yield later, prediction
