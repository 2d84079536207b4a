"""Motif sets: read, checked, assigned to clusters and named by a hash."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from scget._errors import InputError, first

Motifs = str | PathLike[str] | Mapping[str, np.ndarray]
Clusters: TypeAlias = str | PathLike[str] | Mapping[str, str] | pd.DataFrame


def read_meme(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """Read the motifs of a MEME file (version 4 or later, "minimal" or full).

    Parameters
    ----------
    path
        Plain text or gzip-compressed.

    Returns
    -------
    Probabilities of A, C, G, T, ``(width, 4)`` float64, by the motif's identifier, in the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If it holds no motif, one twice, or one whose matrix is not usable; the first is named.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"No motif file at '{path}'. Give the path of a MEME file.")
    text = Path(path).read_bytes()
    lines = (gzip.decompress(text) if text[:2] == b"\x1f\x8b" else text).decode("utf-8", "replace").splitlines()
    motifs: dict[str, list[list[float]]] = {}
    name, width, rows = "", -1, None  # rows: the matrix being read
    for line in [*lines, ""]:
        words = line.split()
        if rows is not None:
            row = _numbers(words)
            if row is not None and len(rows) != width:
                rows.append(row)
                continue
            if width >= 0 and len(rows) != width:
                raise InputError(
                    f"Motif '{name}' in '{path}' has {len(rows)} rows, but says w= {width}. Mend the file."
                )
            rows = None
        if line.startswith("ALPHABET=") and "".join(words[1:] or [words[0][9:]]) != "ACGT":
            raise InputError(f"'{path}' has '{line.strip()}'; motifs of DNA (ALPHABET= ACGT) are needed.")
        if line.startswith("MOTIF") and len(words) > 1:
            name = words[1]
        elif line.startswith("letter-probability matrix"):
            if name in motifs:
                raise InputError(f"Motif '{name}' stands twice in '{path}'; names must differ. Rename or remove one.")
            width = int(words[words.index("w=") + 1]) if "w=" in words[:-1] else -1
            rows = motifs[name] = []
    if not motifs:
        raise InputError(
            f"'{path}' holds no motif; 'MOTIF' and 'letter-probability matrix' lines are needed (MEME format)."
        )
    return {name: _check_matrix(name, rows_) for name, rows_ in motifs.items()}


def _numbers(words: list[str]) -> list[float] | None:
    """Numbers of a line, or None if it is anything else."""
    try:
        return [float(w) for w in words] or None
    except ValueError:
        return None


def _check_matrix(name: str, matrix: object) -> np.ndarray:
    """Return the probabilities of a motif as float64, (w, 4)."""
    try:
        p = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        p = np.empty(0)
    if p.ndim != 2 or p.shape[1:] != (4,) or len(p) == 0:
        raise InputError(f"Motif '{name}' has shape {p.shape}; (width, 4) for A, C, G, T is needed.")
    bad = np.flatnonzero(~(np.isfinite(p).all(axis=1) & (p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) <= 0.01)))
    if len(bad):
        raise InputError(
            f"Motif '{name}' has {len(bad)} rows that are no probabilities, first row {bad[0]}: {p[bad[0]].tolist()}. "
            "Each row must be >= 0 and sum to 1; divide counts by their row sums."
        )
    return p


def motif_set(motifs: Motifs | None) -> dict[str, np.ndarray]:
    """Probabilities by name, checked, from a path or a mapping."""
    if motifs is None:
        raise InputError(
            "No `motifs` given; a MEME file or a dict of probability matrices is needed. HOCOMOCO v12 in MEME format is "
            "at https://hocomoco12.autosome.org/downloads_v12 (H12CORE)."
        )
    if not isinstance(motifs, Mapping):
        return read_meme(motifs)
    if not motifs:
        raise InputError("`motifs` is empty; at least one motif is needed.")
    return {str(name): _check_matrix(str(name), matrix) for name, matrix in motifs.items()}


def clusters_of(motifs: Mapping[str, np.ndarray], clusters: Clusters | None) -> dict[str, str]:
    """Cluster of every motif."""
    if clusters is None:
        return {m: m for m in motifs}
    if isinstance(clusters, Mapping):
        table = pd.DataFrame({"motif": list(clusters.keys()), "cluster": list(clusters.values())})
    elif isinstance(clusters, pd.DataFrame):
        table = clusters
    else:
        table = pd.read_csv(clusters, sep="\t", header=None, dtype=str, comment="#")
    if table.shape[1] < 2:
        raise InputError(f"`clusters` has {table.shape[1]} column; motif and cluster are needed, tab-separated.")
    nameless = table.iloc[:, 0][table.iloc[:, :2].isna().any(axis=1)].tolist()
    if nameless:
        raise InputError(f"{len(nameless)} motifs have no cluster (None or NaN): {first(nameless)}. Each needs one.")
    pairs = table.iloc[:, :2].astype(str).drop_duplicates()
    twice = pairs.iloc[:, 0][pairs.iloc[:, 0].duplicated()].tolist()
    if twice:
        raise InputError(f"{len(twice)} motifs stand in more than one cluster: {first(twice)}. Keep one row for each.")
    members = dict(zip(pairs.iloc[:, 0], pairs.iloc[:, 1], strict=True))
    unknown = [m for m in motifs if m not in members]
    if unknown:
        raise InputError(
            f"{len(unknown)} of {len(motifs)} motifs have no cluster: {first(unknown)}. Each needs one; add them to "
            "`clusters`, or leave these motifs out."
        )
    return {m: members[m] for m in motifs}


def sha256_of(motifs: Mapping[str, np.ndarray], clusters: Mapping[str, str]) -> str:
    """Hash of names, clusters and probabilities, whatever the order and file format."""
    digest = hashlib.sha256()
    for name in sorted(motifs):
        digest.update(f"{name}\t{clusters[name]}\t{len(motifs[name])}\n".encode())
        digest.update(np.ascontiguousarray(motifs[name], dtype="<f8").tobytes())
    return digest.hexdigest()
