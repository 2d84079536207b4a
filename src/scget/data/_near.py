"""Regions near others, and accessibility summed around promoters."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import scipy.sparse as sp

from scget._errors import InputError

from ._table import RegionTable

ACTIVITY_REACH = 100_000  # bp around a promoter that its activity takes in
ACTIVITY_DECAY = 20_000  # bp over which the weight of a region falls by e


MOST_REACH = 10**12  # bp; chromosomes so far apart still have places that are whole numbers


def check_reach(reach: float, what: str) -> None:
    """Refuse a distance that is no number, below 0, or without an end: chromosomes are told apart by distance."""
    if not isinstance(reach, int | float | np.number) or not 0 <= reach <= MOST_REACH:
        raise InputError(f"reach={reach!r}: {what}, at least 0 bp and at most {MOST_REACH:,}, is needed")


def near(table: RegionTable, at_n: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs ``i`` of a region ``at_n[n_i]`` and one (``region_i``) whose centre is at most ``reach`` bp from its own.

    Returns ``n_i``, ``region_i`` and ``distance_i`` (bp); pairs lie within a chromosome.
    """
    center_p = table.regions.centers
    place_p = center_p + table.chrom_p * (int(center_p.max()) + 2 * reach + 1)  # each chromosome far behind the last
    order_p = np.argsort(place_p, kind="stable")  # regions are sorted by start: where one holds another, not by centre
    low_n = np.searchsorted(place_p[order_p], place_p[at_n] - reach, "left")
    size_n = np.searchsorted(place_p[order_p], place_p[at_n] + reach, "right") - low_n
    n_i = np.repeat(np.arange(len(at_n)), size_n)
    region_i = order_p[np.arange(size_n.sum()) + np.repeat(low_n - (np.cumsum(size_n) - size_n), size_n)]
    return n_i, region_i, np.abs(place_p[region_i] - place_p[at_n][n_i]).astype(np.float64)


def activity_weights(table: RegionTable) -> sp.csr_matrix:
    """``exp(-distance / 20 kb)`` of the regions within 100 kb of each promoter slot, slots x regions."""
    slot_i, region_i, distance_i = near(table, table.promoters.region_q, ACTIVITY_REACH)
    shape = (len(table.promoters.region_q), len(table.regions))
    return sp.csr_matrix((np.exp(-distance_i / ACTIVITY_DECAY), (slot_i, region_i)), shape)


def gene_activity(table: RegionTable, folds: Iterable[np.ndarray]) -> np.ndarray:
    """How much more open the surroundings of each promoter slot are than on average in training, (k, q).

    ``folds``: of each row how much more open each region is, (p,).
    """
    weights_qp = activity_weights(table)
    return np.stack([weights_qp @ fold_p for fold_p in folds])
