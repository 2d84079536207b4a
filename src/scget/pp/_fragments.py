"""Fragments to counts: cells x regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix, csr_matrix

from scget import _keys as keys
from scget._errors import GenomeError, InputError, first, needs_extra, warn
from scget.pp._checks import get_modality
from scget.pp._fragment_file import read_fragments
from scget.pp._region_files import read_regions
from scget.pp._regions import Regions, naming_hint, parse_regions, regions_in, regions_of

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

Rule = Literal["fragments", "paired-insertions", "insertions"]
_RULES = ("fragments", "paired-insertions", "insertions")
_FEW = 0.5  # share of barcodes found in the file, below which they may be those of other data
_LOST = 0.05  # share of regions on chromosomes without any fragment, above which this is said
_MERGE = 1 << 22  # counts that may wait until they are added up


def count_fragments(
    fragments: str | Path,
    regions: str | Path | pd.DataFrame | AnnData | MuData | Sequence[str],
    *,
    barcodes: Sequence[str] | pd.Index | AnnData | MuData | None = None,
    count: Rule = "fragments",
) -> AnnData:
    r"""Count the fragments of each cell in each region.

    The file is read in blocks, so memory holds the counts and one block whatever the size of the file, which needs
    neither index nor order. :func:`bioframe.overlap` finds the regions of each fragment.

    Parameters
    ----------
    fragments
        Path of a fragment file, plain or compressed with gzip or bgzip: tab-separated chromosome, start, end, barcode
        as of Cell Ranger, SnapATAC2 or chromap. Further columns, such as the number of read pairs, play no part.
    regions
        BED or narrowPeak file, DataFrame with ``chrom``, ``start``, ``end`` or with names as index, names such as
        ``chr1:100-200``, or an AnnData (or the modality ``atac`` of a MuData) with these regions; 0-based half-open.
        May overlap.
    barcodes
        Cells, as names or as an AnnData or MuData of them, such as the RNA. None: all barcodes of the file, sorted;
        most of them are empty droplets.
    count
        What counts in a region ``[start, end)``. ``"fragments"``: each fragment that overlaps it, once (muon,
        SnapATAC2 ``fragment``). ``"insertions"``: each cut site in it, a fragment having one at its start and one at
        its end (Cell Ranger). ``"paired-insertions"``: each fragment with at least one cut site in it, once (Signac's
        PIC, SnapATAC2 ``paired-insertion``).

    Returns
    -------
    AnnData, cells x regions in the order given; ``X`` float32 CSR, ``var`` with ``chrom``, ``start``, ``end``. Cells
    that the file lacks have no counts.

    Raises
    ------
    InputError
        If fragments, regions or barcodes cannot be read (see the message), or no barcode is in the file.
    GenomeError
        If fragments and regions share no chromosome.
    ImportError
        If bioframe is missing.

    Notes
    -----
    Cell Ranger puts the second cut site at the fragment's ``end`` itself, as comparison with its matrices shows, and so
    does this function; SnapATAC2 puts it one base before.

    Examples
    --------
    >>> lines = ["chr1\t90\t110\tAAAC-1\t2", "chr1\t120\t130\tAAAC-1\t1", "chr1\t195\t260\tCCCA-1\t1"]
    >>> with open("fragments.tsv", "w") as file:
    ...     print(*lines, sep="\n", file=file)
    >>> atac = scget.pp.count_fragments("fragments.tsv", ["chr1:100-200", "chr1:240-250"])
    >>> atac.to_df().astype(int)
            chr1:100-200  chr1:240-250
    AAAC-1             2             0
    CCCA-1             1             1
    """
    from anndata import AnnData

    if count not in _RULES:
        raise InputError(f"count={count!r}; there are {first(_RULES)}.")
    path, where, given = Path(fragments), _read_regions(regions), _read_barcodes(barcodes)
    counts, cells, n_fragments = _count(path, where, given, count)
    if given is not None:
        n_found = int((n_fragments > 0).sum())
        if n_found < _FEW * len(given):
            warn(
                f"only {n_found:,} of {len(given):,} barcodes ({n_found / len(given):.0%}) are in '{path.name}', lacking "
                f"are {first(given[n_fragments == 0])}. The rows of those have no counts."
            )
    return AnnData(counts, obs=pd.DataFrame(index=cells), var=_as_table(where).set_axis(where.names))


def _read_regions(regions: object) -> Regions:
    """Regions of any kind, checked as those of a modality are."""
    from anndata import AnnData
    from mudata import MuData

    if isinstance(regions, MuData):
        return regions_of(get_modality(regions, keys.ATAC, "accessibility"))
    if isinstance(regions, AnnData):
        return regions_of(regions)
    if isinstance(regions, str | Path):
        table = read_regions(regions)
    elif isinstance(regions, pd.DataFrame):
        table = regions
    else:
        table = _as_table(parse_regions(regions))
    if not len(table):
        raise InputError("there are no regions. Give a BED file, a table or names such as 'chr1:100-200'.")
    return regions_in(table)


def _as_table(regions: Regions) -> pd.DataFrame:
    return pd.DataFrame(dict(zip(keys.REGION_COLUMNS, (regions.chrom, regions.start, regions.end), strict=True)))


def _read_barcodes(barcodes: object) -> pd.Index | None:
    if barcodes is None:
        return None
    if isinstance(barcodes, str | Path):
        raise InputError(f"barcodes={str(barcodes)!r} is one text; give a list of names, or an AnnData of the cells.")
    names = pd.Index(getattr(barcodes, "obs_names", barcodes)).astype(str)
    twice = names[names.duplicated()].unique()
    if len(twice):
        raise InputError(f"{len(twice):,} barcodes occur twice, first {str(twice[0])!r}. A row is one cell.")
    if not len(names):
        raise InputError("barcodes is empty. Give the names of the cells, or None for all in the file.")
    return names


def _count(
    path: Path, regions: Regions, given: pd.Index | None, count: Rule
) -> tuple[csr_matrix, pd.Index, np.ndarray]:
    """Counts (cells x regions), the cells' names, and how many fragments each has in the file."""
    table = _as_table(regions)
    row_of = {} if given is None else {name: i for i, name in enumerate(given)}
    found = np.zeros(0, dtype=np.int64)
    chroms: dict[str, None] = {}
    other = ""  # a barcode that was not asked for
    sums = _Sums(len(regions))
    for block in read_fragments(path):
        names = block["barcode"].cat.categories
        codes = [row_of.setdefault(name, len(row_of)) if given is None else row_of.get(name, -1) for name in names]
        rows = np.asarray(codes)[block["barcode"].cat.codes]
        found = _add(found, np.bincount(rows[rows >= 0], minlength=len(row_of)))
        chroms.update(dict.fromkeys(block["chrom"].cat.categories))
        other = other or next((name for name, code in zip(names, codes, strict=True) if code < 0), "")
        at, region, n = _overlap(block[rows >= 0], table, count)
        sums.add(rows[rows >= 0][at], region, n)
    if given is not None and not found.any():
        raise InputError(
            f"none of {len(given):,} barcodes is in '{path.name}': given {first(given, 1)}, there {other!r}. "
            "Rename one side (a prefix or suffix may differ)."
        )
    _check_chromosomes(regions, list(chroms), path)
    counts = sums.total(len(row_of)).astype(np.float32)
    if given is not None:
        return counts, given, found
    cells = pd.Index(list(row_of), dtype=object)
    order = np.argsort(cells.to_numpy())
    return counts[order], cells[order], found[order]


