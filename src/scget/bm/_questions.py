"""The questions of a comparison: one observed vector, what each predictor says of it, and the metrics asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from ._bootstrap import REPLICATES, draws, percentiles
from ._metrics import METRICS, MIN_GENES, gene_correlation, interval, specific
from ._setting import Setting

FORMS = ("", "delta_", "change_")
ACROSS_GENES = ("pearson", "spearman", "r2", "slope")
OF_SPECIFIC = ("auroc", "auprc")
LEVELS = (50, 80, 95)  # per cent, of intervals
NAMES = (
    *(form + metric for form in FORMS for metric in (*ACROSS_GENES, *(OF_SPECIFIC if form else ()))),
    "lfc_pearson",
    "gene_pearson",
    *(f"coverage_{level}" for level in LEVELS),
)
TINY = 1e-9  # log10 units: what the mean of equal numbers leaves


@dataclass(frozen=True)
class Prediction:
    """Expression of all rows and genes, (k, g), and where known the standard deviation of its error."""

    mean_kg: np.ndarray
    std_kg: np.ndarray | None = None


class Ground:
    """Where predictors are compared: a split, the rows asked ``row_k`` and the genes ``gene_g`` (flags)."""

    def __init__(self, split: str, setting: Setting, row_k: np.ndarray, gene_g: np.ndarray) -> None:
        table = setting.task.table
        self.split, self.rows, self.row_k, self.seen_k, self.gene_g = split, table.rows, row_k, setting.seen_k, gene_g
        self.observed_kg = table.expression_kg[:, gene_g].astype(np.float64)
        self.mean_g = table.expression_kg[setting.seen_k].mean(axis=0, dtype=np.float64)[gene_g]
        self.n = int(gene_g.sum())


@dataclass(frozen=True)
class Question:
    """``metrics`` (by the names of the table: which function) of one ``observed_g`` and each predictor's vector."""

    row: str
    metrics: dict[str, str]
    observed_g: np.ndarray
    predicted: dict[str, np.ndarray]
    n: int

    def values(self) -> dict[tuple[str, str], float]:
        """Metric of the vectors as they stand, by name and predictor."""
        return {
            (name, who): _value(metric, x_g, self.observed_g)
            for name, metric in self.metrics.items()
            for who, x_g in self.predicted.items()
        }

    def replicates(
        self, weights_gb: np.ndarray, values: dict[tuple[str, str], float]
    ) -> dict[tuple[str, str], np.ndarray]:
        """Metric in each resample, by name and predictor, of those ``values`` that have a meaning."""
        out: dict[tuple[str, str], np.ndarray] = {}
        for name, metric in self.metrics.items():
            able = {who: x_g for who, x_g in self.predicted.items() if np.isfinite(values[name, who])}
            if able:
                replicate = REPLICATES[metric](self.observed_g, weights_gb)
                out |= {(name, who): replicate(x_g) for who, x_g in able.items()}
        return out


def _value(metric: str, x_g: np.ndarray, y_g: np.ndarray) -> float:
    if metric in METRICS:
        return METRICS[metric](x_g, y_g) if np.isfinite(x_g).all() else float("nan")
    known = x_g[np.isfinite(x_g)]
    return float(np.median(known) if metric == "median" else known.mean()) if len(known) else float("nan")


def answer(
    questions: Sequence[Question], n_genes: int, groups: np.ndarray | None, n_bootstrap: int, seed: int
) -> list[tuple[str, str, str, float, float, float, int]]:
    """Row, metric, predictor, value, low, high, n of each; the same resamples for all."""
    values = [question.values() for question in questions]
    found: list[dict[tuple[str, str], list[np.ndarray]]] = [{key: [] for key in v} for v in values]
    with tqdm(total=n_bootstrap, desc="resamples", leave=False, disable=not n_bootstrap) as bar:
        for weights_gb in draws(n_genes, n_bootstrap, seed, groups):
            for question, value, kept in zip(questions, values, found, strict=True):
                for key, replicate_b in question.replicates(weights_gb, value).items():
                    kept[key].append(replicate_b)
            bar.update(weights_gb.shape[1])
    return [
        (question.row, name, who, v, *percentiles(np.concatenate([[], *kept[name, who]])), question.n)
        for question, value, kept in zip(questions, values, found, strict=True)
        for (name, who), v in value.items()
    ]


