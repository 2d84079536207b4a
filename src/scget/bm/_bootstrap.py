"""Bootstrap intervals of metrics, over genes or over whole chromosomes.

A resample is a weight for each item: how often it was drawn. Every metric here is the exact function of those weights
that the metric of the items, repeated as drawn, is; those of ranks too, whose ranks are taken anew in each resample.
Axes: ``g`` items (genes), ``b`` resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from scget._errors import InputError, first

from ._metrics import METRICS

CHUNK = 2_000_000  # weights held at a time
LEVEL = 0.95

Replicate = Callable[[np.ndarray], np.ndarray]  # of predicted (g,), to the metric in each resample (b,)


def bootstrap(
    metric: str | Callable[[np.ndarray, np.ndarray], float],
    predicted: np.ndarray,
    observed: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    n_bootstrap: int = 1000,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a metric.

    Parameters
    ----------
    metric
        ``"pearson"``, ``"spearman"``, ``"r2"``, ``"slope"``, ``"auroc"``, ``"auprc"``, or a function of predicted and
        observed values, which is slower: it is called for each resample.
    predicted, observed
        Numbers (g,); for ``"auroc"`` and ``"auprc"`` ``observed`` is True or False.
    groups
        Such as the chromosome of each item: whole groups are drawn with replacement, so that what items of a group
        have in common counts. Few groups give intervals that are too narrow: of those at 95%, 80% hold the truth with 3
        groups and 90% with 10 or 23 (planted groups that share a fifth of the variance). None: items are drawn.
    n_bootstrap
        Number of resamples.
    level
        Share of the resamples inside.
    seed
        Of the draws.

    Returns
    -------
    Low and high; NaN where the metric has no meaning, or there is but one group. Resamples in which it has none (such
    as one without a true item) are left out.

    Raises
    ------
    InputError
        If shapes differ, a number is missing, or an argument has no meaning.

    Examples
    --------
    >>> x = np.arange(100.0)
    >>> low, high = bootstrap("pearson", x, x + 30 * np.sin(x))
    >>> bool(0.7 < low < np.corrcoef(x, x + 30 * np.sin(x))[0, 1] < high < 0.9)
    True
    """
    predicted, observed = np.asarray(predicted, dtype=np.float64), np.asarray(observed, dtype=np.float64)
    _check(metric, predicted, observed, groups)
    check_sizes(n_bootstrap, level)
    function = METRICS[metric] if isinstance(metric, str) else metric
    if not n_bootstrap or np.isnan(function(predicted, observed)):
        return float("nan"), float("nan")
    found = []
    for weights_gb in draws(len(predicted), n_bootstrap, seed, groups):
        if isinstance(metric, str):
            found.append(REPLICATES[metric](observed, weights_gb)(predicted))
        else:
            drawn = (np.repeat(np.arange(len(predicted)), w.astype(int)) for w in weights_gb.T)
            found.append(np.array([metric(predicted[i], observed[i]) for i in drawn]))
    return percentiles(np.concatenate([[], *found]), level)


def _check(metric: object, predicted: np.ndarray, observed: np.ndarray, groups: np.ndarray | None) -> None:
    if isinstance(metric, str) and metric not in METRICS:
        raise InputError(f"no metric {metric!r}; there are {first(METRICS, 9)}, or give a function")
    shapes = [predicted.shape, observed.shape] + ([] if groups is None else [np.shape(groups)])
    if predicted.ndim != 1 or len(set(shapes)) != 1:
        raise InputError(f"shapes {', '.join(map(str, shapes))}: one number per item is needed, and as many of each")
    missing = np.flatnonzero(~np.isfinite(predicted) | ~np.isfinite(observed))
    if len(missing):
        raise InputError(f"{len(missing)} items have no number (the first is item {missing[0]}); leave them out")


def check_sizes(n_bootstrap: int, level: float = LEVEL) -> None:
    """Refuse what is no number of resamples or no share."""
    if isinstance(n_bootstrap, bool) or not isinstance(n_bootstrap, int | np.integer) or n_bootstrap < 0:
        raise InputError(f"n_bootstrap={n_bootstrap!r}; a whole number is needed, 0 for no intervals")
    if not 0 < level < 1:
        raise InputError(f"level={level!r}; a share between 0 and 1 is needed, such as 0.95")