def _add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sum of two arrays, the shorter of which goes on with zeros."""
    out = b.copy()
    out[: len(a)] += a
    return out


def _overlap(block: pd.DataFrame, table: pd.DataFrame, count: Rule) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of fragments and of regions that meet, and what each such pair counts; never 0."""
    with needs_extra("genome"):
        import bioframe
    chrom, start, end = block["chrom"].astype(object), block["start"].to_numpy(), block["end"].to_numpy()
    spans = pd.DataFrame({"chrom": chrom.to_numpy(), "start": start, "end": end + 1})  # the cut site at end, too
    pairs = bioframe.overlap(spans, table, how="inner", return_input=False, return_index=True)
    at, region = pairs["index"].to_numpy(np.int64), pairs["index_"].to_numpy(np.int64)
    start, end = start[at], end[at]
    low, high = table["start"].to_numpy()[region], table["end"].to_numpy()[region]
    if count == "fragments":
        n = (end > low).astype(np.int64)
    else:
        n = ((low <= start) & (start < high)).astype(np.int64) + ((low <= end) & (end < high))
        n = n if count == "insertions" else np.minimum(n, 1)
    return at[n > 0], region[n > 0], n[n > 0]


class _Sums:
    """Sums of counts by row and region; what has come is added up once it outweighs the sum."""

    def __init__(self, n_regions: int) -> None:
        self.n_regions = n_regions
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # rows, regions, counts
        self.waiting = 0

    def add(self, rows: np.ndarray, regions: np.ndarray, n: np.ndarray) -> None:
        self.parts.append((rows.astype(np.int32), regions.astype(np.int32), n.astype(np.int32)))
        self.waiting += len(n)
        if self.waiting > max(_MERGE, len(self.parts[0][2])):
            merged = self.total(1 + max(int(part[0].max(initial=0)) for part in self.parts)).tocoo()
            self.parts, self.waiting = [(merged.row, merged.col, merged.data)], 0

    def total(self, n_rows: int) -> csr_matrix:
        """Rows x regions, int32 CSR."""
        rows, regions, n = (np.concatenate(one) for one in zip(*self.parts, strict=True))
        return coo_matrix((n, (rows, regions)), shape=(n_rows, self.n_regions)).tocsr()


def _check_chromosomes(regions: Regions, chroms: list[str], path: Path) -> None:
    lost = ~np.isin(regions.chrom, chroms)
    if lost.all():
        ours = list(dict.fromkeys(regions.chrom))
        raise GenomeError(
            f"no chromosome in common: regions {first(ours)}; '{path.name}' {first(chroms)}. "
            f"Regions and fragments must name chromosomes alike.{naming_hint(ours, chroms)}"
        )
    if lost.mean() > _LOST:
        warn(
            f"{int(lost.sum()):,} of {len(lost):,} regions lie on chromosomes that '{path.name}' lacks: "
            f"{first(dict.fromkeys(regions.chrom[lost]))}. They have no counts."
        )
