"""Runs of consecutive regions on one chromosome, as positions and never as labels.

A row's tokens are the regions it shows to the network. All rows' tokens lie end to end in one flat array; a window is
a start in it and the end of its chromosome's run, so no window can leave its row or its chromosome.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Closed = Literal["drop", "promoters", "keep"]


@dataclass(frozen=True)
class Tokens:
    """Regions shown per row, in genome order: ``region_t`` flat over rows, in runs of one row and chromosome."""

    region_t: np.ndarray
    row_u: np.ndarray
    chrom_u: np.ndarray
    start_u: np.ndarray
    stop_u: np.ndarray


@dataclass(frozen=True)
class Windows:
    """Windows of ``size`` tokens: row, first token, end of the run, and (for predictions) the tokens read from each.

    ``focus_window_n``, ``focus_token_n``: which window each token to predict is read from, one window per token.
    """

    region_t: np.ndarray
    row_w: np.ndarray
    start_w: np.ndarray
    stop_w: np.ndarray
    size: int
    focus_window_n: Any = None
    focus_token_n: Any = None

    def __len__(self) -> int:
        return len(self.row_w)

    def regions(self, which: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Positions of regions, (window, size); -1 after the chromosome's last."""
        at = self.start_w[which][:, None] + np.arange(self.size)
        inside = at < self.stop_w[which][:, None]
        return np.where(inside, self.region_t[np.where(inside, at, 0)], -1).astype(np.int64)


def lay_tokens(
    counts_kp: np.ndarray,
    is_promoter_p: np.ndarray,
    chrom_p: np.ndarray,
    row_k: np.ndarray,
    region_p: np.ndarray,
    *,
    closed: Closed = "promoters",
) -> Tokens:
    """Choose the tokens of each row.

    Parameters
    ----------
    counts_kp
        Accessibility; a region with 0 is closed.
    is_promoter_p
        True where a gene starts.
    chrom_p
        Chromosome code, non-decreasing: regions are in genome order.
    row_k
        Positions of the rows wanted.
    region_p
        True for the regions that may be shown.
    closed
        Which closed regions are tokens: none (as published), promoters, or all.
    """
    kept_p = {"drop": np.zeros_like(region_p), "promoters": is_promoter_p, "keep": np.ones_like(region_p)}[closed]
    flat, runs, offset = [], [], 0
    for row in row_k:
        shown = np.flatnonzero(((counts_kp[row] > 0) | kept_p) & region_p)
        chroms, first = np.unique(chrom_p[shown], return_index=True)
        edges = offset + np.r_[first, len(shown)]
        runs.append(np.stack([np.full(len(chroms), row), chroms, edges[:-1], edges[1:]]))
        flat.append(shown.astype(np.int32))  # half the memory, of all that is shown in all rows
        offset += len(shown)
    row_u, chrom_u, start_u, stop_u = np.concatenate(runs, axis=1).astype(np.int64)
    return Tokens(np.concatenate(flat), row_u, chrom_u, start_u, stop_u)


