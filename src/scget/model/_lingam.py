"""A linear non-Gaussian acyclic model (LiNGAM) of the columns of a table: which column is upstream of which.

DirectLiNGAM (Shimizu et al. 2011, JMLR 12:1225): the column that depends least on all others comes first, what it explains
is taken out of the others, and so on. Which of two standardised columns depends on the other is read from the ratio of
likelihoods of x -> y and y -> x to first order (Hyvarinen and Smith 2013, JMLR 14:111), the density of each being
that of its maximum-entropy approximation (Hyvarinen 1998, NIPS 10)::

    R(x -> y) = r E[g_x(x) y - x g_y(y)]        (r: correlation; > 0: x is upstream)
    g_x(u) = 2 k1 (A - a) (tanh u - c u) + 2 k2 B (1 - u^2) exp(-u^2 / 2)
    A = E[log cosh x],  B = E[x exp(-x^2 / 2)]  (a, 0 and c = E[1 - tanh^2]: those of a Gaussian)

That is a matrix product for all pairs, where the entropies of residuals need a pass over the genes for each pair.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import qr, solve_triangular

_K1, _K2 = 79.047, 7.4129  # of the approximation of entropy
_LOG_COSH, _SLOPE = 0.374567, 0.605706  # E[log cosh u] and E[1 - tanh(u)^2] of a standard normal u
_ALIKE = 1e-4  # standard deviation of a standardised column beside the others, below which it is made of them


def usable(values_gm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns that a model can tell apart, (m,) bool, and why not the others: constant, or made of columns before them."""
    varies_m = values_gm.std(axis=0) > 1e-9 * np.abs(values_gm).max(axis=0, initial=0)
    why_m = np.where(varies_m, "", "constant").astype(object)
    if varies_m.any():
        beside_m = np.abs(np.diag(qr(standardised(values_gm[:, varies_m]), mode="r")[0])) / np.sqrt(len(values_gm))
        why_m[np.flatnonzero(varies_m)[: len(beside_m)][beside_m < _ALIKE]] = "a sum of others"
    return why_m == "", why_m


def standardised(values_gm: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and standard deviation 1 (ddof 0)."""
    centred_gm = values_gm - values_gm.mean(axis=0)
    return centred_gm / centred_gm.std(axis=0)


def causal_order(values_gm: np.ndarray) -> np.ndarray:
    """Positions of columns, upstream first; columns standardised and linearly independent."""
    left_gm, left = values_gm.astype(np.float32), np.arange(values_gm.shape[1])
    order = []
    while len(left) > 1:
        r_mm = left_gm.T @ left_gm / np.float32(len(left_gm))
        said_mm = _scores(left_gm, r_mm).T @ left_gm / np.float32(len(left_gm))
        against_mm = np.minimum(r_mm * (said_mm - said_mm.T), 0)
        head = int((against_mm.astype(np.float64) ** 2).sum(axis=1).argmin())
        order.append(left[head])
        rest = np.arange(len(left)) != head
        r_m = r_mm[head, rest].clip(-0.999999, 0.999999)
        left_gm = (left_gm[:, rest] - left_gm[:, head, None] * r_m) / np.sqrt(1 - r_m**2)
        left_gm, left = standardised(left_gm), left[rest]
    return np.array([*order, *left], dtype=np.int64)


def _scores(left_gm: np.ndarray, r_mm: np.ndarray) -> np.ndarray:
    """``g`` of each value (top of the file)."""
    size_gm = np.abs(left_gm)
    fall_gm = np.exp(-2 * size_gm)
    bell_gm = np.exp(-left_gm * left_gm / 2)
    a_m = (size_gm + np.log1p(fall_gm)).mean(axis=0) - np.float32(np.log(2) + _LOG_COSH)
    b_m = (left_gm * bell_gm).mean(axis=0)
    tanh_gm = np.copysign((1 - fall_gm) / (1 + fall_gm), left_gm) - np.float32(_SLOPE) * left_gm
    return np.float32(2 * _K1) * a_m * tanh_gm + np.float32(2 * _K2) * b_m * (1 - left_gm * left_gm) * bell_gm


def weights_along(values_gm: np.ndarray, order_m: np.ndarray) -> np.ndarray:
    """Weight of column j in column i, at ``[i, j]``: least squares on all columns upstream of i, and which of them count.

    A weight stays if dropping it alone raises the extended Bayesian information criterion (Chen and Chen 2008): if
    ``t^2 > log n + 2 log m``. All regressions come from one Cholesky factor of the correlations in causal order.
    """
    n, m = values_gm.shape
    ordered_gm = values_gm[:, order_m]
    factor_mm = np.linalg.cholesky(ordered_gm.T @ ordered_gm / n)
    own_m = np.diag(factor_mm)  # standard deviation of what is left of each column
    inverse_mm = solve_triangular(factor_mm, np.eye(m), lower=True)
    weight_mm = np.tril(-inverse_mm * own_m[:, None], -1)
    variance_mm = np.zeros((m, m))  # of a weight, by n and the variance of what is left: inverse of the leading block
    variance_mm[1:] = np.cumsum(inverse_mm**2, axis=0)[:-1]
    counts_mm = n * weight_mm**2 > (np.log(n) + 2 * np.log(m)) * own_m[:, None] ** 2 * variance_mm
    placed_mm = np.zeros((m, m))
    placed_mm[np.ix_(order_m, order_m)] = np.where(counts_mm, weight_mm, 0)
    return placed_mm


def lingam_weights(values_gm: np.ndarray) -> np.ndarray:
    """Weight of column j in column i of the standardised table, at ``[i, j]`` (j is upstream); 0: no edge."""
    return weights_along(values_gm, causal_order(values_gm))
