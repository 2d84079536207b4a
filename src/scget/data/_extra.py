"""Further channels per region: a layer (rows x regions), a column of ``var`` (regions), or the regions' length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scget._errors import InputError, first
from scget.pp._regions import Regions

LENGTH = "region_length"  # bp, computed where no column has this name


def check_extra(atac: Any, names: Sequence[str] | None) -> None:
    """Refuse names of channels that are not there, or hold anything but finite numbers."""
    if names is None:
        return
    if isinstance(names, str) or len(set(names)) < len(names):
        raise InputError(f"extra_keys={names!r}: a list of different names is needed, such as ['H3K27ac']")
    missing = [n for n in names if n not in atac.layers and n not in atac.var and n != LENGTH]
    if missing:
        there = [*(key for key in atac.layers if key is not None), *atac.var.columns]
        raise InputError(
            f"no layer or column of var {first(missing)} in 'atac'; there are {first(there, 9) or 'none'}. Write the "
            f"signal to atac.layers (rows x regions) or atac.var (regions), or take {LENGTH!r}."
        )
    for name in names:
        if name in atac.layers:
            matrix = atac.layers[name]
            values = matrix.data if sp.issparse(matrix) else matrix
        elif name in atac.var:
            values = pd.to_numeric(atac.var[name], errors="coerce").to_numpy(dtype=np.float64)
        else:
            continue
        n_bad = int((~np.isfinite(np.asarray(values, dtype=np.float64))).sum())
        if n_bad:
            raise InputError(f"{n_bad:,} values of {name!r} are no finite numbers. Fill them in, or leave it out.")


def read_extra(atac: Any, names: Sequence[str] | None, regions: Regions, order_p: np.ndarray) -> np.ndarray:
    """Values of each channel, (k, p, e) float32, regions in the order of ``regions``."""
    shape = (atac.n_obs, len(order_p))
    channels = [np.broadcast_to(_values(atac, name, regions, order_p), shape) for name in names or ()]
    return np.stack(channels, axis=-1) if channels else np.zeros((*shape, 0), dtype=np.float32)


def _values(atac: Any, name: str, regions: Regions, order_p: np.ndarray) -> np.ndarray:
    if name in atac.layers:
        matrix = atac.layers[name]
        return np.asarray(matrix.toarray() if sp.issparse(matrix) else matrix, dtype=np.float32)[:, order_p]
    if name in atac.var:
        return pd.to_numeric(atac.var[name]).to_numpy(dtype=np.float32)[order_p]
    return (regions.end - regions.start).astype(np.float32)
