"""Baselines from sequences alone, each sequence predicted by a fit that saw neither it nor its reverse complement."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from scget._errors import InputError
from scget.pp._bases import encode, reverse_complement
from scget.pp._motif_sets import clusters_of, motif_set
from scget.pp._motifs import scan_regions

if TYPE_CHECKING:
    from scget.pp._motif_sets import Motifs

ALPHAS = (1e-2, 1e-1, 1.0, 10.0)  # penalties tried, relative to the number of sequences
INNER = 3  # folds of the training sequences by which the penalty is chosen


def gc_content(sequences: np.ndarray) -> np.ndarray:
    """Share of G and C among the known bases, ``(sequences, 1)``; 0.5 where none is known."""
    known = np.array([len(s) - s.count("N") for s in sequences])
    gc = np.array([s.count("G") + s.count("C") for s in sequences])
    return np.where(known > 0, gc / np.maximum(known, 1), 0.5)[:, None]


def kmer_counts(sequences: np.ndarray, k: int) -> np.ndarray:
    """How often each word of ``k`` bases or its reverse complement occurs, ``(sequences, words)`` float64."""
    words = ["".join(w) for w in product("ACGT", repeat=k)]
    both = [min(w, reverse_complement(w)) for w in words]
    column = {w: i for i, w in enumerate(sorted(set(both)))}
    code = np.array([column[w] for w in both])
    out = np.zeros((len(sequences), len(column)))
    place = 4 ** np.arange(k)[::-1]
    for counts, sequence in zip(out, sequences, strict=True):
        bases = encode([sequence])[0]
        if len(bases) >= k:
            windows = np.lib.stride_tricks.sliding_window_view(bases, k)
            windows = windows[(windows < 4).all(axis=1)].astype(np.int64)
            counts += np.bincount(code[windows @ place], minlength=len(column))
    return out


def motif_sums(sequences: np.ndarray, motifs: Motifs) -> np.ndarray:
    """Score of each motif cluster, as :func:`scget.pp.motif_scores` has it, ``(sequences, clusters)`` float64."""
    found = motif_set(motifs)
    scores, _ = scan_regions(*encode(sequences), found, clusters_of(found, None))
    return scores.toarray().astype(np.float64)


def out_of_fold(x_nf: np.ndarray, y_n: np.ndarray, group_n: np.ndarray, folds: int, called: str) -> np.ndarray:
    """Ridge on standardised features, each fold predicted from the others; a group lies in one fold, whole.

    The penalty is chosen within the training folds, by folds of whole groups again.
    """
    from sklearn.model_selection import GroupKFold

    predicted = np.empty(len(y_n))
    for fit, held in tqdm(list(GroupKFold(folds).split(x_nf, y_n, group_n)), desc=called, unit="fold", leave=False):
        predicted[held] = _ridge(x_nf[fit], y_n[fit], group_n[fit]).predict(x_nf[held])
    unit = max(
        1e-9 * float(y_n.std()), 1e-300
    )  # equal features, as of two orientations, differ by rounding: ranks see it
    return np.rint(predicted / unit) * unit


def check_folds(folds: int, group_n: np.ndarray) -> None:
    """Refuse folds for which there are too few elements."""
    n = len(np.unique(group_n))
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer) or folds < 2:
        raise InputError(f"folds is {folds!r}; a whole number from 2 is needed, such as 5.")
    if n < 2 * max(folds, INNER + 1):
        raise InputError(
            f"{n} elements are too few for {folds} folds; give more sequences, fewer folds, or no sequences."
        )


def _ridge(x_nf: np.ndarray, y_n: np.ndarray, group_n: np.ndarray) -> Any:
    from sklearn.linear_model import Ridge, RidgeCV
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler()
    if x_nf.shape[1] == 1:  # nothing to penalise
        return make_pipeline(scale, Ridge(alpha=1e-6)).fit(x_nf, y_n)
    splits = list(GroupKFold(INNER).split(x_nf, y_n, group_n))
    chosen = RidgeCV(np.array(ALPHAS) * len(y_n), cv=splits, scoring="neg_mean_squared_error")
    return make_pipeline(scale, chosen).fit(x_nf, y_n)