def draws(n_items: int, n_bootstrap: int, seed: int, groups: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Weights (g, b) of as many resamples at a time as memory bears; nothing if all items are of one group."""
    unit_g = np.arange(n_items) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_units = int(unit_g.max()) + 1 if n_items else 0
    if n_units < 2:
        return
    rng, step = np.random.default_rng(seed), max(CHUNK // n_items, 1)
    for begin in range(0, n_bootstrap, step):
        size = min(step, n_bootstrap - begin)
        drawn_bu = rng.integers(n_units, size=(size, n_units)) + n_units * np.arange(size)[:, None]
        count_bu = np.bincount(drawn_bu.ravel(), minlength=size * n_units).reshape(size, n_units)
        yield np.ascontiguousarray(count_bu.T, dtype=np.float64)[unit_g]


def percentiles(found: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The middle ``level`` of what was found, NaN left out."""
    found = found[np.isfinite(found)]
    if not len(found):
        return float("nan"), float("nan")
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _moments(y_g: np.ndarray, w_gb: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, ...]]:
    """Sums of squares and products about the means: of x, of y, of x and y; and of (y - x) squared as it stands."""
    n_b, y_cg = w_gb.sum(axis=0), y_g - y_g.mean()
    sum_b, square_b = np.stack([y_cg, y_cg**2]) @ w_gb
    yy_b = _positive(square_b - sum_b**2 / n_b, y_cg @ y_cg)

    def of(x_g: np.ndarray) -> tuple[np.ndarray, ...]:
        x_cg = x_g - x_g.mean()
        x_b, xx_b, xy_b, error_b = np.stack([x_cg, x_cg**2, x_cg * y_cg, (y_g - x_g) ** 2]) @ w_gb
        return _positive(xx_b - x_b**2 / n_b, x_cg @ x_cg), yy_b, xy_b - x_b * sum_b / n_b, error_b

    return of


def _positive(square_b: np.ndarray, whole: float) -> np.ndarray:
    """NaN where a sum of squares is but what rounding leaves."""
    return np.where(square_b > 1e-12 * whole, square_b, np.nan)


def _pearson(y_g: np.ndarray, w_gb: np.ndarray) -> Replicate:
    moments = _moments(y_g, w_gb)

    def of(x_g: np.ndarray) -> np.ndarray:
        xx_b, yy_b, xy_b, _ = moments(x_g)
        return xy_b / np.sqrt(xx_b * yy_b)

    return of


def _slope(y_g: np.ndarray, w_gb: np.ndarray) -> Replicate:
    moments = _moments(y_g, w_gb)

    def of(x_g: np.ndarray) -> np.ndarray:
        xx_b, _, xy_b, _ = moments(x_g)
        return xy_b / xx_b

    return of


def _r2(y_g: np.ndarray, w_gb: np.ndarray) -> Replicate:
    moments = _moments(y_g, w_gb)

    def of(x_g: np.ndarray) -> np.ndarray:
        _, yy_b, _, error_b = moments(x_g)
        return 1 - error_b / yy_b

    return of


class _Order:
    """Items by their value, those of one value together."""

    def __init__(self, value_g: np.ndarray) -> None:
        self.order = np.argsort(value_g, kind="stable")
        self.start = np.flatnonzero(np.diff(value_g[self.order], prepend=np.nan))  # NaN differs from all
        self.size = np.diff(self.start, append=len(value_g))

    def sums(self, of_gb: np.ndarray) -> np.ndarray:
        """Sums over the items of each value, in rising order."""
        sorted_gb = of_gb[self.order]
        return sorted_gb if len(self.start) == len(sorted_gb) else np.add.reduceat(sorted_gb, self.start, axis=0)

    def items(self, of_vb: np.ndarray) -> np.ndarray:
        """What holds of a value, for each of its items."""
        out_gb = np.empty((len(self.order), of_vb.shape[1]))
        out_gb[self.order] = np.repeat(of_vb, self.size, axis=0)
        return out_gb


