"""Expression of training rows as a prediction for others, weighted by how alike their accessibility is.

Kriging (best linear prediction) with accessibility as the coordinates: the departures of expression from the training
mean are taken to covary between rows as the departures of accessibility do (Rasmussen & Williams 2006, eq. 2.25).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

RIDGE = 0.1  # share of the mean variance of a row that is taken to be noise
MOST_REGIONS = 100_000
MOST_VALUES = 50_000_000  # rows x regions kept, 2 bytes each
MOST_LEFT_OUT = 100  # rows left out in turn


@dataclass(frozen=True)
class SimilarRows:
    """What is kept of the training rows, all as departures from their mean.

    ``row_j``: names. ``region_n``: positions among the regions of training, the most variable. ``open_jn``: accessibility
    there. ``departure_jg``: expression, log10(CPM + 1); NaN where a gene was held out. ``trust``: slope, 0 to 1, of the
    departures of training rows on what the others say of them, each left out in turn.
    """

    row_j: np.ndarray
    region_n: np.ndarray
    open_jn: np.ndarray
    departure_jg: np.ndarray
    trust: np.ndarray

    def weights(self, open_kn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights of the training rows for rows of departures ``open_kn``, and how alike these are to any of them.

        A region of which nothing is known (NaN) is left out. Likeness is the share of a row's squared departure that
        the weighted training rows make up: 0 for one that is like none, towards 1 for one of them. Both are 0 as far as
        the training rows do not trust in each other.
        """
        known_n = np.isfinite(open_kn).all(axis=0)
        open_jn, open_kn = self.open_jn[:, known_n].astype(np.float64), open_kn[:, known_n].astype(np.float64)
        weight_kj, likeness_k = _solve(open_jn @ open_jn.T, open_kn @ open_jn.T, np.square(open_kn).sum(axis=1))
        return weight_kj * self.trust, likeness_k * self.trust**2

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
    return SimilarRows(
        row_j=np.asarray(rows, dtype=object),
        region_n=region_n.astype(np.int64),
        open_jn=np.ascontiguousarray((open_jp - mean_p)[:, region_n], dtype=np.float16),
        departure_jg=np.ascontiguousarray(departure_jg, dtype=np.float32),
        trust=_trust((open_jp - mean_p)[:, region_n], departure_jg[:, np.isfinite(departure_jg).all(axis=0)]),
    )


def _solve(inner_jj: np.ndarray, inner_kj: np.ndarray, size_k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (k, j) and likeness (k,) from inner products of departures, and the squared size of those of ``k``."""
    noise = RIDGE * np.trace(inner_jj) / len(inner_jj)
    if noise <= 0 or not len(inner_kj):
        return np.zeros(inner_kj.shape), np.zeros(len(inner_kj))
    weight_kj = np.linalg.solve(inner_jj + noise * np.eye(len(inner_jj)), inner_kj.T).T
    left_k = size_k - 2 * (weight_kj * inner_kj).sum(axis=1) + ((weight_kj @ inner_jj) * weight_kj).sum(axis=1)
    return weight_kj, np.clip(1 - np.divide(left_k, size_k, out=np.ones_like(size_k), where=size_k > 0), 0, 1)


def left_out(open_jn: np.ndarray, departure_jg: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each training row, what the others say of it, and its own departure, both from the mean of the others."""
    inner_jj = open_jn @ open_jn.T
    for j in np.unique(np.linspace(0, len(inner_jj) - 1, MOST_LEFT_OUT).astype(int)):
        others = np.delete(np.arange(len(inner_jj)), j)
        centred = np.eye(len(inner_jj))
        centred[:, others] -= 1 / len(others)  # from departures to departures from the mean of the others
        inner = centred @ inner_jj @ centred.T
        weight_1j, _ = _solve(inner[np.ix_(others, others)], inner[j, others][None], inner[j, j][None])
        mean_g = departure_jg[others].mean(axis=0)
        yield j, (weight_1j @ (departure_jg[others] - mean_g))[0], departure_jg[j] - mean_g


def _trust(open_jn: np.ndarray, departure_jg: np.ndarray) -> np.ndarray:
    """Least-squares slope through 0, held between 0 and 1; 0 for fewer than 3 rows."""
    if len(open_jn) < 3:
        return np.zeros(1)
    products = np.array([(said @ own, said @ said) for _, said, own in left_out(open_jn, departure_jg)]).sum(axis=0)
    return np.clip(products[:1] / products[1:], 0, 1) if products[1] > 0 else np.zeros(1)
