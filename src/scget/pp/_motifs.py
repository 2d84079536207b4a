"""Scores of motif clusters in regions, by a scan of the genome's sequence there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix, vstack
from tqdm.auto import tqdm

from scget._errors import InputError, first, needs_extra, warn
from scget._keys import ATAC, MOTIF_NAMES, MOTIF_SCAN, MOTIF_SCORES, MOTIF_TFS
from scget.pp._checks import check_writable, get_modality
from scget.pp._genome import genome_path, read_sequences
from scget.pp._kept import check_folder
from scget.pp._motif_sets import Clusters, Motifs, clusters_of, motif_set, sha256_of, tf_table
from scget.pp._region_warnings import warn_of_regions
from scget.pp._regions import regions_of
from scget.pp._scan_cache import cached, scan_key

if TYPE_CHECKING:
    from mudata import MuData

BACKGROUND = (0.2977, 0.2023, 0.2023, 0.2977)  # A, C, G, T in the human genome
SCANNER_VERSION = 1  # raised whenever the same input gets other scores: caches and models then notice


def motif_scores(
    mdata: MuData,
    genome: object,
    *,
    motifs: Motifs | None = None,
    clusters: Clusters | None = None,
    pvalue: float = 1e-4,
    background: Sequence[float] | None = None,
    pseudocount: float = 0.01,
    device: str = "cpu",
    cache: str | PathLike[str] | None = None,
    copy: bool = False,
) -> MuData | None:
    """Score each motif cluster in each region from the genome's sequence.

    A hit is a position and strand, wholly within the region and free of unknown bases, where a motif's log-odds reach
    the motif's threshold. At each position the best hit of a cluster's motifs on either strand counts, so that a
    palindrome counts once; the score of a cluster is the sum over the region's positions, as in GET (Fu et al. 2025).

    Parameters
    ----------
    mdata
        With modality ``atac``, whose ``var`` holds ``chrom``, ``start``, ``end``, or names such as ``chr1:100-200``.
    genome
        Path of a FASTA file, plain or compressed with bgzip, or an object with such a path as attribute ``fasta``
        (SnapATAC2's ``Genome``). Its index (``.fai``, ``.gzi``) is made beside it where it is missing.
    motifs
        A set of motifs such as ``scget.datasets.motifs("hocomoco_v12")``, the path of a file that :func:`read_motifs`
        reads, or a mapping from name to a ``(width, 4)`` matrix of probabilities of A, C, G, T.
    clusters
        Cluster of each motif: a mapping, a table with columns ``motif`` and ``cluster`` (else the first two count),
        or the path of such a table, tab-separated, with or without a header; :func:`cluster_motifs` makes one.
        Without it the set's own clusters are taken, if it has any; else each motif is its own cluster.
    pvalue
        Probability that background sequence reaches a motif's threshold at one position of one strand.
    background
        Frequencies of A, C, G, T; by default 0.2977, 0.2023, 0.2023, 0.2977.
    pseudocount
        Weight of the background in each column of a motif, relative to the column.
    device
        ``"cpu"``: all processors this process may use. ``"cuda"``, ``"cuda:1"``, ``"mps"``: a GPU, with the same scores.
    cache
        Folder where the scan is kept, made if missing, and found again by a hash of sequences, motifs and settings. Any
        number of processes may use it at once; files in it may be deleted at any time.
    copy
        Return a changed copy instead of changing ``mdata``.

    Returns
    -------
    The copy if asked for, else None. Written are ``atac.varm["motif_scores"]``, regions x clusters, float32 CSR in bits and
    never negative; ``atac.uns["motif_names"]``, the clusters in sorted order; ``atac.uns["motif_tfs"]``, a table of cluster,
    motif and tf (gene symbol), to read results by factor; ``atac.uns["motif_scan"]``, how this was made.

    Raises
    ------
    InputError
        If motifs, clusters, settings, device or cache are not usable.
    GenomeError
        If regions and genome do not fit each other.
    FileNotFoundError
        If a file is missing.
    ImportError
        If pyfaidx, numba or, for bgzip, biopython is missing.

    Examples
    --------
    >>> scget.pp.motif_scores(mdata, "hg38.fa", motifs="H12CORE_meme_format.meme")  # doctest: +SKIP
    >>> mdata["atac"].varm["motif_scores"].shape == (mdata["atac"].n_vars, 1443)  # doctest: +SKIP
    True
    """
    regions = regions_of(get_modality(mdata, ATAC, "accessibility"))
    if not copy:
        check_writable(mdata, ATAC)
    path = genome_path(genome)
    background_ = _check_settings(pvalue, background, pseudocount)
    warn_of_regions(mdata.mod[ATAC], regions)
    motifs_ = motif_set(motifs)
    members = clusters_of(motifs_, clusters)
    check_device(device)
    if cache is not None:
        check_folder(cache)
    settings: dict[str, Any] = {"pvalue": pvalue, "background": background_, "pseudocount": pseudocount}
    scores, names = scan_regions(
        *read_sequences(path, regions), motifs_, members, **settings, device=device, cache=cache
    )
    mdata = mdata.copy() if copy else mdata
    atac = mdata.mod[ATAC]
    atac.varm[MOTIF_SCORES] = scores
    atac.uns[MOTIF_NAMES] = names
    atac.uns[MOTIF_TFS] = tf_table(motifs_, members)
    atac.uns[MOTIF_SCAN] = {"genome": path.name, **_record(motifs_, members, **settings)}
    return mdata if copy else None


def scan_regions(
    codes: np.ndarray,
    offsets: np.ndarray,
    motifs: Mapping[str, np.ndarray],
    clusters: Mapping[str, str],
    *,
    pvalue: float = 1e-4,
    background: Sequence[float] | np.ndarray = BACKGROUND,
    pseudocount: float = 0.01,
    device: str = "cpu",
    cache: str | PathLike[str] | None = None,
) -> tuple[csr_matrix, np.ndarray]:
    """Score motif clusters in sequences given as codes, by the rules of :func:`motif_scores`.

    Parameters
    ----------
    codes, offsets
        Sequence ``i`` is ``codes[offsets[i]:offsets[i + 1]]``; 0..3 = A, C, G, T, 4 = unknown.
    motifs
        Probabilities ``(width, 4)`` by name.
    clusters
        Cluster of each motif.
    pvalue, background, pseudocount, device, cache
        As in :func:`motif_scores`.

    Returns
    -------
    Scores, sequences x clusters, float32 in bits, and the names of the clusters, sorted.
    """
    with needs_extra("motif"):
        from scget.pp._scan import make_scanner, scan, tables_and_limits  # numba is slow to import

    names, column = np.unique([clusters[m] for m in motifs], return_inverse=True)
    tables, limits = tables_and_limits(motifs.values(), background, pseudocount, pvalue)
    _warn_of_mute(motifs, limits, pvalue)

    def run() -> csr_matrix:
        scanner = make_scanner(tables, limits)
        blocks = [csr_matrix((0, len(names)), dtype=np.float32)]
        with tqdm(total=len(offsets) - 1, desc="Scanning motifs", unit="region", leave=False) as bar:
            for block in scan(scanner, column, len(names), codes, offsets, **_on(device, scanner)):
                blocks.append(block)
                bar.update(block.shape[0])
        return vstack(blocks, format="csr")

    if cache is None:
        return run(), names.astype(object)
    key = scan_key(codes, offsets, _record(motifs, clusters, pvalue, background, pseudocount))
    return cached(cache, key, run), names.astype(object)


def _warn_of_mute(motifs: Mapping[str, np.ndarray], limits: np.ndarray, pvalue: float) -> None:
    """Warn of motifs that can have no hit."""
    mute = [m for m, limit in zip(motifs, limits, strict=True) if np.isinf(limit)]
    if mute:
        warn(
            f"{len(mute)} of {len(limits)} motifs can never reach p = {pvalue:g}, as even their best word is more "
            f"frequent, and get no hits: {first(mute)}. A larger `pvalue` would let them."
        )


def _record(
    motifs: Mapping[str, np.ndarray],
    clusters: Mapping[str, str],
    pvalue: float,
    background: Sequence[float] | np.ndarray,
    pseudocount: float,
) -> dict[str, Any]:
    """All that decides the scores of a sequence, as it is written down and told apart by."""
    return {
        "scanner": "scget",
        "scanner_version": SCANNER_VERSION,
        "motifs_sha256": sha256_of(motifs, clusters),
        "n_motifs": len(motifs),
        "pvalue": float(pvalue),
        "pseudocount": float(pseudocount),
        "background": [float(b) for b in background],
    }


def check_device(device: str) -> None:
    """Refuse a device that cannot be computed on."""
    if str(device) != "cpu":
        from scget.pp._scan_torch import check_device as check  # torch is slow to import

        check(str(device))


def _on(device: str, scanner: Any) -> dict[str, Any]:
    """Arguments with which ``scan`` runs on the device."""
    if str(device) == "cpu":
        return {}
    from scget.pp._scan_torch import finder  # torch is slow to import

    return {"find": finder(scanner, str(device)), "threads": 2}  # while the device works for one, the other sums up


def _check_settings(pvalue: float, background: Sequence[float] | None, pseudocount: float) -> np.ndarray:
    """Refuse settings without meaning; return the background."""
    if not isinstance(pvalue, Real) or not 0 < pvalue < 1:
        raise InputError(f"`pvalue` is {pvalue!r}; a probability between 0 and 1 is needed, such as 1e-4.")
    if not isinstance(pseudocount, Real) or not 0 < pseudocount < np.inf:
        raise InputError(f"`pseudocount` is {pseudocount!r}; a number above 0 is needed, such as 0.01.")
    try:
        b = np.asarray(BACKGROUND if background is None else background, dtype=np.float64)
    except (TypeError, ValueError):
        b = np.empty(0)
    if b.shape != (4,) or not (b > 0).all() or abs(b.sum() - 1) > 1e-3:
        raise InputError(
            f"`background` is {background!r}; four frequencies above 0 that sum to 1 are needed, for A, C, G, T."
        )
    return b
