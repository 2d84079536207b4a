"""The causal graph of motifs, and how often each edge is found in genes drawn again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from scget._errors import InputError
from scget.pp._kept import Arrays, check_folder, kept

from ._digest import digest
from ._infer import progress
from ._lingam import lingam_weights, standardised, usable

EDGES = ["source", "target", "weight", "frequency", "reverse", "sign"]


def network_edges(
    effects: pd.DataFrame,
    *,
    n_draws: int,
    draw_genes: int,
    seed: int,
    estimator: Any | None,
    cache: str | PathLike[str] | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Edges, and the motifs left out with the reason; :func:`scget.tl.motif_network` says what they are."""
    effects = effects.dropna(how="all").sort_index()  # draws are of genes by name, in whatever order they come
    values_gm = effects.to_numpy(dtype=np.float64)
    if not np.isfinite(values_gm).all():
        gene, motif = np.argwhere(~np.isfinite(values_gm))[0]
        raise InputError(
            f"the attribution of motif {effects.columns[motif]!r} to gene {effects.index[gene]!r} is no number"
        )
    kept_m, why_m = usable(values_gm)
    n_motifs, size = int(kept_m.sum()), min(len(effects), draw_genes)
    if n_motifs < 2 or size <= n_motifs:
        raise InputError(
            f"{len(effects)} genes with attributions, {size} in a draw, and {n_motifs} motifs that vary: at least 2 motifs and "
            "more genes than motifs are needed, ten times as many do well; attribute more genes"
        )
    values_gm, fit = values_gm[:, kept_m], _fit(estimator)
    make_key = _key(values_gm, size, seed, estimator)
    found, folder = csr_matrix((n_motifs, n_motifs)), None if cache is None else Path(cache).expanduser()
    if folder is not None:
        check_folder(folder)
    often_mm = np.zeros((n_motifs, n_motifs))
    for draw in progress(range(-1, n_draws), "causal graphs"):  # -1: of the genes as they are
        make = _drawn(values_gm, draw, size, seed, fit)
        weight_mm = (make() if folder is None else kept(folder / f"{make_key(draw)}.draw", "draw", make))["weight_mm"]
        if draw < 0:
            found = csr_matrix(weight_mm)
        else:
            often_mm += weight_mm != 0
    names = effects.columns.to_numpy(dtype=object)
    left_out = pd.DataFrame({"motif": names[~kept_m].astype(str), "why": why_m[~kept_m].astype(str)})
    return _edges(found, often_mm / n_draws if n_draws else often_mm * np.nan, names[kept_m]), left_out


def _drawn(
    values_gm: np.ndarray, draw: int, size: int, seed: int, fit: Callable[[np.ndarray], np.ndarray]
) -> Callable[[], Arrays]:
    """What fits a graph to the genes of one draw, which its own number decides."""

    def make() -> Arrays:
        drawn_gm = values_gm
        if draw >= 0:
            drawn_gm = values_gm[np.random.default_rng([seed, draw]).integers(0, len(values_gm), size)]
        kept_m, _ = usable(drawn_gm)  # a rare motif may be in no gene drawn
        weight_mm = np.zeros((len(kept_m), len(kept_m)))
        if kept_m.sum() > 1:
            weight_mm[np.ix_(kept_m, kept_m)] = fit(standardised(drawn_gm[:, kept_m]))
        return {"weight_mm": weight_mm}

    return make


def _fit(estimator: Any | None) -> Callable[[np.ndarray], np.ndarray]:
    if estimator is None:
        return lingam_weights
    if not hasattr(estimator, "fit"):
        raise InputError(f"estimator={estimator!r} has no fit(); give one of the lingam package, or None")

    def fit(values_gm: np.ndarray) -> np.ndarray:
        weight_mm = np.asarray(estimator.fit(values_gm).adjacency_matrix_, dtype=np.float64)
        n_motifs = values_gm.shape[1]
        if weight_mm.shape != (n_motifs, n_motifs) or not np.isfinite(weight_mm).all():
            raise InputError(
                f"adjacency_matrix_ of the estimator {type(estimator).__name__} is of shape {weight_mm.shape}, and "
                f"{int((~np.isfinite(weight_mm)).sum())} of its numbers are missing or infinite; {n_motifs} x {n_motifs} known "
                "numbers are needed. Give an estimator that decides all directions, such as lingam.DirectLiNGAM()"
            )
        return weight_mm

    return fit


def _key(values_gm: np.ndarray, size: int, seed: int, estimator: Any | None) -> Callable[[int], str]:
    """A name for each draw, from all that decides it."""
    how = "scget 1" if estimator is None else f"{type(estimator)} {digest(getattr(estimator, '__dict__', {}))}"
    whole = hashlib.sha256(f"{how}\n{values_gm.shape}\n".encode())
    whole.update(np.ascontiguousarray(values_gm, dtype="<f8").data)

    def key(draw: int) -> str:
        own = whole.copy()
        own.update(b"\nall" if draw < 0 else f"\n{size}\n{seed}\n{draw}".encode())
        return own.hexdigest()

    return key


def _edges(found: csr_matrix, often_mm: np.ndarray, names: np.ndarray) -> pd.DataFrame:
    """Strongest first; entry ``[i, j]`` is the edge from j to i."""
    edges = found.tocoo()
    target, source, weight = edges.row, edges.col, edges.data
    table = pd.DataFrame(
        {
            "source": names[source].astype(str),
            "target": names[target].astype(str),
            "weight": weight,
            "frequency": often_mm[target, source],
            "reverse": often_mm[source, target],
            "sign": np.where(weight > 0, "+", "-"),
        }
    )
    order = np.lexsort([table["target"], table["source"], -np.abs(weight)])
    return table.iloc[order].reset_index(drop=True)[EDGES]
