"""Predicted beside measured activity of sequences in massively parallel reporter assays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scget._errors import InputError, first
from scget.pp._inserts import check_once, element_keys, inserts

from ._bootstrap import REPLICATES, check_sizes, draws, percentiles
from ._metrics import pearson, r2, spearman
from ._sequences import check_folds, gc_content, kmer_counts, motif_sums, out_of_fold

if TYPE_CHECKING:
    from scget.pp._motif_sets import Motifs

SHOWN = {"pearson": pearson, "spearman": spearman, "r2": r2}
CEILING = "other_orientation"
TABLE = ["metric", "predictor", "value", "low", "high", "n"]
KMERS = range(1, 9)
MIN_SEQUENCES = 3


def mpra(
    scores: Any,
    activity: Sequence[float] | np.ndarray | pd.Series,
    *,
    pairs: Sequence[Any] | np.ndarray | pd.Series | None = None,
    sequences: Sequence[str] | np.ndarray | pd.Series | None = None,
    adaptor: int = 0,
    motifs: Motifs | None = None,
    kmer: int = 5,
    folds: int = 5,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Judge predicted activity of sequences, beside what the assay itself and simple fits to the sequences reach.

    Parameters
    ----------
    scores
        One number per sequence; or several predictions by name; or None for the baselines alone.
    activity
        Measured log2 RNA/DNA, one per sequence. Where it and a prediction are both Series, they are matched by index.
    pairs
        Name of the element of each sequence: two sequences of one name are its two orientations. By default, with
        ``sequences``, those that are reverse complements of each other; without, each sequence is its own element.
    sequences
        DNA, each one once, for the baselines. Sequences of one element never stand on both sides of a split.
    adaptor
        Bases at each end that are no part of the element.
    motifs
        As in :func:`scget.pp.motif_scores`, for the baseline by motifs.
    kmer
        Length of the words counted, 1 to 8.
    folds
        Folds of elements over which baselines are fitted, each predicting the sequences it did not see.
    n_bootstrap
        Number of draws; 0 for no intervals.
    seed
        Of the draws, which are the same for all predictors; the orientations of an element are drawn together.

    Returns
    -------
    Tidy table ``metric, predictor, value, low, high, n`` with 95% intervals. Metrics ``pearson``, ``spearman`` and ``r2``
    over the n sequences (``r2`` of scores as they stand, which means something only in the unit of ``activity``);
    ``mean_*``, the same over the n elements measured in both orientations, the two averaged on both sides. Baselines:
    ``gc_content``, ``ridge_kmers`` and ``ridge_motifs``, fitted and predicted out of fold. ``other_orientation``: each
    measurement predicted by that of the reverse complement, the reproducibility r of a single sequence; its
    ``mean_pearson`` is the Spearman-Brown form 2 r / (1 + r). A predictor without error, blind to orientation, would have
    a Pearson of about the square root of each.

    Raises
    ------
    InputError
        If lengths differ, numbers are missing, or sequences or pairs occur too often or contradict each other.
    ImportError
        If numba is missing and ``motifs`` are given.

    Examples
    --------
    >>> activity = np.array([0.1, 0.3, 1.0, 1.2, 2.0, 1.8])
    >>> table = scget.bm.mpra([0, 0, 1, 1, 2, 2], activity, pairs=["a", "a", "b", "b", "c", "c"], n_bootstrap=0)
    >>> table[table["metric"] == "mean_pearson"].round(3)[["predictor", "value", "n"]].values.tolist()
    [['prediction', 0.999, 3], ['other_orientation', 0.979, 3]]
    """
    check_sizes(n_bootstrap)
    if kmer not in KMERS:
        raise InputError(f"kmer is {kmer!r}; a length from 1 to 8 is needed.")
    if motifs is not None and sequences is None:
        raise InputError("motifs are given without sequences; give both for the baseline by motifs.")
    measured = _numbers("activity", activity, None)
    given = {} if scores is None else dict(scores) if isinstance(scores, Mapping) else {"prediction": scores}
    predicted = {name: _numbers(name, values, activity) for name, values in given.items()}
    taken = sorted({"gc_content", "ridge_kmers", "ridge_motifs", CEILING} & predicted.keys())
    if taken:
        raise InputError(f"{first(taken)} is the name of a baseline; name the prediction otherwise.")
    parts = None if sequences is None else inserts(_as_list("sequences", sequences, len(measured)), adaptor)
    if parts is not None:
        check_once(parts)
    keys = _keys(pairs, parts, len(measured))
    if parts is not None and keys is not None:
        check_folds(folds, keys)
    order = _order(parts, measured, predicted)
    measured, predicted = measured[order], {name: values[order] for name, values in predicted.items()}
    element_n = np.arange(len(order)) if keys is None else np.unique(keys[order], return_inverse=True)[1]
    if parts is not None:
        features = _features(parts[order], kmer, motifs)
        predicted |= {name: out_of_fold(x, measured, element_n, folds, name) for name, x in features.items()}
    lines = _lines("", predicted, measured, element_n, n_bootstrap, seed)
    lines += _pair_lines(predicted, measured, element_n, n_bootstrap, seed)
    return pd.DataFrame(lines, columns=TABLE)


def _as_list(name: str, values: Any, n: int) -> list:
    if isinstance(values, str):  # would be read letter by letter
        raise InputError(f"{name} are one text; a list is needed, one for each of {n:,} activities.")
    listed = list(values)
    if len(listed) != n:
        raise InputError(f"{len(listed):,} {name} for {n:,} activities; one for each is needed, in the same order.")
    return listed


