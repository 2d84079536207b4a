"""The published motif clusters, and their scores from a BED file of hits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from tqdm.auto import tqdm

from scget._errors import InputError, first, needs_extra
from scget._keys import ATAC, MOTIF_NAMES, MOTIF_SCAN, MOTIF_SCORES, MOTIF_TF_COLUMNS, MOTIF_TFS
from scget.pp._bgzip import check_whole
from scget.pp._checks import check_writable, get_modality
from scget.pp._genome_checks import check_shared, tell_of_lost
from scget.pp._region_warnings import warn_of_regions
from scget.pp._regions import Regions, regions_of, sort_order
from scget.pp._tf_names import tf_names

if TYPE_CHECKING:
    from mudata import MuData

# The 282 names of the 286 clusters of Vierstra et al. 2020, release v1.0, in the order of the published models (ASCII).
ARCHETYPES: tuple[str, ...] = tuple(
    (
        "AHR AIRE AP1/1 AP1/2 ARI5A ARI5B BATF BCL6/1 BCL6/2 CCAAT/CEBP CENBP CPEB1 CREB/ATF/1 CREB/ATF/2 CREB/ATF/3 CREB3/XBP1 "
        "CTCF CUX/1 CUX/2 CUX/3 CUX/4 DDIT3+CEBPA DMRT1 DMRT3 E2F/1 E2F/2 E2F/3 E2F/4 EBF1 EGR ETS/1 ETS/2 EVI1/MECOM "
        "EWSR1/FLI1 Ebox/CACCTG Ebox/CACGTG/1 Ebox/CACGTG/2 Ebox/CAGATGG Ebox/CAGCTG Ebox/CATATG FEZF1 FOX/1 FOX/2 FOX/3 FOX/4 "
        "FOX/5 FOX/6 FOX/7 FOX/8 FOX/9 GATA GC-tract GCM GFI GLI GLIS GMEB2/1 GMEB2/2 GMEB2/3 GRHL HAND1 HD/1 HD/10 HD/11 HD/12 "
        "HD/13 HD/14 HD/15 HD/16 HD/17 HD/18 HD/19 HD/2 HD/20 HD/21 HD/22 HD/23 HD/24 HD/25 HD/3 HD/4 HD/5 HD/6 HD/7 HD/8 HD/9 "
        "HEN1 HIC/1 HIC/2 HIF HINFP1/1 HINFP1/2 HINFP1/3 HLTF HOMEZ HSF HSFY2 INSM1 IRF/1 IRF/2 IRF/3 IRF/4 KAISO KLF/SP/1 "
        "KLF/SP/2 KLF/SP/3 LEF1 LIN54 MAF MBD2 MECP2 MEF2 MFZ1 MIES MTF1 MYB/1 MYB/2 MYB/3 MYB/4 MYB/5 MZF1 NFAC/2 NFAT/1 "
        "NFAT/2 NFAT/3 NFAT/4 NFI/1 NFI/2 NFI/3 NFKB/1 NFKB/2 NFKB/3 NFY NR/1 NR/10 NR/11 NR/12 NR/13 NR/14 NR/15 NR/16 NR/17 "
        "NR/18 NR/19 NR/2 NR/20 NR/3 NR/4 NR/5 NR/6 NR/7 NR/8 NR/9 NR2E3 NRF1 OCT4+SOX2 OSR2 OVOL1 P53-like/1 P53-like/2 "
        "P53-like/3 PAX-halfsite PAX/1 PAX/2 PLAG1 POU/1 POU/2 POU/3 PRDM1 PRDM14 PRDM16 PRDM4 PRDM5 PRDM9 PROX1 RBPJ "
        "REL-halfsite REST/NRSF RFX/1 RFX/2 RFX/3 RUNX/1 RUNX/2 SCRT1 SIX/1 SIX/2 SMAD SMARCA1 SMARCA5 SNAI2 SOX/1 SOX/2 SOX/3 "
        "SOX/4 SOX/5 SOX/6 SOX/7 SOX/8 SPDEF/1 SPDEF/2 SPI SPZ1 SREBF1 SRF STAT/1 STAT/2 TATA TBX/1 TBX/2 TBX/3 TBX/4 TCF/LEF "
        "TEAD TFAP2/1 TFAP2/2 TFCP2 THAP1 YY1 ZBED1 ZBTB14 ZBTB48 ZBTB49 ZBTB6 ZBTB7A ZFN121 ZFX ZIC ZIC/2 ZIM3 ZKSCAN1 ZNF134 "
        "ZNF136 ZNF140 ZNF143 ZNF146 ZNF232 ZNF24 ZNF250 ZNF257 ZNF274 ZNF28 ZNF282 ZNF306 ZNF317 ZNF320 ZNF324 ZNF329 ZNF331 "
        "ZNF332 ZNF335 ZNF354 ZNF382 ZNF384/1 ZNF384/2 ZNF41 ZNF410 ZNF418 ZNF423 ZNF431 ZNF435 ZNF436 ZNF449 ZNF490 ZNF524 "
        "ZNF528 ZNF53 ZNF547 ZNF549 ZNF554 ZNF563 ZNF57 ZNF586 ZNF652 ZNF667 ZNF680 ZNF708 ZNF713 ZNF768 ZNF784 ZNF85 ZSCAN3 "
        "ZSCAN4 "
    ).split()
)
_ANEW = "Index the file anew: tabix -f -p bed '{}'"


def motif_scores_from_bed(
    mdata: MuData, bed: str | PathLike[str], *, names: Sequence[str] = ARCHETYPES, copy: bool = False
) -> MuData | None:
    """Score motif clusters in regions from a genome-wide file of hits, as the published models were trained.

    The score of a cluster in a region is the sum of the scores of its hits that overlap the region by at least one base;
    without a hit it is 0. A hit at the border of two regions counts in both.

    Parameters
    ----------
    mdata
        With modality ``atac``, whose ``var`` holds ``chrom``, ``start``, ``end``, or names such as ``chr1:100-200``.
    bed
        Path or address of a BED file compressed with bgzip, with its index (``.tbi``) beside it, of the same genome as the
        regions. Columns: chromosome, start, end, cluster, score, strand and, if there is a seventh, the name of the motif.
        That of the published models is ``hg38.archetype_motifs.v1.0.bed.gz`` (mouse: ``mm10.``) at
        https://resources.altius.org/~jvierstra/projects/motif-clustering/releases/v1.0/. Over the network each region
        is a request: fetch the file first where there are many.
    names
        Clusters, in the order of the columns; by default ``scget.pp.ARCHETYPES``, the 282 of the published models.
    copy
        Return a changed copy instead of changing ``mdata``.

    Returns
    -------
    The copy if asked for, else None. Written are ``atac.varm["motif_scores"]``, regions x clusters, float32 CSR;
    ``atac.uns["motif_names"]``, which is ``names``; ``atac.uns["motif_tfs"]``, a table of cluster, motif and tf of the hits
    seen; ``atac.uns["motif_scan"]``, how this was made.

    Raises
    ------
    InputError
        If the file has a cluster that ``names`` lacks, too few columns, or a score that is no number; if it is cut, or its
        index is older than itself.
    GenomeError
        If the file has none of the chromosomes of the regions. Regions on those that it lacks have no motifs.
    FileNotFoundError
        If the file or its index is missing.
    ImportError
        If pysam is missing.

    Examples
    --------
    >>> scget.pp.motif_scores_from_bed(mdata, "hg38.archetype_motifs.v1.0.bed.gz")  # doctest: +SKIP
    >>> list(mdata["atac"].uns["motif_names"][:3])  # doctest: +SKIP
    ['AHR', 'AIRE', 'AP1/1']
    """
    regions = regions_of(get_modality(mdata, ATAC, "accessibility"))
    if not copy:
        check_writable(mdata, ATAC)
    names = list(names)
    columns = {str(name): i for i, name in enumerate(names)}
    if len(columns) != len(names) or not columns:
        raise InputError(f"`names` holds {len(names)} clusters, {len(columns)} of them different; give each once.")
    _check_file(bed)
    warn_of_regions(mdata.mod[ATAC], regions)
    with _open(bed) as hits:
        scores, seen = _sum_hits(hits, regions, columns, fspath(bed))
    mdata = mdata.copy() if copy else mdata
    atac = mdata.mod[ATAC]
    atac.varm[MOTIF_SCORES] = scores
    atac.uns[MOTIF_NAMES] = np.array(list(columns), dtype=object)
    rows = sorted((cluster, motif, tf) for cluster, motif in seen for tf in tf_names(motif))
    table = pd.DataFrame(rows, columns=list(MOTIF_TF_COLUMNS), dtype=object)
    atac.uns[MOTIF_TFS] = table.set_index(table.index.astype(str))
    atac.uns[MOTIF_SCAN] = {"scanner": "bed", "genome": PurePosixPath(fspath(bed)).name, "n_clusters": len(columns)}
    return mdata if copy else None


def _check_file(bed: str | PathLike[str]) -> None:
    """Refuse a local file that is cut or newer than its index."""
    path = Path(bed)
    if not path.is_file():
        return
    check_whole(path)
    for index in (Path(f"{path}{kind}") for kind in (".tbi", ".csi")):
        if index.is_file() and index.stat().st_mtime < path.stat().st_mtime:
            raise InputError(
                f"The index '{index}' is older than the file, and may be of another. {_ANEW.format(path.name)}"
            )


def _open(bed: str | PathLike[str]) -> Any:
    """Open the file by its index."""
    with needs_extra("tabix"):
        import pysam
    verbosity = pysam.set_verbosity(0)  # htslib prints what the error below says
    try:
        return pysam.TabixFile(fspath(bed), encoding="ascii")
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"Cannot open '{fspath(bed)}' and its index ({error}). A file compressed with bgzip and its index '.tbi' beside "
            "it are needed: bgzip hits.bed; tabix -p bed hits.bed.gz."
        ) from error
    finally:
        pysam.set_verbosity(verbosity)


def _sum_hits(
    hits: Any, regions: Regions, columns: dict[str, int], bed: str
) -> tuple[csr_matrix, set[tuple[str, str]]]:
    """Regions x clusters, and the (cluster, motif) of all hits."""
    there, name = list(hits.contigs), PurePosixPath(bed).name
    known = np.isin(regions.chrom.astype(str), there)
    check_shared(name, "hits", regions, known, there)
    tell_of_lost(name, regions, known, there)
    seen: set[tuple[str, str]] = set()
    rows: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0, int), np.empty(0))] * len(regions)
    order_p = sort_order(regions)
    for i in tqdm(order_p[known[order_p]].tolist(), desc="Reading motif hits", unit="region", leave=False):
        total: dict[int, float] = {}
        for column, score in _hits(hits, regions, i, columns, bed, seen):
            total[column] = total.get(column, 0.0) + score
        order = sorted(total)
        rows[i] = np.array(order, dtype=int), np.array([total[column] for column in order])
    indptr = np.concatenate([[0], np.cumsum([len(index) for index, _ in rows])])
    indices, data = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    return csr_matrix((data.astype(np.float32), indices, indptr), shape=(len(regions), len(columns))), seen


def _hits(
    hits: Any, regions: Regions, i: int, columns: dict[str, int], bed: str, seen: set[tuple[str, str]]
) -> Iterator[tuple[int, float]]:
    """Column and score of each hit of a region."""
    try:
        lines = list(hits.fetch(regions.chrom[i], int(regions.start[i]), int(regions.end[i])))
    except (OSError, ValueError) as error:  # a UnicodeDecodeError is a ValueError
        raise InputError(
            f"'{bed}' cannot be read at {regions.names[i]} ({error}): it is damaged, or its index is of another file. "
            f"{_ANEW.format(PurePosixPath(bed).name)}"
        ) from error
    for line in lines:
        fields = line.split("\t")
        try:
            cluster, score = fields[3], float(fields[4])
        except (IndexError, ValueError):
            score = math.nan
        if not math.isfinite(score):
            raise InputError(
                f"'{bed}' has the line '{line[:80]}'; a cluster and a score in columns 4 and 5 are needed."
            )
        if cluster not in columns:
            raise InputError(
                f"'{bed}' has cluster '{cluster}', which is not among the {len(columns)} `names`: "
                f"{first(columns)}. Give the clusters of the file, in the order wanted."
            )
        if len(fields) > 6:
            seen.add((cluster, fields[6]))
        yield columns[cluster], score