def _middle(weight_vb: np.ndarray) -> np.ndarray:
    """Items below each value and half of those that share it: the mean rank, less a half."""
    return np.cumsum(weight_vb, axis=0) - weight_vb / 2


def _spearman(y_g: np.ndarray, w_gb: np.ndarray) -> Replicate:
    n_b, by_y = w_gb.sum(axis=0), _Order(y_g)
    weight_vb = by_y.sums(w_gb)
    rank_vb = _middle(weight_vb) - n_b / 2
    yy_b = np.einsum("vb,vb,vb->b", weight_vb, rank_vb, rank_vb)
    weighed_gb = w_gb * by_y.items(rank_vb)

    def of(x_g: np.ndarray) -> np.ndarray:
        by_x = _Order(x_g)
        weight_vb = by_x.sums(w_gb)
        xy_b = np.einsum("vb,vb->b", by_x.sums(weighed_gb), _middle(weight_vb))
        xx_b = (n_b**3 - np.einsum("vb,vb,vb->b", weight_vb, weight_vb, weight_vb)) / 12  # variance of tied ranks
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where((xx_b > 0) & (yy_b > 0), xy_b / np.sqrt(xx_b * yy_b), np.nan)

    return of


def _auroc(y_g: np.ndarray, w_gb: np.ndarray) -> Replicate:
    true_gb = w_gb * y_g[:, None]
    true_b = true_gb.sum(axis=0)
    pairs_b = true_b * (w_gb.sum(axis=0) - true_b)

    def of(x_g: np.ndarray) -> np.ndarray:
        by_x = _Order(x_g)
        above_b = np.einsum("vb,vb->b", by_x.sums(true_gb), _middle(by_x.sums(w_gb))) - true_b**2 / 2
        return np.divide(above_b, pairs_b, out=np.full(len(pairs_b), np.nan), where=pairs_b > 0)

    return of


def _auprc(y_g: np.ndarray, w_gb: np.ndarray) -> Replicate:
    true_gb = w_gb * y_g[:, None]
    true_b = true_gb.sum(axis=0)

    def of(x_g: np.ndarray) -> np.ndarray:
        by_x = _Order(-x_g)
        gained_vb, all_vb = by_x.sums(true_gb), np.cumsum(by_x.sums(w_gb), axis=0)
        precision_vb = np.cumsum(gained_vb, axis=0) / np.maximum(all_vb, 1)  # 0 drawn: 0 gained
        area_b = np.einsum("vb,vb->b", gained_vb, precision_vb)
        return np.divide(area_b, true_b, out=np.full(len(true_b), np.nan), where=true_b > 0)

    return of


def _share(_y_g: np.ndarray, w_gb: np.ndarray) -> Replicate:
    """Weighted mean of flags, NaN left out."""

    def of(x_g: np.ndarray) -> np.ndarray:
        known_g = np.isfinite(x_g)
        n_b = known_g @ w_gb
        return np.divide(np.where(known_g, x_g, 0) @ w_gb, n_b, out=np.full(len(n_b), np.nan), where=n_b > 0)

    return of


def _median(_y_g: np.ndarray, w_gb: np.ndarray) -> Replicate:
    """Median of the values that are numbers."""

    def of(x_g: np.ndarray) -> np.ndarray:
        order = np.argsort(x_g, kind="stable")[: np.isfinite(x_g).sum()]  # NaN last
        upto_gb = np.cumsum(w_gb[order], axis=0)
        n_b, value_g = upto_gb[-1], np.append(x_g[order], np.nan)
        low_b, high_b = ((upto_gb < at_b).sum(axis=0) for at_b in ((n_b + 1) // 2, n_b // 2 + 1))
        return np.where(n_b > 0, (value_g[low_b] + value_g[high_b]) / 2, np.nan)

    return of


REPLICATES: dict[str, Callable[[np.ndarray, np.ndarray], Replicate]] = {
    "pearson": _pearson,
    "spearman": _spearman,
    "r2": _r2,
    "slope": _slope,
    "auroc": _auroc,
    "auprc": _auprc,
    "share": _share,
    "median": _median,
}
