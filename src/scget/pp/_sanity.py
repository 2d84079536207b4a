"""Do motif scores say anything about accessibility? A quick model, judged on chromosomes it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from tqdm.auto import tqdm

from scget.pp._chunks import pieces
from scget.pp._regions import Regions, sort_order

_PREFERRED = ("chr10", "chr11")  # as left out by the sanity check of the published GET
_MOST_TRAINED, _MOST_HELD = 20_000, 10_000  # regions; more of them hardly change the outcome
_LEAST_TRAINED, _LEAST_HELD = 1_000, 100  # regions, below which the outcome is chance
_STEPS, _TREES = 10, 10  # 100 trees in 10 steps of the progress bar


@dataclass(frozen=True)
class Sanity:
    """Outcome of :func:`motifs_to_accessibility`."""

    held_chroms: list[str]
    n_trained: int
    n_held: int
    r: float  # Pearson on the held-out chromosomes; NaN where there are too few regions
    r_baseline: float  # the same from width and total motif score alone


def motifs_to_accessibility(counts: Any, scores: Any, regions: Regions) -> Sanity:
    """Predict the accessibility of regions on two held-out chromosomes from their motif scores.

    Gradient-boosted trees of scikit-learn, 100 of them, learn log10(CPM + 1) of a region, CPM being the mean over rows,
    from up to 20,000 regions of the other chromosomes. The outcome depends on no order of rows or regions.

    Parameters
    ----------
    counts
        Rows x regions, raw counts.
    scores
        Regions x motifs.
    regions
        Coordinates of the regions.

    Returns
    -------
    Pearson correlation on the held-out regions, beside that of the same trees given but two numbers per region.
    """
    order = sort_order(regions)
    chrom = regions.chrom[order]
    held_chroms = _held_out(chrom)
    rng = np.random.default_rng(0)
    is_held = np.isin(chrom, held_chroms)
    train = np.sort(rng.permutation(np.flatnonzero(~is_held))[:_MOST_TRAINED])
    held = np.sort(rng.permutation(np.flatnonzero(is_held))[:_MOST_HELD])
    r = r_baseline = np.nan
    if len(train) >= _LEAST_TRAINED and len(held) >= _LEAST_HELD:
        y = _accessibility(counts)[order]
        used = np.concatenate([train, held])
        rows = order[used]
        motif_pm = scores[rows].toarray() if issparse(scores) else np.asarray(scores[rows])
        few = np.column_stack([motif_pm.sum(axis=1, dtype=np.float64), (regions.end - regions.start)[rows]])
        with tqdm(total=2 * _STEPS, desc="motifs to accessibility", leave=False) as bar:
            r, r_baseline = (_pearson_of_trees(x, y[used], len(train), bar) for x in (motif_pm, few))
    return Sanity(held_chroms, len(train), len(held), r, r_baseline)


def _held_out(chrom: np.ndarray) -> list[str]:
    """chr10 and chr11, or else the two of middle size; none unless a third is left to learn from."""
    sizes = pd.Series(chrom).value_counts(sort=False).sort_values(kind="stable")
    if len(sizes) < 3:
        return []
    if set(_PREFERRED) <= set(sizes.index):
        return list(_PREFERRED)
    middle = (len(sizes) - 2) // 2
    return [str(name) for name in sizes.index[middle : middle + 2]]


def _accessibility(counts: Any) -> np.ndarray:
    """``(p,)`` log10 of the mean over rows of counts per million, + 1; rows without counts left out."""
    totals, sums = np.zeros(counts.shape[0]), np.zeros(counts.shape[1])
    for row, _, values in pieces(counts):
        totals[row : row + values.shape[0]] += np.asarray(values.sum(axis=1, dtype=np.float64)).ravel()
    weights = np.divide(1e6, totals, out=np.zeros_like(totals), where=totals > 0) / max(int((totals > 0).sum()), 1)
    for row, column, values in pieces(counts):
        weighted = weights[row : row + values.shape[0]] @ values
        sums[column : column + values.shape[1]] += np.asarray(weighted, dtype=np.float64).ravel()
    return np.log10(sums + 1)


def _pearson_of_trees(x: np.ndarray, y: np.ndarray, n_trained: int, bar: tqdm) -> float:
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = HistGradientBoostingRegressor(early_stopping=False, warm_start=True, random_state=0)
    for step in range(_STEPS):
        trees.set_params(max_iter=(step + 1) * _TREES).fit(x[:n_trained], y[:n_trained])
        bar.update()
    predicted, known = trees.predict(x[n_trained:]), y[n_trained:]
    if not predicted.std() or not known.std():
        return 0.0
    return float(np.corrcoef(predicted, known)[0, 1])
