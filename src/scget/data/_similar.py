"""Expression of training rows as a prediction for others, weighted by how alike their accessibility is.

Kriging (best linear prediction) with accessibility as the coordinates: the departures of expression from the training
mean are taken to covary between rows as the departures of accessibility do (Rasmussen & Williams 2006, eq. 2.25).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import reduce
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
    there. ``departure_jg``: expression, log10(CPM + 1), less what a network predicts of it; NaN where a gene was held
    out. ``trust``: slope, 0 to 1, of these in a training row on what the others say of them, each left out in turn.
    ``error_g``: squared error of what the others say of expression, without a network, per unit of accessibility
    (squared, mean over regions) that they do not make up; NaN where held out.
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
        size_k = np.square(open_kn).sum(axis=1)
        weight_kj, left_k = _solve(open_jn @ open_jn.T, open_kn @ open_jn.T, size_k)
        share_k = np.clip(1 - np.divide(left_k, size_k, out=np.ones_like(size_k), where=size_k > 0), 0, 1)
        return Likeness(weight_kj * self.trust, share_k, left_k / max(known_n.sum(), 1))

    def less(self, network_jg: np.ndarray) -> SimilarRows:
        """The same with what a network predicts of the departures taken off, where it predicts anything."""
        rest_jg = self.departure_jg - np.where(np.isfinite(network_jg), network_jg, 0)
        known_g = np.isfinite(rest_jg).all(axis=0)
        said_jg, own_jg, _ = _left_out(self.open_jn.astype(np.float64), rest_jg[:, known_g].astype(np.float64))
        return replace(self, departure_jg=rest_jg.astype(np.float32), trust=_trust(said_jg, own_jg))

    def arrays(self) -> dict[str, np.ndarray]:
        """Field name to array, to be saved."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def keep_rows(
    rows: np.ndarray,
    region_p: np.ndarray,
    open_again: Callable[[], Iterator[np.ndarray]],
    mean_p: np.ndarray,
    departure_jg: np.ndarray,
) -> SimilarRows:
    """Keep training rows, whose accessibility (p,) ``open_again`` gives, at the most variable of the regions ``region_p`` (flags)."""
    size_p = np.where(region_p, reduce(np.add, (np.square(open_p - mean_p) for open_p in open_again())), -1.0)
    n_regions = min(MOST_REGIONS, max(MOST_VALUES // len(rows), 1), int(region_p.sum()))
    region_n = np.sort(np.argsort(-size_p, kind="stable")[:n_regions])
    open_jn = np.stack([open_p[region_n] - mean_p[region_n] for open_p in open_again()])
    known_g = np.isfinite(departure_jg).all(axis=0)
    said_jg, own_jg, left_j = _left_out(open_jn, departure_jg[:, known_g])
    trust, error_g = _trust(said_jg, own_jg), np.full(len(known_g), np.nan, dtype=np.float32)
    error_g[known_g] = _errors(own_jg - trust * said_jg, left_j)
    return SimilarRows(
        row_j=np.asarray(rows, dtype=object),
        region_n=region_n.astype(np.int64),
        open_jn=np.ascontiguousarray(open_jn, dtype=np.float16),
        departure_jg=np.ascontiguousarray(departure_jg, dtype=np.float32),
        trust=trust,
        error_g=error_g,
    )


def told_by(inner_kk: np.ndarray, k: int, other_j: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (j,) of the rows ``other_j`` for row ``k``, both as departures from the mean of these, and what is left over.

    ``inner_kk``: inner products of all rows, departures from anything.
    """
    inner_jj, inner_j, size = inner_kk[np.ix_(other_j, other_j)], inner_kk[k, other_j], inner_kk[k, k]
    mean_j, mean = inner_jj.mean(axis=0), inner_jj.mean()
    centred_jj = inner_jj - mean_j[:, None] - mean_j + mean
    centred_j, centred = inner_j - inner_j.mean() - mean_j + mean, size - 2 * inner_j.mean() + mean
    if np.trace(centred_jj) <= 1e-12 * np.trace(inner_jj):  # one row, or rows that are equal: nothing to tell them by
        return np.zeros(len(other_j)), max(centred, 0.0)
    weight_1j, left_1 = _solve(centred_jj, centred_j[None], np.array([centred]))
    return weight_1j[0], left_1[0]


def _solve(inner_jj: np.ndarray, inner_kj: np.ndarray, size_k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (k, j) and squared departure left over (k,), from inner products and the squared size of those of ``k``."""
    noise = RIDGE * np.trace(inner_jj) / len(inner_jj)
    if noise <= 0:
        return np.zeros(inner_kj.shape), size_k
    weight_kj = np.linalg.solve(inner_jj + noise * np.eye(len(inner_jj)), inner_kj.T).T
    left_k = size_k - 2 * (weight_kj * inner_kj).sum(axis=1) + ((weight_kj @ inner_jj) * weight_kj).sum(axis=1)
    return weight_kj, np.maximum(left_k, 0)


def _left_out(open_jn: np.ndarray, departure_jg: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each training row: what the others say, its own departure, both from their mean, and what is left over.

    Empty for fewer than 3 rows.
    """
    inner_jj = open_jn @ open_jn.T
    evenly = np.linspace(0, len(inner_jj) - 1, MOST_LEFT_OUT).astype(int)
    left_out = np.unique(evenly if len(inner_jj) > 2 else evenly[:0])
    said_jg, own_jg = (np.zeros((len(left_out), departure_jg.shape[1])) for _ in range(2))
    left_j = np.zeros(len(left_out))
    for i, j in enumerate(left_out):
        others = np.delete(np.arange(len(inner_jj)), j)
        weight_j, left_j[i] = told_by(inner_jj, j, others)
        mean_g = departure_jg[others].mean(axis=0)
        said_jg[i] = weight_j @ (departure_jg[others] - mean_g)
        own_jg[i] = departure_jg[j] - mean_g
    return said_jg, own_jg, left_j / open_jn.shape[1]


def _trust(said_jg: np.ndarray, own_jg: np.ndarray) -> np.ndarray:
    """Least-squares slope through 0, held between 0 and 1, as an array of one number."""
    size = np.square(said_jg).sum()
    return np.array([np.clip((said_jg * own_jg).sum() / size, 0, 1) if size > 0 else 0.0])


def _errors(error_jg: np.ndarray, left_j: np.ndarray) -> np.ndarray:
    """Squared error of each gene per unit of accessibility left over.

    It is drawn towards that of all genes as by PRIOR further rows, and then all are scaled so that 80% of the rows left
    out lie within the 80% interval of a normal distribution (conformal, Vovk et al. 2005).
    """
    if not error_jg.size:
        return np.full(error_jg.shape[1], np.nan)
    square_jg = np.square(error_jg) / np.maximum(left_j, np.finfo(float).tiny)[:, None]
    total_g, n = square_jg.sum(axis=0), len(square_jg)
    prior = PRIOR * square_jg.mean()
    within_jg = (total_g - square_jg + prior) / (n - 1 + PRIOR)  # without the row itself
    factor = np.quantile(np.divide(square_jg, within_jg, out=np.ones_like(square_jg), where=within_jg > 0), 0.8)
    return factor / norm.ppf(0.9) ** 2 * (total_g + prior) / (n + PRIOR)
