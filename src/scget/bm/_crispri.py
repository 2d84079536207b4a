"""Links of regions and genes beside what CRISPR interference found, and beside simple rules."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scget._errors import InputError, first

from ._bootstrap import REPLICATES, check_sizes, draws, percentiles
from ._elements import AGGREGATES, LINK_COLUMNS, merged_elements, read_pairs, score_pairs
from ._metrics import auprc

POWER = -1.02  # of distance, in the activity-by-contact model where contacts were not measured
BINS = {"all": (-np.inf, np.inf), "0-10 kb": (-np.inf, 1e4), "10-100 kb": (1e4, 1e5), "> 100 kb": (1e5, np.inf)}
DRAWS = ("pairs", "elements", "genes", "chromosomes")
RECALLS = (0.5, 0.7)
TABLE = ["bin", "predictor", "auprc", "low", "high", "n", "n_positive", "n_missing", "precision_50", "precision_70"]


def crispri(
    links_or_scores: Any,
    reference: str | PathLike[str] | pd.DataFrame,
    *,
    score: str = "score",
    row: str | None = None,
    aggregate: str = "sum",
    columns: Mapping[str, str] | None = None,
    tss: str | PathLike[str] | pd.DataFrame | None = None,
    valid_only: bool = False,
    floor: float = 1000,
    draw: str = "pairs",
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Judge links of elements and genes by tested pairs: area under precision-recall, beside simple rules.

    Parameters
    ----------
    links_or_scores
        A table of links with columns gene, region (``chr1:100-200``) and ``score``, such as
        ``mdata.uns["get"]["links"]``; or one number per tested pair, an array in the order of ``reference`` or a Series
        with its index, NaN where there is no prediction; or several of these by name; or None for the rules alone.
    reference
        Tested pairs: a table, or the path of one, tab-separated, as the training set of EngreitzLab/CRISPR_comparison.
    score
        Column of the links: higher means more likely regulated.
    row
        Row whose links are judged, where they are of several.
    aggregate
        ``"sum"`` or ``"max"`` over the regions that overlap an element by at least one base.
    columns
        Other names of columns of ``reference``, by what they hold: chrom, start, end, gene, regulated, distance, tss,
        valid, accessibility, acetylation.
    tss
        TSS of genes, a table or the path of one: chromosome, start, end, gene; its middle counts. By default the
        distance is as written in ``reference`` or, if it is not, that of the element's middle from its column tss.
    valid_only
        Leave out pairs whose column valid is not true, as the published benchmark does.
    floor
        Least distance that the rules reckon with, bp: nearer pairs count as this far, and none divides by zero.
    draw
        What the bootstrap draws: ``"pairs"``, or all pairs at once of ``"elements"`` (those that overlap count as
        one), ``"genes"`` or ``"chromosomes"``; pairs that share these are not independent.
    n_bootstrap
        Number of draws; 0 for no intervals.
    seed
        Of the draws, which are the same for all predictors.

    Returns
    -------
    Tidy table ``bin, predictor, auprc, low, high, n, n_positive, n_missing, precision_50, precision_70``: all pairs, then
    those of up to 10, 10 to 100 and over 100 kb; average precision with its 95% interval; number of pairs, of regulated
    ones, of pairs without a prediction, which score below all others; and precision at the highest threshold that finds
    50 or 70% of the regulated pairs. Rules: ``random`` (share of regulated pairs), ``inverse_distance``, and where the
    reference has these columns ``accessibility_by_distance``, accessibility x distance^-1.02, and
    ``activity_by_distance``, sqrt(accessibility x H3K27ac) x distance^-1.02, after Fulco et al. 2019.

    Raises
    ------
    InputError
        If columns are missing, values are unreadable, links occur twice, or links and reference share no gene or
        chromosome.
    ImportError
        If bioframe is missing.

    Examples
    --------
    >>> tested = pd.DataFrame(
    ...     {
    ...         "chrom": "chr1",
    ...         "chromStart": [100, 900, 5000],
    ...         "chromEnd": [300, 1000, 5500],
    ...         "measuredGeneSymbol": ["A", "A", "B"],
    ...         "Regulated": [True, False, True],
    ...         "startTSS": [30000, 30000, 20000],
    ...     }
    ... )
    >>> links = pd.DataFrame({"gene": ["A", "B"], "region": ["chr1:250-350", "chr1:5000-6000"], "score": [0.2, 0.1]})
    >>> table = scget.bm.crispri(links, tested, n_bootstrap=0)
    >>> table.loc[table["bin"] == "all", ["predictor", "auprc", "n_missing"]].round(2).values.tolist()
    [['prediction', 1.0, 1], ['random', 0.67, 0], ['inverse_distance', 0.83, 0]]
    """
    if draw not in DRAWS:
        raise InputError(f"draw is {draw!r}; there are {first(DRAWS, 4)}.")
    check_sizes(n_bootstrap)
    how = {"score": score, "row": row, "aggregate": aggregate}
    pairs, scores = scores_of(
        links_or_scores, reference, how, columns=columns, tss=tss, valid_only=valid_only, floor=floor
    )
    order = _order(pairs, scores)
    pairs, scores = pairs.iloc[order], {name: values[order] for name, values in scores.items()}
    group_n = _groups(pairs, draw)
    truth_n, distance_n = pairs["regulated"].to_numpy(), pairs["distance"].to_numpy()
    lines = []
    for label, (low, high) in tqdm(BINS.items(), desc="Drawing pairs", unit="bin", leave=False):
        inside = (distance_n > low) & (distance_n <= high)
        chosen = {name: values[inside] for name, values in scores.items()}
        judged = _judge(chosen, truth_n[inside], group_n[inside], n_bootstrap, seed)
        lines += [(label, name, *line) for name, line in zip(chosen, judged, strict=True)]
    return pd.DataFrame(lines, columns=TABLE)


