"""Accessibility of every region from the motifs of its window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scget.data import Batch, RegionTable

from ._infer import at_focus, prepare

if TYPE_CHECKING:
    from ._get import GET


@torch.inference_mode()
def predict_regions(model: GET, table: RegionTable, rows: Sequence[str] | None, batch_size: int) -> pd.DataFrame:
    """Rows x regions in the user's order, each region read from the window in which it stands most central."""
    source, windows = prepare(model, table, rows, batch_size, expression=False)
    out_kp = np.full((len(table.rows), len(table.regions)), np.nan, dtype=np.float32)

    def read(batch: Batch) -> Tensor:
        return model.module.accessibility(batch.tokens_brf, batch.center_br, batch.pad_br)

    for row_n, region_n, _, out_n in at_focus(read, source, windows, batch_size, "predict"):
        out_kp[row_n, region_n] = out_n.numpy()
    k, back_p = table.row_positions(rows), np.argsort(table.order_p)
    return pd.DataFrame(out_kp[k][:, back_p], index=table.rows[k], columns=table.regions.names[back_p])
