"""Motif sets: checked, with the factors and the cluster of each motif, and named by a hash."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from scget._errors import InputError, first
from scget._keys import MOTIF_TF_COLUMNS
from scget.pp._motif_files import check_matrix, read_records
from scget.pp._tf_names import tf_names

Motifs = str | PathLike[str] | Mapping[str, np.ndarray]
Clusters: TypeAlias = str | PathLike[str] | Mapping[str, str] | pd.Series | pd.DataFrame


class MotifSet(Mapping[str, np.ndarray]):
    """Motifs by name, the factors of each and, where known, its cluster; used like a dict of matrices.

    Parameters
    ----------
    matrices
        Probabilities of A, C, G, T by the motif's name, ``(width, 4)`` each.
    tfs
        Gene symbols of the factors of each motif; by default read from its name.
    clusters
        Cluster of each motif, if the set comes with clusters.

    Examples
    --------
    >>> motifs = scget.pp.MotifSet({"RELA.H12CORE.0.P.B": [[0.1, 0.2, 0.3, 0.4]] * 8})
    >>> motifs.tfs
    {'RELA.H12CORE.0.P.B': ['RELA']}
    """

    def __init__(
        self,
        matrices: Mapping[str, np.ndarray],
        tfs: Mapping[str, list[str]] | None = None,
        clusters: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(matrices, Mapping):
            raise TypeError(
                f"matrices is a {type(matrices).__name__}; a mapping from name to a (width, 4) matrix is needed."
            )
        self._matrices = {str(name): check_matrix(str(name), matrix) for name, matrix in matrices.items()}
        for what, given in (("tfs", tfs or None), ("clusters", clusters)):
            lacking = [] if given is None else [name for name in self._matrices if name not in given]
            if lacking:
                raise InputError(
                    f"`{what}` lacks {len(lacking)} of {len(self._matrices)} motifs: {first(lacking)}. Give all, or None."
                )
        symbols = {name: tfs[name] if tfs else tf_names(name) for name in self._matrices}
        self.tfs = {name: [tf] if isinstance(tf, str) else list(tf) for name, tf in symbols.items()}
        self.clusters = None if clusters is None else {name: clusters[name] for name in self._matrices}

    def subset(self, names: Iterable[str]) -> MotifSet:
        """Take some of the motifs, with their factors and clusters; a plain dict of them would lose both.

        Parameters
        ----------
        names
            Motifs of the set, in the order wanted.

        Raises
        ------
        InputError
            If one is not in the set.

        Examples
        --------
        >>> site = [[0.1, 0.2, 0.3, 0.4]] * 8
        >>> motifs = scget.pp.MotifSet(
        ...     {"MA0004.1": site, "MA0006.1": site}, {"MA0004.1": ["ARNT"], "MA0006.1": ["AHR"]}
        ... )
        >>> motifs.subset(["MA0006.1"]).tfs
        {'MA0006.1': ['AHR']}
        """
        if isinstance(names, str):
            raise InputError(f"names={names!r} is one text; give a list of names.")
        kept = list(names)
        unknown = [name for name in kept if name not in self._matrices]
        if unknown:
            raise InputError(
                f"{len(unknown)} of {len(kept)} names are not in the set: {first(unknown)}. It has {first(self)}."
            )
        groups = self.clusters
        return MotifSet(
            {name: self._matrices[name] for name in kept},
            {name: self.tfs[name] for name in kept},
            None if groups is None else {name: groups[name] for name in kept},
        )

    def __getitem__(self, name: str) -> np.ndarray:
        return self._matrices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._matrices)

    def __len__(self) -> int:
        return len(self._matrices)

    def __repr__(self) -> str:
        n_tfs = len({tf for tfs in self.tfs.values() for tf in tfs})
        groups = f" in {len(set(self.clusters.values())):,} clusters" if self.clusters else ""
        return f"MotifSet of {len(self):,} motifs of {n_tfs:,} factors{groups}"


def read_motifs(path: str | PathLike[str], format: str | None = None) -> MotifSet:
    """Read the motifs of a file.

    Parameters
    ----------
    path
        Plain text or gzip-compressed.
    format
        ``"meme"`` (version 4 or later, minimal or full), ``"jaspar"`` (``>MA0004.1 Arnt``, then ``A [ 4 19 0 ]`` and so
        on), ``"pfm"`` (``>name``, then four rows for A, C, G, T, or one row of four numbers for each position, as in
        HOCOMOCO's pcm and pfm; without a name, one matrix named by its file), ``"transfac"``; by default found from the
        content.

    Returns
    -------
    The motifs in the order of the file: probabilities of A, C, G, T, ``(width, 4)`` float64, by identifier. Counts are
    divided by the sum of their position. ``tfs`` holds the gene symbols of each motif's factors, upper case, from its other
    name if it has one (``Arnt`` -> ``ARNT``, ``FOS::JUN`` -> ``FOS``, ``JUN``), else from its identifier
    (``P53.H12CORE.0.P.B`` -> ``TP53``, HOCOMOCO's UniProt names being translated).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If the format is not known, or the file holds no motif, one twice, or one whose matrix is not usable; the first is
        named.

    Examples
    --------
    >>> motifs = scget.pp.read_motifs("JASPAR2024_CORE.meme.gz")  # doctest: +SKIP
    >>> motifs.tfs["MA0019.2"]  # doctest: +SKIP
    ['DDIT3', 'CEBPA']
    """
    records = read_records(path, format)
    return MotifSet({r.name: r.matrix for r in records}, {r.name: tf_names(r.name, r.other) for r in records})


def motif_set(motifs: Motifs | None) -> MotifSet:
    """Checked motifs, from a path or a mapping."""
    if motifs is None:
        raise InputError(
            "No `motifs` given; a set, a file of motifs or a dict of probability matrices is needed. Try "
            "motifs=scget.datasets.motifs('hocomoco_v12'), from https://hocomoco12.autosome.org."
        )
    if isinstance(motifs, str | PathLike):
        return read_motifs(motifs)
    if not isinstance(motifs, Mapping):
        raise TypeError(f"`motifs` is a {type(motifs).__name__}; a set, the path of one file or a mapping is needed.")
    if not motifs:
        raise InputError("`motifs` is empty; at least one motif is needed.")
    return motifs if isinstance(motifs, MotifSet) else MotifSet(motifs)


def tf_table(motifs: MotifSet, clusters: Mapping[str, str]) -> pd.DataFrame:
    """Tidy table of cluster, motif and factor, sorted by cluster and motif."""
    rows = sorted((clusters[motif], motif, tf) for motif in motifs for tf in motifs.tfs[motif])
    table = pd.DataFrame(rows, columns=list(MOTIF_TF_COLUMNS), dtype=object)
    return table.set_index(table.index.astype(str))


def clusters_of(motifs: Mapping[str, np.ndarray], clusters: Clusters | None) -> dict[str, str]:
    """Cluster of every motif; by default the set's own, or each motif by itself."""
    if clusters is None:
        return dict(getattr(motifs, "clusters", None) or {m: m for m in motifs})
    if isinstance(clusters, Mapping | pd.Series):
        clusters = dict(clusters.items())
        table = pd.DataFrame({"motif": list(clusters.keys()), "cluster": list(clusters.values())})
    elif isinstance(clusters, pd.DataFrame):
        table = clusters
    elif isinstance(clusters, str | PathLike):
        table = _read_clusters(Path(clusters))
    else:
        raise InputError(f"`clusters` is a {type(clusters).__name__}; a mapping, a table or the path of one is needed.")
    if {"motif", "cluster"} <= set(table.columns):
        table = table[["motif", "cluster"]]
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


def _read_clusters(path: Path) -> pd.DataFrame:
    """Table of a tab-separated file, all text; its first line may name the columns."""
    if not path.is_file():
        raise FileNotFoundError(f"No file of clusters at '{path}'. Give a table of motif and cluster, tab-separated.")
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
    except (EOFError, OSError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"'{path}' cannot be read as text or gzip ({error}). Give a table in UTF-8.") from error
    lines = [line for line in text.split("\n") if line.strip() and not line.startswith("#")]
    rows = [[cell.strip() or None for cell in line.split("\t")] for line in lines]
    wrong = [line for line, row in zip(lines, rows, strict=True) if len(row) != len(rows[0])]
    if not rows or wrong:
        found = f"has the line {wrong[0][:60]!r} of other columns than the first" if wrong else "has no line"
        raise InputError(f"'{path}' {found}. Motif and cluster are needed in each, tab-separated.")
    if {"motif", "cluster"} <= set(rows[0]):
        return pd.DataFrame(rows[1:], columns=[cell or "" for cell in rows[0]], dtype=object)
    return pd.DataFrame(rows, dtype=object)


def sha256_of(motifs: Mapping[str, np.ndarray], clusters: Mapping[str, str]) -> str:
    """Hash of names, clusters and probabilities, whatever the order and file format."""
    digest = hashlib.sha256()
    for name in sorted(motifs):
        digest.update(f"{name}\t{clusters[name]}\t{len(motifs[name])}\n".encode())
        digest.update(np.ascontiguousarray(motifs[name], dtype="<f8").tobytes())
    return digest.hexdigest()
