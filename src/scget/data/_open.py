"""Counts of fragments to accessibility that can be compared between rows; a row at a time, as all may be too many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from ._rules import Rules

N_QUANTILES = 4097  # resolution 1 / 4096 of the regions, linear between


def open_rows(
    counts_kp: Iterable[np.ndarray], rules: Rules, quantile_q: np.ndarray, among_p: np.ndarray
) -> Iterator[np.ndarray]:
    """Accessibility of each row by ``rules``, (p,) float64; ``among_p`` are the regions to rank among (flags)."""
    for counts_p in counts_kp:
        if rules.accessibility == "binary":
            yield (counts_p > 0).astype(np.float64)
        elif rules.accessibility == "log_cpm":
            yield log_accessibility(counts_p[None])[0]
        else:
            yield _depth_free(counts_p, quantile_q, among_p)


def _depth_free(counts_p: np.ndarray, quantile_q: np.ndarray, among_p: np.ndarray) -> np.ndarray:
    """Counts to the mean distribution by their rank among the regions ``among_p``, ties at their mean rank; 0 stays 0.

    Ranks are taken among the regions of training, so that other regions change nothing.
    """
    at_n = np.flatnonzero(counts_p > 0)
    code_n, value_v = pd.factorize(counts_p[at_n], sort=True)  # counts are few different numbers
    n_v, n_among = np.bincount(code_n[among_p[at_n]], minlength=len(value_v)), among_p.sum()
    upto_v = n_among - n_v.sum() + np.cumsum(n_v)  # closed regions lie below
    rank_v = (2 * upto_v - n_v) / 2 / n_among
    out_p = np.zeros(len(counts_p))
    out_p[at_n] = np.interp(rank_v, np.linspace(0, 1, N_QUANTILES), quantile_q)[code_n]
    return out_p


def log_accessibility(counts_kp: np.ndarray) -> np.ndarray:
    """log10(count / total * 1e5 + 1) over the row's greatest, as published: 0 to 1, float64."""
    counts_kp = counts_kp.astype(np.float64)
    open_kp = np.log10(counts_kp / counts_kp.sum(axis=1, keepdims=True) * 1e5 + 1)
    return open_kp / open_kp.max(axis=1, keepdims=True)
