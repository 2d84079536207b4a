"""Motif attributions beside those of shuffled motifs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, t
from tqdm.auto import tqdm

from scget._errors import InputError

from ._attribute import MotifNull
from ._running import Running

Motifs = dict[str, pd.DataFrame]
FEWEST = 3  # shuffles, of which a standard deviation can be taken


def check_shuffles(n_shuffles: int) -> None:
    """0 or enough; :class:`InputError`."""
    if isinstance(n_shuffles, bool) or not isinstance(n_shuffles, int | np.integer) or n_shuffles < 0:
        raise InputError(f"n_shuffles={n_shuffles!r}: a whole number is needed, 0 for no null")
    if 0 < n_shuffles < FEWEST:
        raise InputError(f"n_shuffles={n_shuffles}: at least {FEWEST} are needed for a z-score; 20 do well")


def motif_null(
    motifs: Callable[[np.ndarray], Motifs], observed: Motifs, n_regions: int, n_shuffles: int, seed: int
) -> MotifNull:
    """See :class:`MotifNull`; ``motifs`` gives the attributions where region p has the motifs of ``moved_p[p]``."""
    rng = np.random.default_rng(seed)
    each, over_genes = {row: Running() for row in observed}, {row: Running() for row in observed}
    for _ in tqdm(range(n_shuffles), desc="shuffle motifs", leave=False):
        for row, table in motifs(rng.permutation(n_regions)).items():
            each[row].add(table.to_numpy(dtype=np.float64))
            over_genes[row].add(table.abs().mean().to_numpy(dtype=np.float64))
    z, fdr, lines = {}, {}, []
    for row, table in observed.items():
        z_gm = _z(table.to_numpy(dtype=np.float64), each[row])
        z[row] = pd.DataFrame(z_gm, index=table.index, columns=table.columns)
        fdr[row] = z[row].copy()
        fdr[row][:] = false_discovery_rates(2 * _tail(np.abs(z_gm), n_shuffles))
        mean_m = table.abs().mean().to_numpy(dtype=np.float64)
        z_m = _z(mean_m, over_genes[row])
        columns = {"row": row, "motif": table.columns.astype(str), "mean": mean_m, "shuffled": over_genes[row].mean}
        lines.append(pd.DataFrame({**columns, "z": z_m, "fdr": false_discovery_rates(_tail(z_m, n_shuffles))}))
    return MotifNull(z, fdr, pd.concat(lines, ignore_index=True))


def _z(values: np.ndarray, draws: Running) -> np.ndarray:
    """NaN where the draws do not vary."""
    sd = draws.std
    return np.where(sd > 0, (values - draws.mean) / np.where(sd > 0, sd, 1), np.nan)


def _tail(z: np.ndarray, n: int) -> np.ndarray:
    """Probability of a new draw so far above the mean of ``n`` draws, were all normal."""
    return t.sf(z / np.sqrt(1 + 1 / n), n - 1)


def false_discovery_rates(probability: np.ndarray) -> np.ndarray:
    """False discovery rates of those that are known."""
    rates, known = np.full(probability.shape, np.nan), np.isfinite(probability)
    if known.any():
        rates[known] = false_discovery_control(probability[known])
    return rates