def scores_of(
    given: Any, reference: Any, how: dict[str, Any], *, columns: Any, tss: Any, valid_only: bool, floor: float
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Tested pairs, and the score of each by predictor, rules among them; ``how`` links become scores."""
    if how["aggregate"] not in AGGREGATES:
        raise InputError(f"aggregate is {how['aggregate']!r}; there are {first(AGGREGATES, 4)}.")
    if not 0 < floor < np.inf:
        raise InputError(f"floor is {floor!r}; a distance above 0 bp is needed, such as 1000.")
    pairs, n_read = read_pairs(reference, columns, tss, valid_only)
    scores = {name: _scores(name, one, pairs, n_read, **how) for name, one in _by_name(given).items()}
    rules = _rules(pairs, floor)
    taken = [name for name in scores if name in rules]
    if taken:
        raise InputError(f"{first(taken)} is the name of a rule; name the prediction otherwise.")
    return pairs, scores | rules


def _by_name(given: Any) -> dict[str, Any]:
    """Predictions by name; a single one is called ``prediction``."""
    if given is None:
        return {}
    return dict(given) if isinstance(given, Mapping) else {"prediction": given}


def _scores(name: str, given: Any, pairs: pd.DataFrame, n_read: int, **links: Any) -> np.ndarray:
    """Score of each pair, NaN without a prediction."""
    if isinstance(given, pd.DataFrame):
        return score_pairs(given, pairs, **links)
    if isinstance(given, pd.Series):
        if given.index.has_duplicates or not pairs.index.isin(given.index).all():
            lost = pairs.index[~pairs.index.isin(given.index)]
            raise InputError(
                f"the index of {name!r} names {len(lost):,} pairs of the reference not at all, or some twice; it must "
                "be that of the reference, which is 0, 1, ... for one read from a file."
            )
        values = given.loc[pairs.index].to_numpy()
    else:
        values = np.asarray(given)
        if values.ndim == 1 and len(values) != n_read:
            raise InputError(f"{name!r} has {len(values):,} scores for {n_read:,} pairs; one for each is needed.")
        values = values[pairs["line"].to_numpy()] if values.ndim == 1 else values
    if values.ndim != 1 or values.dtype.kind not in "bifu":
        raise InputError(
            f"{name!r} is of shape {values.shape} and type {values.dtype}; a table of links with the columns "
            f"{first(LINK_COLUMNS)}, or one number per tested pair is needed."
        )
    if np.isinf(values.astype(np.float64)).any():
        raise InputError(f"{name!r} has {int(np.isinf(values).sum()):,} infinite scores. NaN stands for no prediction.")
    return values.astype(np.float64)


def _rules(pairs: pd.DataFrame, floor: float) -> dict[str, np.ndarray]:
    """What needs no model."""
    far = np.maximum(pairs["distance"].to_numpy(dtype=np.float64), floor)
    rules = {"random": np.zeros(len(pairs)), "inverse_distance": 1 / far}  # one score for all: the share of positives
    if "accessibility" in pairs:
        accessibility = _signal(pairs, "accessibility")
        rules["accessibility_by_distance"] = accessibility * far**POWER
        if "acetylation" in pairs:
            rules["activity_by_distance"] = np.sqrt(accessibility * _signal(pairs, "acetylation")) * far**POWER
    return rules


def _signal(pairs: pd.DataFrame, what: str) -> np.ndarray:
    values = pd.to_numeric(pairs[what], errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        raise InputError(
            f"{len(wrong):,} pairs have an {what} that is missing or below 0, first {pairs[what].iloc[wrong[0]]!r}. "
            "Mend them or drop the column."
        )
    return values


def _order(pairs: pd.DataFrame, scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Order that does not hang on that of the reference, so that the draws do not either."""
    keys = [pairs[c].to_numpy() for c in ("start", "end", "distance", "regulated")]
    names = [np.unique(pairs[c], return_inverse=True)[1] for c in ("chrom", "gene")]
    return np.lexsort([*scores.values(), *keys, *names])


def _groups(pairs: pd.DataFrame, draw: str) -> np.ndarray:
    if draw == "pairs":
        return np.arange(len(pairs))
    if draw == "elements":
        return merged_elements(pairs)
    return np.unique(pairs["gene" if draw == "genes" else "chrom"], return_inverse=True)[1]


def _judge(
    scores: Mapping[str, np.ndarray], truth_n: np.ndarray, group_n: np.ndarray, n_bootstrap: int, seed: int
) -> list[tuple]:
    """Figures of each predictor on the same pairs and draws."""
    ranks = [ranks_of(score_n) for score_n in scores.values()]
    drawn: list[list[np.ndarray]] = [[] for _ in ranks]
    for weights_nb in draws(len(truth_n), n_bootstrap, seed, group_n):
        replicate = REPLICATES["auprc"](truth_n.astype(np.float64), weights_nb)
        for values, rank_n in zip(drawn, ranks, strict=True):
            values.append(replicate(rank_n))
    lines = []
    for rank_n, values in zip(ranks, drawn, strict=True):
        low, high = percentiles(np.concatenate(values)) if values else (float("nan"), float("nan"))
        counts = (len(truth_n), int(truth_n.sum()), int((rank_n < 0).sum()))
        precision = (_precision_at(rank_n, truth_n, recall) for recall in RECALLS)
        lines.append((auprc(rank_n, truth_n), low, high, *counts, *precision))
    return lines


def ranks_of(score_n: np.ndarray) -> np.ndarray:
    """Equal scores share a rank from 0; pairs without a prediction have -1."""
    rank_n = np.unique(score_n, return_inverse=True)[1].astype(np.float64)
    rank_n[np.isnan(score_n)] = -1
    return rank_n


def _precision_at(score_n: np.ndarray, truth_n: np.ndarray, recall: float) -> float:
    """Share of true items among those that score as high as the highest threshold that finds ``recall`` of them."""
    if not truth_n.any():
        return float("nan")
    true = np.sort(score_n[truth_n])[::-1]
    threshold = true[int(np.ceil(recall * len(true) - 1e-9)) - 1]
    return float(truth_n[score_n >= threshold].mean())