def training_windows(
    tokens: Tokens,
    size: int,
    step: int,
    *,
    rng: np.random.Generator | None = None,
    wanted_p: np.ndarray | None = None,
    start_p: np.ndarray | None = None,
    max_span: int | None = None,
) -> Windows:
    """Windows every ``step`` tokens, the last of a run aligned to its end, so every token is in one.

    Parameters
    ----------
    tokens
        From :func:`lay_tokens`.
    size, step
        Tokens per window and between starts. A run shorter than ``size`` is one window, padded to the longest run.
    rng
        Shifts each start uniformly within [-step/2, step/2), clipped to the run. None: no shift.
    wanted_p
        Keep only windows that hold at least one such region.
    start_p, max_span
        Starts of regions; keep only windows whose first and last start lie at most ``max_span`` bp apart.
    """
    size = _within(tokens, size)
    run_w, start_w = _starts(tokens, size, step)
    if rng is not None:
        start_w = start_w + rng.integers(-(step // 2), max(step - step // 2, 1), size=len(start_w))
        last = np.maximum(tokens.stop_u - size, tokens.start_u)[run_w]
        start_w = np.clip(start_w, tokens.start_u[run_w], last)
    stop_w = tokens.stop_u[run_w]
    end_w, keep_w = np.minimum(start_w + size, stop_w), np.ones(len(start_w), dtype=bool)
    if wanted_p is not None:
        before = np.r_[np.int32(0), np.cumsum(wanted_p[tokens.region_t], dtype=np.int32)]
        keep_w &= before[end_w] > before[start_w]
    if start_p is not None and max_span is not None:
        start_t = start_p[tokens.region_t]
        keep_w &= start_t[end_w - 1] - start_t[start_w] <= max_span
    return Windows(tokens.region_t, tokens.row_u[run_w[keep_w]], start_w[keep_w], stop_w[keep_w], size)


def prediction_windows(tokens: Tokens, size: int, wanted_p: np.ndarray) -> Windows:
    """For each token whose region is wanted, the one window in which it stands most central."""
    size = _within(tokens, size)
    run_w, start_w = _starts(tokens, size, max(size // 2, 1))
    first_w = np.searchsorted(run_w, np.arange(len(tokens.row_u)))  # first window of each run
    token_n = np.flatnonzero(wanted_p[tokens.region_t])
    run_n = np.searchsorted(tokens.start_u, token_n, side="right") - 1
    middle_n = token_n - size // 2  # the start that would put the token in the middle
    window_n = np.searchsorted(start_w, middle_n, side="right") - 1
    last_n = np.r_[first_w[1:], len(run_w)][run_n] - 1
    window_n = np.clip(window_n, first_w[run_n], last_n)
    after_n = np.minimum(window_n + 1, last_n)
    nearer = np.abs(start_w[after_n] - middle_n) < np.abs(start_w[window_n] - middle_n)
    window_n = np.where(nearer, after_n, window_n)
    used, focus_window_n = np.unique(window_n, return_inverse=True)
    run_w, start_w = run_w[used], start_w[used]
    offset_n = token_n - start_w[focus_window_n]
    return Windows(tokens.region_t, tokens.row_u[run_w], start_w, tokens.stop_u[run_w], size, focus_window_n, offset_n)


def sampled_windows(tokens: Tokens, size: int, n: int, rng: np.random.Generator) -> Windows:
    """``n`` different windows without padding, each place as likely as any other; all, where there are no more."""
    size = _within(tokens, size)
    n_u = np.maximum(tokens.stop_u - tokens.start_u - size + 1, 0)  # places in each run
    first_u = np.cumsum(n_u) - n_u
    place_w = np.sort(rng.choice(int(n_u.sum()), min(n, int(n_u.sum())), replace=False))
    run_w = np.searchsorted(first_u + n_u, place_w, side="right")
    start_w = tokens.start_u[run_w] + place_w - first_u[run_w]
    return Windows(tokens.region_t, tokens.row_u[run_w], start_w, tokens.stop_u[run_w], size)


def _within(tokens: Tokens, size: int) -> int:
    """``size``, or the length of the longest run if no run has so many: more would be padding in every window."""
    return max(min(size, int((tokens.stop_u - tokens.start_u).max(initial=0))), 1)


def _starts(tokens: Tokens, size: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Run and start of each window, in flat order."""
    last_u = np.maximum(tokens.stop_u - tokens.start_u - size, 0)  # offset of a run's last window
    n_u = -(-last_u // step) + 1
    run_w = np.repeat(np.arange(len(n_u)), n_u)
    nth_w = np.arange(len(run_w)) - np.repeat(np.cumsum(n_u) - n_u, n_u)
    return run_w, tokens.start_u[run_w] + np.minimum(nth_w * step, last_u[run_w])
