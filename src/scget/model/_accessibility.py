"""Accessibility of every region from the motifs of its window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from scget.data import RegionTable, WindowBatches

from ._infer import prepare, progress

if TYPE_CHECKING:
    from ._get import GET


@torch.inference_mode()
def predict_regions(model: GET, table: RegionTable, rows: Sequence[str] | None, batch_size: int) -> pd.DataFrame:
    """Rows x regions in the user's order, each region read from the window in which it stands most central."""
    source, windows = prepare(model, table, rows, batch_size, expression=False)
    out_kp = np.full((len(table.rows), len(table.regions)), np.nan, dtype=np.float32)
    focus_n, done = windows.focus_window_n, 0
    for row_b, index_br in progress(WindowBatches(windows, batch_size), "predict"):
        low, high = np.searchsorted(focus_n, [done, done + len(row_b)])
        at = focus_n[low:high] - done, windows.focus_token_n[low:high]
        batch = source.gather(row_b.to(source.center_p.device), index_br.to(source.center_p.device))
        out_br = model.module.accessibility(batch.tokens_brf, batch.center_br, batch.pad_br).cpu().numpy()
        out_kp[row_b.numpy()[at[0]], index_br.numpy()[at]] = out_br[at]
        done += len(row_b)
    k, back_p = table.row_positions(rows), np.argsort(table.order_p)
    return pd.DataFrame(out_kp[k][:, back_p], index=table.rows[k], columns=table.regions.names[back_p])
