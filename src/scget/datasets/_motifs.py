"""Public motif collections, fetched once and checked."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from scget._errors import InputError, first, needs_extra
from scget.pp import ARCHETYPES, MotifSet, read_motifs
from scget.pp._motif_files import read_records
from scget.pp._motif_sets import sha256_of
from scget.pp._tf_names import tf_names

_ALTIUS = "https://resources.altius.org/~jvierstra/projects/motif-clustering/"


@dataclass(frozen=True)
class _Collection:
    """Where a collection is, how its files become a set, and the hash of names and matrices if it is known."""

    urls: tuple[str, ...]
    read: Callable[[list[Path]], MotifSet]
    sha256: str | None


def motifs(name: str, *, folder: str | PathLike[str] | None = None) -> MotifSet:
    """Load a public collection of motifs.

    Its files are fetched once and kept. Names and matrices are compared with a hash kept here, whatever the compression
    and line ends of the file.

    ================ ======================================================================= ==================================
    name             content                                                                 checked by
    ================ ======================================================================= ==================================
    ``hocomoco_v12`` HOCOMOCO v12 CORE: 1,443 motifs of 949 human factors (WTFPL)            hash of the content
    ``jaspar_2024``  JASPAR 2024 CORE, not redundant: 2,346 motifs of all taxa (CC BY 4.0)   hash of the content
    ``vierstra_v1``  the motifs of Vierstra et al. 2020, release v1.0 (JASPAR 2018, Jolma    names of the 282 clusters; no
                     2013, HOCOMOCO v11), in the 282 clusters of the published models        hash of the matrices is known
    ================ ======================================================================= ==================================

    The JASPAR collection is of all taxa: for one of them, take its motifs with :meth:`scget.pp.MotifSet.subset`, which
    keeps the factors' names.

    Parameters
    ----------
    name
        Name of the collection.
    folder
        Where the files are kept; by default the environment variable ``SCGET_CACHE``, or else the user's cache folder.
        A file put there by hand is used as it is; it may be gzip-compressed.

    Returns
    -------
    The motifs with the factors of each (``tfs``) and, for ``vierstra_v1``, the cluster of each (``clusters``); to be given
    to :func:`scget.pp.motif_scores` or :func:`scget.pp.cluster_motifs`.

    Raises
    ------
    InputError
        If there is no such collection, or a file does not hold what it should.
    ConnectionError
        If a file cannot be fetched; its address and the place to put it by hand are named.
    ImportError
        If openpyxl is missing, which reads the clusters of ``vierstra_v1``.

    Examples
    --------
    >>> motifs = scget.datasets.motifs("hocomoco_v12")  # doctest: +SKIP
    >>> clusters = scget.pp.cluster_motifs(motifs)  # doctest: +SKIP
    >>> scget.pp.motif_scores(mdata, "hg38.fa", motifs=motifs, clusters=clusters)  # doctest: +SKIP
    """
    if not isinstance(name, str) or name not in COLLECTIONS:
        raise InputError(f"no motif collection {name!r}. There are {', '.join(COLLECTIONS)}.")
    collection = COLLECTIONS[name]
    paths = [_fetch(url, folder) for url in collection.urls]
    found = collection.read(paths)
    if collection.sha256 is not None and sha256_of(found, {motif: motif for motif in found}) != collection.sha256:
        raise InputError(
            f"'{paths[0]}' holds {len(found):,} motifs that are not those of {name}. Remove it and call again; if the "
            "collection has changed at its source, scget.pp.read_motifs reads the file unchecked."
        )
    return found


def _fetch(url: str, folder: str | PathLike[str] | None) -> Path:
    """Path of a file in the cache, fetched where it is missing."""
    import pooch

    place = Path(folder or os.environ.get("SCGET_CACHE") or pooch.os_cache("scget")).expanduser()
    path = place / url.rsplit("/", 1)[1]
    if path.is_file():
        return path
    try:
        # without a hash of the file, as what it holds is checked afterwards
        return Path(pooch.create(place, "", registry={path.name: None}, urls={path.name: url}).fetch(path.name))
    except OSError as error:
        raise ConnectionError(
            f"Cannot fetch {url} into '{place}' ({type(error).__name__}: {error}). Where there is no network, fetch it "
            f"elsewhere and put it at '{path}'."
        ) from error


def _read_one(paths: list[Path]) -> MotifSet:
    return read_motifs(paths[0])


def _read_vierstra(paths: list[Path]) -> MotifSet:
    """Motifs of the annotation table (the first file), from the MEME files (the others)."""
    import pandas as pd

    with needs_extra("motif"):
        sheets = pd.read_excel(paths[0], sheet_name=None, dtype=str, engine="openpyxl")
    members = [sheet for sheet in sheets.values() if {"Cluster_ID", "Motif"} <= set(sheet)]
    titles = [sheet for sheet in sheets.values() if {"Cluster_ID", "Name"} <= set(sheet)]
    if not members or not titles:
        raise InputError(f"'{paths[0]}' lacks a sheet with Cluster_ID and Motif, or one with Cluster_ID and Name.")
    table = members[0][["Cluster_ID", "Motif"]].merge(titles[0][["Cluster_ID", "Name"]], on="Cluster_ID")
    clusters = dict(zip(table["Motif"].str.strip(), table["Name"].str.strip(), strict=True))
    if set(clusters.values()) != set(ARCHETYPES):
        raise InputError(
            f"'{paths[0]}' has {len(set(clusters.values()))} clusters that are not the {len(ARCHETYPES)} published ones, "
            f"first {first(sorted(set(clusters.values()) ^ set(ARCHETYPES)))}. Remove it and call again."
        )
    matrices: dict[str, np.ndarray] = {}
    for record in (record for path in paths[1:] for record in read_records(path, "meme")):
        # the table may name JASPAR's motifs as in RREB1_MA0073.1
        matrices |= {record.name: record.matrix, f"{record.other}_{record.name}": record.matrix}
    missing = sorted(set(clusters) - set(matrices))
    if missing:
        raise InputError(f"{len(missing)} of {len(clusters)} motifs of '{paths[0]}' have no matrix: {first(missing)}.")
    return MotifSet({m: matrices[m] for m in clusters}, {m: tf_names(m) for m in clusters}, clusters)


COLLECTIONS = {
    "hocomoco_v12": _Collection(
        ("https://hocomoco12.autosome.org/final_bundle/hocomoco12/H12CORE/formatted_motifs/H12CORE_meme_format.meme",),
        _read_one,
        "be2ae2a3a1832bb91ff32ca101ac380e692611d70f9a516e5a913387e8d7f518",
    ),
    "jaspar_2024": _Collection(
        ("https://jaspar.elixir.no/download/data/2024/CORE/JASPAR2024_CORE_non-redundant_pfms_meme.txt",),
        _read_one,
        "ba35d86d2d5ec43e46bb3c5ec6d73c590507c68fe606181f15132606b4705628",
    ),
    "vierstra_v1": _Collection(
        (
            f"{_ALTIUS}releases/v1.0/motif_annotations.xlsx",
            f"{_ALTIUS}databases/jaspar2018/JASPAR2018_CORE_vertebrates_non-redundant_pfms.meme",
            f"{_ALTIUS}databases/jolma2013/jolma2013.meme",
            f"{_ALTIUS}databases/hocomoco_v11/HOCOMOCOv11_core_HUMAN_mono_meme_format.meme",
            f"{_ALTIUS}databases/hocomoco_v11/HOCOMOCOv11_core_MOUSE_mono_meme_format.meme",
        ),
        _read_vierstra,
        None,
    ),
}
