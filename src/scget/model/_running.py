"""Mean and standard deviation of arrays that come one after the other, of which none is kept."""

from __future__ import annotations

from typing import Any

import numpy as np


class Running:
    """Mean and standard deviation (ddof 1) one part at a time (Welford 1962), over the parts asked for each number."""

    def __init__(self) -> None:
        self._n_x: Any = 0
        self._mean_kx: Any = 0.0
        self._square_kx: Any = 0.0

    def add(self, values_kx: np.ndarray, asked_x: Any = True) -> None:
        """Take in one part's values, where it is asked (flags)."""
        self._n_x = self._n_x + asked_x
        step_kx = np.where(asked_x, values_kx - self._mean_kx, 0.0)
        self._mean_kx = self._mean_kx + step_kx / np.maximum(self._n_x, 1)
        self._square_kx = self._square_kx + step_kx * np.where(asked_x, values_kx - self._mean_kx, 0.0)

    @property
    def mean(self) -> np.ndarray:
        """NaN where no part was asked."""
        return np.where(self._n_x > 0, self._mean_kx, np.nan)

    @property
    def std(self) -> np.ndarray:
        """NaN where fewer than two were."""
        return np.where(self._n_x > 1, np.sqrt(self._square_kx / np.maximum(self._n_x - 1, 1)), np.nan)
