"""From the spread of predictions to the size of their errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LEAST = 1e-6  # share of the variance that does not follow the spread, and least spread in units of the error


@dataclass(frozen=True)
class Calibration:
    """Standard deviation of the error, ``sqrt(floor^2 + scale^2 spread^2)``, both in log10(CPM + 1).

    ``floor`` is what all members get wrong alike, ``scale`` how much their differences tell; fitted on ``n`` errors,
    where the root mean square of the spread was ``typical``.
    """

    floor: float
    scale: float
    typical: float
    n: int

    def __call__(self, spread: np.ndarray) -> np.ndarray:
        """Of a spread of any shape; NaN, where one member alone was asked, is taken to be the typical one."""
        known = np.where(np.isfinite(spread), spread, self.typical)
        return np.sqrt(self.floor**2 + self.scale**2 * known**2)


def fit_calibration(error: np.ndarray, spread: np.ndarray) -> Calibration | None:
    """Maximum likelihood of normal errors; the mean square of ``error / sd`` is then 1 exactly.

    Parameters
    ----------
    error, spread
        Predicted less observed and the members' standard deviation, same shape. Pairs with a NaN are left out; where
        no spread is known at all (one member each) errors alone are used.

    Returns
    -------
    None where there are fewer than 2 errors, or no error at all.
    """
    from scipy.optimize import minimize_scalar

    use = np.isfinite(error) & np.isfinite(spread)
    alone = not use.any()
    square = error[np.isfinite(error) if alone else use].astype(np.float64) ** 2
    if len(square) < 2 or not square.any():
        return None
    unit = spread[use].astype(np.float64) ** 2
    mean = 0.0 if alone else unit.mean()
    if mean <= _LEAST**2 * square.mean():  # members agree, but for rounding
        return Calibration(float(np.sqrt(square.mean())), 0.0, 0.0, len(square))

    def shape(share: float) -> np.ndarray:
        return share + (1 - share) * unit / mean

    def loss(share: float) -> float:  # negative log likelihood with the best factor put in
        return float(np.log(shape(share)).mean() + np.log((square / shape(share)).mean()))

    share = float(minimize_scalar(loss, bounds=(_LEAST, 1.0), method="bounded").x)
    factor = (square / shape(share)).mean()
    floor, scale = np.sqrt(factor * share), np.sqrt(factor * (1 - share) / mean)
    return Calibration(float(floor), float(scale), float(np.sqrt(mean)), len(square))
