"""Clusters of motifs that look alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scget._errors import InputError
from scget.pp._motif_sets import Motifs, MotifSet, motif_set

UNIFORM = 0.25  # probability of a base that says nothing


def cluster_motifs(motifs: Motifs, *, similarity: float = 0.7) -> pd.DataFrame:
    """Put motifs that look alike into clusters, so that one column of scores stands for one kind of site.

    The similarity of two motifs is the largest normalised cross-correlation of their matrices less 0.25, over all offsets
    and both strands: the cosine of the aligned matrices. Positions weigh by what they say of the base, and positions of one
    motif that the other does not reach count against it; its square is the share of what the motifs say that they have in
    common, so 0.7 is one half, and a motif and its half-site are 0.7 alike. Motifs are joined by average linkage
    as long as two clusters are on average at least ``similarity`` alike.

    Parameters
    ----------
    motifs
        A set of motifs, the path of a file that :func:`read_motifs` reads, or a mapping from name to a ``(width, 4)`` matrix
        of probabilities of A, C, G, T.
    similarity
        Mean similarity at which clusters are still joined, above 0, at most 1; a larger one makes more clusters.

    Returns
    -------
    Table of ``motif``, ``cluster`` and ``tf``, one row per motif, sorted by cluster; give it as ``clusters`` to
    :func:`motif_scores`. A cluster is named by the factor of its most central motif, with ``/1``, ``/2``, from the largest,
    where several clusters have the same. The same motifs give the same table, in whatever order.

    Raises
    ------
    InputError
        If motifs or ``similarity`` are not usable.

    Examples
    --------
    >>> site = [[0.9, 0, 0, 0.1], [0, 0.9, 0, 0.1], [0.8, 0.1, 0.1, 0], [0, 0, 1, 0], [0.7, 0.1, 0.1, 0.1]]
    >>> reverse = [row[::-1] for row in site[::-1]]
    >>> table = scget.pp.cluster_motifs({"A_1": site, "A_2": reverse, "B_1": [[0, 0, 0, 1]] * 8})
    >>> dict(zip(table["motif"], table["cluster"]))
    {'A_1': 'A', 'A_2': 'A', 'B_1': 'B'}
    """
    if not 0 < similarity <= 1:
        raise InputError(f"`similarity` is {similarity}; a number above 0 and at most 1 is needed, such as 0.7.")
    motifs_ = motif_set(motifs)
    names = sorted(motifs_)
    alike = similarities([motifs_[name] for name in names])
    labels = _link(alike, similarity)
    titles = _titles(labels, alike, names, motifs_)
    table = pd.DataFrame({"motif": names, "cluster": [titles[label] for label in labels]}, dtype=object)
    table["tf"] = ["::".join(motifs_.tfs[name]) for name in names]
    table = table.sort_values(["cluster", "motif"])
    return table.set_index(pd.RangeIndex(len(table)).astype(str))


def similarities(matrices: list[np.ndarray]) -> np.ndarray:
    """Similarity of each two motifs, ``(n, n)``, symmetric, at most 1; see :func:`cluster_motifs`.

    All pairs at an offset are one product of matrices. Rounded to 1e-9, so that the order of sums plays no part.
    """
    n, width = len(matrices), max(map(len, matrices))
    forward, reverse = np.zeros((2, n, width, 4))
    for i, p in enumerate(matrices):
        forward[i, : len(p)] = p - UNIFORM
        reverse[i, : len(p)] = p[::-1, ::-1] - UNIFORM
    best = np.full((n, n), -np.inf)
    for offset in tqdm(range(1 - width, width), desc="Comparing motifs", leave=False):
        mine = slice(max(0, offset), min(width, width + offset))
        other = slice(max(0, -offset), min(width, width - offset))
        here = forward[:, mine].reshape(n, -1)
        for strand in (forward, reverse):
            np.maximum(best, here @ strand[:, other].reshape(n, -1).T, out=best)
    norm = np.sqrt((forward**2).sum(axis=(1, 2)))
    norm[norm == 0] = 1  # a motif that says nothing is like no other
    best /= norm[:, None]
    best /= norm
    return np.round(np.minimum(np.maximum(best, best.T), 1), 9)


def _link(alike: np.ndarray, similarity: float) -> np.ndarray:
    """Cluster number of each motif, by average linkage."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(alike) == 1:
        return np.ones(1, dtype=int)
    distance = 1 - alike
    np.fill_diagonal(distance, 0)
    # 1e-9: a mean of exactly `similarity` still joins
    return fcluster(linkage(squareform(distance), "average"), 1 - similarity + 1e-9, "distance")


def _titles(labels: np.ndarray, alike: np.ndarray, names: list[str], motifs: MotifSet) -> dict[int, str]:
    """Name of each cluster."""
    members = {label: np.flatnonzero(labels == label) for label in np.unique(labels)}
    order = sorted(members, key=lambda label: (-len(members[label]), names[members[label][0]]))
    same: dict[str, list[int]] = {}
    for label in order:
        of_label = members[label]
        central = names[of_label[alike[np.ix_(of_label, of_label)].mean(axis=1).round(9).argmax()]]
        same.setdefault("::".join(motifs.tfs[central]) or central, []).append(label)
    titles = {labels_[0]: title for title, labels_ in same.items() if len(labels_) == 1}
    for title, labels_ in same.items():
        titles |= {label: f"{title}/{i}" for i, label in enumerate(labels_, 1) if len(labels_) > 1}
    return titles