def _numbers(name: str, values: Any, activity: Any) -> np.ndarray:
    """Float64, finite, as long as ``activity`` and in its order."""
    if isinstance(values, pd.Series) and isinstance(activity, pd.Series) and not values.index.equals(activity.index):
        twice = values.index.has_duplicates or activity.index.has_duplicates
        if twice or len(values) != len(activity) or not values.index.isin(activity.index).all():
            raise InputError(f"the index of {name!r} is not that of activity. Make them the same, or give arrays.")
        values = values.loc[activity.index]
    numbers = np.asarray(values)
    if numbers.ndim != 1 or numbers.dtype.kind not in "bifu":
        raise InputError(f"{name!r} is of shape {numbers.shape} and type {numbers.dtype}; a list of numbers is needed.")
    if activity is not None and len(numbers) != len(activity):
        raise InputError(
            f"{name!r} has {len(numbers):,} scores for {len(activity):,} activities; one for each is needed."
        )
    if len(numbers) < MIN_SEQUENCES:
        raise InputError(f"{len(numbers)} sequences; at least {MIN_SEQUENCES} are needed for a correlation.")
    wrong = np.flatnonzero(~np.isfinite(numbers.astype(np.float64)))
    if len(wrong):
        raise InputError(
            f"{len(wrong):,} of {len(numbers):,} values of {name!r} are missing or infinite, first that of sequence "
            f"{wrong[0]}. Leave these sequences out of scores and activity alike."
        )
    return numbers.astype(np.float64)


def _keys(pairs: Any, parts: np.ndarray | None, n: int) -> np.ndarray | None:
    """Name of the element of each sequence; None where nothing tells of pairs."""
    if pairs is None:
        return None if parts is None else element_keys(parts)
    listed = pd.Series(_as_list("pairs", pairs, n), dtype=object)
    if listed.isna().any():
        raise InputError(
            f"{int(listed.isna().sum()):,} pairs have no name, first that of sequence {listed.isna().argmax()}."
        )
    keys = listed.astype(str)
    times = keys.value_counts()
    if times.iloc[0] > 2:
        raise InputError(
            f"{int((times > 2).sum()):,} pairs are of more than two sequences, first {times.index[0]!r} of "
            f"{times.iloc[0]}; two orientations are one pair. Average what was measured repeatedly."
        )
    if parts is not None:
        apart = keys.groupby(element_keys(parts)).nunique()
        if (apart > 1).any():
            raise InputError(
                f"{int((apart > 1).sum()):,} sequences and their reverse complements have different names in pairs, "
                f"first {apart.index[apart > 1][0][:40]!r}. They are one element: name them alike."
            )
    return keys.to_numpy(dtype=object)


def _order(parts: np.ndarray | None, measured: np.ndarray, predicted: Mapping[str, np.ndarray]) -> np.ndarray:
    """Order that does not hang on that of the input, so that neither folds nor draws do."""
    last = [] if parts is None else [np.unique(parts, return_inverse=True)[1]]
    return np.lexsort([*predicted.values(), measured, *last])


def _features(parts: np.ndarray, kmer: int, motifs: Motifs | None) -> dict[str, np.ndarray]:
    found = {"gc_content": gc_content(parts), "ridge_kmers": kmer_counts(parts, kmer)}
    if motifs is not None:
        found["ridge_motifs"] = motif_sums(parts, motifs)
    return found


def _lines(
    form: str, predicted: Mapping[str, np.ndarray], measured_n: np.ndarray, element_n: np.ndarray, n_bootstrap: int,
    seed: int, metrics: Sequence[str] = tuple(SHOWN),
) -> list[tuple[str, str, float, float, float, int]]:  # fmt: skip
    """Every metric of every predictor, on the same draws of elements."""
    drawn: dict[tuple[str, str], list[np.ndarray]] = {(m, p): [] for m in metrics for p in predicted}
    for weights_nb in draws(len(measured_n), n_bootstrap, seed, element_n):
        for metric in metrics:
            replicate = REPLICATES[metric](measured_n, weights_nb)
            for name, values_n in predicted.items():
                drawn[metric, name].append(replicate(values_n))
    lines = []
    for (metric, name), values in drawn.items():
        low, high = percentiles(np.concatenate(values)) if values else (float("nan"), float("nan"))
        lines.append((form + metric, name, SHOWN[metric](predicted[name], measured_n), low, high, len(measured_n)))
    return lines


def _pair_lines(
    predicted: Mapping[str, np.ndarray], measured_n: np.ndarray, element_n: np.ndarray, n_bootstrap: int, seed: int
) -> list[tuple[str, str, float, float, float, int]]:
    """Means of the two orientations, and what each says of the other."""
    order = np.argsort(element_n, kind="stable")
    first_n = order[:-1][element_n[order][1:] == element_n[order][:-1]]
    second_n = order[1:][element_n[order][1:] == element_n[order][:-1]]
    if len(first_n) < MIN_SEQUENCES:
        return []
    means = {name: (values[first_n] + values[second_n]) / 2 for name, values in predicted.items()}
    mean_n, pair_n = (measured_n[first_n] + measured_n[second_n]) / 2, np.arange(len(first_n))
    both, other = np.append(first_n, second_n), np.append(second_n, first_n)
    ceiling = {CEILING: measured_n[other]}
    own = _lines("", ceiling, measured_n[both], np.tile(pair_n, 2), n_bootstrap, seed, ("pearson", "spearman"))
    _, _, r, low, high, _ = own[0]
    value, low, high = (2 * x / (1 + x) if x > -1 else float("nan") for x in (r, low, high))
    brown = ("mean_pearson", CEILING, value, low, high, len(pair_n))
    return [*_lines("mean_", means, mean_n, pair_n, n_bootstrap, seed), *own, brown]