def questions_of(
    ground: Ground, predictions: dict[str, Prediction], contrasts: Sequence[tuple[int, int]], metrics: Sequence[str]
) -> list[Question]:
    """All that is asked on a ground, of ``metrics`` alone."""
    means = {who: p.mean_kg[:, ground.gene_g].astype(np.float64) for who, p in predictions.items()}
    own = {who: x_kg[ground.seen_k].mean(axis=0) for who, x_kg in means.items()}
    asked = [q for k in np.flatnonzero(ground.row_k) for q in _of_row(ground, means, own, int(k))]
    for a, b in contrasts:
        pair = {who: _rounded(x_kg[a] - x_kg[b]) for who, x_kg in means.items()}
        name = f"{ground.rows[a]} - {ground.rows[b]}"
        asked.append(
            Question(name, {"lfc_pearson": "pearson"}, ground.observed_kg[a] - ground.observed_kg[b], pair, ground.n)
        )
    if ground.row_k.sum() >= MIN_GENES:
        y_kg = ground.observed_kg[ground.row_k]
        across = {who: gene_correlation(x_kg[ground.row_k], y_kg) for who, x_kg in means.items()}
        asked.append(Question("all", {"gene_pearson": "median"}, y_kg[0], across, int(ground.row_k.sum())))
    asked += [q for who, p in predictions.items() if p.std_kg is not None for q in _of_intervals(ground, who, p)]
    wanted = ({name: metric for name, metric in q.metrics.items() if name in metrics} for q in asked)
    return [Question(q.row, w, q.observed_g, q.predicted, q.n) for q, w in zip(asked, wanted, strict=True) if w]


def _rounded(change_g: np.ndarray) -> np.ndarray:
    return np.where(np.abs(change_g) < TINY, 0.0, change_g)


def _of_row(ground: Ground, means: dict[str, np.ndarray], own: dict[str, np.ndarray], k: int) -> list[Question]:
    """Metrics across the genes of one row: as it is, less the observed mean, and less each predictor's own mean."""
    row, observed_g, mean_g = str(ground.rows[k]), ground.observed_kg[k], ground.mean_g
    change_g, special_g = observed_g - mean_g, specific(observed_g, mean_g)
    forms = {
        "": {who: x_kg[k] for who, x_kg in means.items()},
        "delta_": {who: _rounded(x_kg[k] - mean_g) for who, x_kg in means.items()},
        "change_": {who: _rounded(x_kg[k] - own[who]) for who, x_kg in means.items()},
    }
    out = []
    for form, predicted in forms.items():
        names = {form + metric: metric for metric in ACROSS_GENES}
        out.append(Question(row, names, change_g if form else observed_g, predicted, ground.n))
        if form:
            names = {form + metric: metric for metric in OF_SPECIFIC}
            out.append(Question(row, names, special_g, predicted, ground.n))
    return out


def _of_intervals(ground: Ground, who: str, prediction: Prediction) -> list[Question]:
    """Share of genes inside intervals of a predictor that gives the size of its error."""
    out = []
    for k in np.flatnonzero(ground.row_k):
        x_g, std_g = (a[k, ground.gene_g] for a in (prediction.mean_kg, prediction.std_kg) if a is not None)
        y_g = ground.observed_kg[k]
        known_g = np.isfinite(x_g) & np.isfinite(std_g)
        for level in LEVELS if known_g.any() else ():
            low_g, high_g = interval(x_g, std_g, level / 100)
            inside_g = np.where(known_g, (low_g <= y_g) & (y_g <= high_g), np.nan)
            row = str(ground.rows[k])
            out.append(Question(row, {f"coverage_{level}": "share"}, y_g, {who: inside_g}, int(known_g.sum())))
    return out
