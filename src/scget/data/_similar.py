"""Expression of training rows as a prediction for others, weighted by how alike their accessibility is.

Kriging (best linear prediction) with accessibility as the coordinates: the departures of expression from the training
mean are taken to covary between rows as the departures of accessibility do (Rasmussen & Williams 2006, eq. 2.25).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

RIDGE = 0.1  # share of the mean variance of a row that is taken to be noise
MOST_REGIONS = 100_000
MOST_VALUES = 50_000_000  # rows x regions kept, 2 bytes each
MOST_LEFT_OUT = 100  # rows left out in turn
PRIOR = 3  # rows


class Likeness(NamedTuple):
    """How alike rows are to those of training.

    ``weight_kj``: weights of these. ``share_k``: how much of a row's squared departure of accessibility they make up
    when weighted, 0 for a row that is like none, towards 1 for one of them. ``left_k``: what they do not, mean over regions.
    """

    weight_kj: np.ndarray
    share_k: np.ndarray
    left_k: np.ndarray


@dataclass(frozen=True)
class SimilarRows:
    """What is kept of the training rows, all as departures from their mean.

    ``row_j``: names. ``region_n``: positions among the regions of training, the most variable. ``open_jn``: accessibility
    there. ``departure_jg``: expression, log10(CPM + 1); NaN where a gene was held out. ``trust``: slope, 0 to 1, of the
    departures of training rows on what the others say of them, each left out in turn. ``error_g``: squared error of
    that per unit of accessibility (squared, mean over regions) that the others do not make up; NaN where held out.
    """

    row_j: np.ndarray
    region_n: np.ndarray
    open_jn: np.ndarray
    departure_jg: np.ndarray
    trust: np.ndarray
    error_g: np.ndarray

    def weights(self, open_kn: np.ndarray) -> Likeness:
        """Weights of the training rows for rows of departures ``open_kn``, and how alike these are to any of them.

        A region of which nothing is known (NaN) is left out.
        """
        known_n = np.isfinite(open_kn).all(axis=0)
        open_jn, open_kn = self.open_jn[:, known_n].astype(np.float64), open_kn[:, known_n].astype(np.float64)
        weight_kj, left_k = _solve(open_jn @ open_jn.T, open_kn @ open_jn.T, np.square(open_kn).sum(axis=1))
        size_k = np.square(open_kn).sum(axis=1)
        share_k = np.clip(1 - np.divide(left_k, size_k, out=np.ones_like(size_k), where=size_k > 0), 0, 1)
        return Likeness(weight_kj * self.trust, share_k, left_k / max(known_n.sum(), 1))

    def own_share(self, share_k: np.ndarray) -> np.ndarray:
        """How much of a network's departure is added to what the training rows say: 1 where they say nothing."""
        return 1 - self.trust * share_k

    def arrays(self) -> dict[str, np.ndarray]:
        """Field name to array, to be saved."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def keep_rows(
    rows: np.ndarray, region_p: np.ndarray, open_jp: np.ndarray, mean_p: np.ndarray, departure_jg: np.ndarray
) -> SimilarRows:
    """Keep training rows: accessibility ``open_jp`` at the most variable of the regions ``region_p`` (flags)."""
    size_p = np.where(region_p, np.square(open_jp - mean_p).sum(axis=0), -1.0)
    n_regions = min(MOST_REGIONS, max(MOST_VALUES // len(rows), 1), int(region_p.sum()))
    region_n = np.sort(np.argsort(-size_p, kind="stable")[:n_regions])
    known_g = np.isfinite(departure_jg).all(axis=0)
    trust, error_g = _fit_errors((open_jp - mean_p)[:, region_n], departure_jg[:, known_g])
    every_g = np.full(len(known_g), np.nan, dtype=np.float32)
    every_g[known_g] = error_g
    return SimilarRows(
        row_j=np.asarray(rows, dtype=object),
        region_n=region_n.astype(np.int64),
        open_jn=np.ascontiguousarray((open_jp - mean_p)[:, region_n], dtype=np.float16),
        departure_jg=np.ascontiguousarray(departure_jg, dtype=np.float32),
        trust=trust,
        error_g=every_g,
    )


def _solve(inner_jj: np.ndarray, inner_kj: np.ndarray, size_k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (k, j) and squared departure left over (k,), from inner products and the squared size of those of ``k``."""
    noise = RIDGE * np.trace(inner_jj) / len(inner_jj)
    if noise <= 0:
        return np.zeros(inner_kj.shape), size_k
    weight_kj = np.linalg.solve(inner_jj + noise * np.eye(len(inner_jj)), inner_kj.T).T
    left_k = size_k - 2 * (weight_kj * inner_kj).sum(axis=1) + ((weight_kj @ inner_jj) * weight_kj).sum(axis=1)
    return weight_kj, np.maximum(left_k, 0)


def _left_out(open_jn: np.ndarray, departure_jg: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Of each training row: what the others say, its own departure, both from their mean, and what is left over."""
    inner_jj = open_jn @ open_jn.T
    for j in np.unique(np.linspace(0, len(inner_jj) - 1, MOST_LEFT_OUT).astype(int)):
        others = np.delete(np.arange(len(inner_jj)), j)
        centred = np.eye(len(inner_jj))
        centred[:, others] -= 1 / len(others)  # from departures to departures from the mean of the others
        inner = centred @ inner_jj @ centred.T
        weight_1j, left_1 = _solve(inner[np.ix_(others, others)], inner[j, others][None], inner[j, j][None])
        mean_g = departure_jg[others].mean(axis=0)
        yield (weight_1j @ (departure_jg[others] - mean_g))[0], departure_jg[j] - mean_g, left_1[0] / open_jn.shape[1]


def _fit_errors(open_jn: np.ndarray, departure_jg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``trust`` and ``error_g``, see :class:`SimilarRows`.

    Trust is the least-squares slope through 0, held between 0 and 1; it needs 3 rows. A gene's error is drawn towards
    that of all genes as by PRIOR further rows, and then all of them are scaled so that 80% of the rows left out lie
    within the 80% interval of a normal distribution (conformal, Vovk et al. 2005).
    """
    if len(open_jn) < 3 or not departure_jg.size:
        return np.zeros(1), np.full(departure_jg.shape[1], np.nan)
    said_jg, own_jg, left_j = (np.array(part) for part in zip(*_left_out(open_jn, departure_jg), strict=True))
    size = np.square(said_jg).sum()
    trust = np.clip((said_jg * own_jg).sum() / size, 0, 1) if size > 0 else 0.0
    square_jg = np.square(own_jg - trust * said_jg) / np.maximum(left_j, np.finfo(float).tiny)[:, None]
    total_g, n = square_jg.sum(axis=0), len(square_jg)
    prior = PRIOR * square_jg.mean()
    within_jg = (total_g - square_jg + prior) / (n - 1 + PRIOR)  # without the row itself
    factor = np.quantile(np.divide(square_jg, within_jg, out=np.ones_like(square_jg), where=within_jg > 0), 0.8)
    return np.array([trust]), factor / norm.ppf(0.9) ** 2 * (total_g + prior) / (n + PRIOR)
