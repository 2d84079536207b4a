"""What is looked at in counts before training; each function here tells of one thing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scget import _keys as keys
from scget._errors import first
from scget.pp import _checks
from scget.pp._check_data import Data, Finding
from scget.pp._survey import Survey

_MIN_DEPTH = 3_000_000  # ATAC counts of a row, as the authors of GET advise
_MIN_CELLS = 100  # of a row, the same
_MOST_EMPTY = 0.05  # share of cells without a count, above which counts and cells may not belong together
_SAME_DEPTH = 1e-3  # of the median; sums that differ by less were made equal
_TELLING = 100  # counts of a row, from which on two rows are not equal by chance

_POOL = "Merge them with a like cell type, or trust what is predicted for them less."


def _counts(counts: Survey, what: str = "") -> Finding:
    if not counts.tally.n_positive:
        return "error", f"all values of {counts.called} are 0", "Load the counts, or name the layer that holds them."
    n_empty = int((~counts.counted_p).sum())
    found = f"raw: whole numbers from 0 to {counts.tally.most:,.0f}"
    if what and n_empty:
        found += f"; {n_empty / len(counts.counted_p):.1%} of {what} have no count in any row"
    return "ok", found, ""


def atac_counts(data: Data) -> Finding:
    """Tell whether these are raw counts, of fragments."""
    counts = data.atac_counts
    _checks.warn_if_not_fragments(counts.tally, counts.called)
    return _counts(counts, "regions")


def rna_counts(data: Data) -> Finding | None:
    """Tell whether these are raw counts."""
    return None if data.rna_counts is None else _counts(data.rna_counts)


def _empty_cells(counts: Survey, name: str) -> Finding | None:
    n_empty, n_cells = int((counts.sums_k == 0).sum()), len(counts.sums_k)
    if n_empty <= _MOST_EMPTY * n_cells:
        return None
    found = f"{n_empty:,} of {n_cells:,} cells ({n_empty / n_cells:.0%}) have no {name.upper()} count"
    return "warning", found, "Remove cells of too few counts; are the cells of both modalities the same?"


def depth(data: Data) -> Finding:
    """Tell the ATAC counts of rows."""
    depth, counts = data.depth, data.atac_counts
    if data.holds_cells:
        found = f"{depth.median():,.0f} counts per row at the median, as single cells have"
        do = "Rows of cell types are judged: run scget.pp.pseudobulk, then check again."
        return _empty_cells(counts, keys.ATAC) or ("ok", found, do)
    _checks.check_rows_counted(counts.sums_k[:, None], data.atac.obs_names, keys.ATAC)
    low = depth[depth < _MIN_DEPTH].sort_values(kind="stable")
    found = f"{len(low):,} of {len(depth):,} rows have fewer than {_MIN_DEPTH:,} counts"
    if low.empty:
        return "ok", f"{found}; the least is {depth.min():,.0f}", ""
    found = f"{found}, least {low.iloc[0]:,.0f}: {first(low.index)}"
    return "warning", found, _POOL


def depth_of_rna(data: Data) -> Finding | None:
    """Tell the RNA counts of rows."""
    counts = data.rna_counts
    if data.rna is None or counts is None:
        return None
    if not data.holds_cells:
        _checks.check_rows_counted(counts.sums_k[:, None], data.rna.obs_names, keys.RNA)
    elif empty := _empty_cells(counts, keys.RNA):
        return empty
    depth = counts.sums_k
    return "ok", f"{np.median(depth):,.0f} counts per row at the median, {depth.min():,.0f} at least", ""


def same_depth(data: Data) -> Finding | None:
    """Warn of rows made to have the same number of counts."""
    both = {keys.ATAC: data.atac_counts, keys.RNA: data.rna_counts}
    same = {name: counts.sums_k for name, counts in both.items() if counts is not None and _are_same(counts.sums_k)}
    if not same:
        return None
    found = " and ".join(f"all rows of {name!r} have {np.median(sums):,.0f} counts" for name, sums in same.items())
    return "warning", found, "Raw counts differ in depth: were these normalised and rounded? Pass the raw ones."


def _are_same(sums: np.ndarray) -> bool:
    return len(sums) >= 3 and sums.min() >= _TELLING and float(np.ptp(sums)) <= _SAME_DEPTH * float(np.median(sums))


def same_rows(data: Data) -> Finding | None:
    """Warn of rows with the same counts in each column as another."""
    found = []
    for name, counts in ((keys.ATAC, data.atac_counts), (keys.RNA, data.rna_counts)):
        if counts is None:
            continue
        prints = pd.DataFrame(counts.prints_k)[counts.sums_k >= _TELLING]
        again = np.flatnonzero(prints.duplicated())
        if len(again):
            row = prints.index[again[0]]
            other = prints.index[(prints == prints.loc[row]).all(axis=1)][0]
            names = data.mdata.mod[name].obs_names
            found.append(
                f"{len(again):,} rows of {name!r} have the counts of another row, first {names[row]!r} of {names[other]!r}"
            )
    return ("warning", "; ".join(found), "Are these one sample twice? Keep one of each.") if found else None


def cells_per_row(data: Data) -> Finding | None:
    """Tell how many cells rows are made of."""
    if keys.N_CELLS not in data.atac.obs:
        return None
    given = data.atac.obs[keys.N_CELLS].astype(object)
    n_cells = pd.to_numeric(given, errors="coerce").astype(np.float64)
    unknown = n_cells.index[n_cells.isna()]
    if len(unknown):
        found = f"n_cells holds no number for {len(unknown):,} rows: {first(unknown)} ({str(given[unknown[0]])!r})"
        return "warning", found, "Write the number of cells of each row, or drop the column."
    small = n_cells[n_cells < _MIN_CELLS].sort_values(kind="stable")
    if small.empty:
        return "ok", f"{n_cells.min():,.0f} cells or more in each row", ""
    found = f"{len(small):,} of {len(n_cells):,} rows are made of fewer than {_MIN_CELLS} cells: {first(small.index)}"
    return "warning", found, _POOL
