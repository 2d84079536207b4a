"""Exact motif scanning on the CPU: thresholds from p-values and the compiled inner loop.

A motif on a strand is a row. Most positions of a row are dismissed by a filter that adds, for every ``WORD`` bases, an
upper bound of the log-odds from a table of all words; four rows are added at once as the 16-bit lanes of one 64-bit
number, whose highest bits then say which rows may have reached their threshold. Only these get a float64 sum, which decides.
The run time does not depend on sequence or p-value.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from scipy.sparse import csr_matrix

GRID = 1e-3  # bits; step of the score distribution from which thresholds are taken
WORD = 5  # bases looked up at once: a table of 4**5 x 8 bytes stays in the processor's first cache
LANES = 4  # rows in a 64-bit number
UNIT = 1 / 256  # bits; resolution of the filter
FLAG = 0x8000  # highest bit of a lane
BLOCK = 128  # regions a thread takes at once


def log_odds(probabilities: np.ndarray, background: np.ndarray, pseudocount: float) -> np.ndarray:
    """Log-odds in bits, (w, 4): ``log2((p + c b) / (1 + c) / b)`` for pseudocount ``c`` and background ``b``."""
    return np.log2((probabilities + pseudocount * background) / (1 + pseudocount) / background)


def threshold(scores: np.ndarray, background: np.ndarray, pvalue: float) -> float:
    """Lowest score that words of background bases reach with probability <= ``pvalue``; infinite where none does.

    The distribution of the distance to the best word is computed by dynamic programming, the distances of single
    bases rounded to ``GRID`` bits; the threshold lies midway between the last distance allowed and the next one
    that occurs. It is never below 0.
    """
    best = scores.max(axis=1).sum()
    loss = np.rint((scores.max(axis=1, keepdims=True) - scores) / GRID).astype(np.int64)
    n = max(int(best / GRID), 0) + 2  # distances beyond lead below 0
    mass = np.zeros(n)
    mass[0] = 1.0
    for column in loss:
        new = np.zeros(n)
        for step, probability in zip(column, background, strict=True):
            if step < n:
                new[step:] += probability * mass[: n - step]
        mass = new
    occurs = np.flatnonzero(mass)
    allowed = int(np.count_nonzero(np.cumsum(mass[occurs]) <= pvalue * (1 + 1e-12)))
    if allowed == 0:
        return np.inf
    if allowed == len(occurs):
        return 0.0
    return max(0.0, best - GRID * (occurs[allowed - 1] + occurs[allowed]) / 2)


def tables_and_limits(
    motifs: Iterable[np.ndarray], background: Sequence[float] | np.ndarray, pseudocount: float, pvalue: float
) -> tuple[list[np.ndarray], np.ndarray]:
    """Log-odds and threshold of each motif, given as probabilities (w, 4)."""
    of_bases = np.asarray(background, dtype=np.float64)
    tables = [log_odds(np.asarray(motif, dtype=np.float64), of_bases, pseudocount) for motif in motifs]
    return tables, np.array([threshold(table, of_bases, pvalue) for table in tables])


@dataclass(frozen=True)
class Scanner:
    """Motifs made ready for scanning; rows are motifs x strands, padded to a multiple of ``LANES``."""

    scores: np.ndarray  # (row, w, 5) float64 bits; an unknown base is -inf
    width: np.ndarray  # (row,) columns
    limit: np.ndarray  # (row,) bits; threshold
    motif: np.ndarray  # (row,) index of the motif
    tables: np.ndarray  # (words of all groups, 4**WORD) uint64, the filter
    n_words: np.ndarray  # (group,) words in the widest row of each LANES rows


def make_scanner(motifs: Sequence[np.ndarray], thresholds: np.ndarray) -> Scanner:
    """Lay out log-odds of ``motifs``, each (w, 4) in bits, on both strands; those of infinite threshold are left out."""
    use = [i for i in np.argsort([len(m) for m in motifs], kind="stable") if np.isfinite(thresholds[i])]
    rows = [m for i in use for m in (motifs[i], motifs[i][::-1, ::-1])]
    n = -(-len(rows) // LANES) * LANES
    width = np.array([len(m) for m in rows] + [1] * (n - len(rows)), dtype=np.int64)
    limit = np.full(n, np.inf)
    limit[: len(rows)] = np.repeat(thresholds[use], 2)
    motif = np.zeros(n, dtype=np.int64)
    motif[: len(rows)] = np.repeat(use, 2)
    n_words = -(-width.reshape(-1, LANES).max(axis=1, initial=1) // WORD)
    scores = np.zeros((n, width.max(initial=1), 5))
    scores[:, :, 4] = -np.inf
    tables = np.zeros((n_words.sum(), 4**WORD), dtype=np.uint64)
    ends = np.cumsum(n_words)
    for r, m in enumerate(rows):
        scores[r, : len(m), :4] = m
        group, lane = divmod(r, LANES)
        own = tables[ends[group] - n_words[group] : ends[group]]
        own |= _lane(m, limit[r], n_words[group]) << np.uint64(16 * lane)
    return Scanner(scores, width, limit, motif, tables, n_words)


def _lane(scores: np.ndarray, limit: float, n_words: int) -> np.ndarray:
    """Upper bounds of a row for every word, ``(n_words, 4**WORD)``; a sum reaches FLAG if it can reach the limit.

    Scores are counted in units, rounded up, and from a floor, so that every sum lies in 0 .. 2**16 - 1.
    """
    unit = max(UNIT, scores.max(axis=1).sum() / (FLAG - 100))
    columns = np.zeros((n_words * WORD, 4))
    columns[: len(scores)] = scores
    words = np.zeros((n_words, 1))
    for j in range(WORD):
        words = (words[:, :, None] + columns[j::WORD][:, None, :]).reshape(n_words, -1)
    need = int(limit / unit) - 1  # one less: float64 rounding before the rounding up
    floor = (FLAG - need) // n_words
    counts = np.maximum(np.ceil(words / unit).astype(np.int64), -floor) + floor
    counts[0] += FLAG - need - n_words * floor
    return counts.astype(np.uint64)


Hits = tuple[np.ndarray, np.ndarray, np.ndarray]  # position in the codes, row of the scanner, score in bits


@njit(nogil=True)
def _read_words(codes: np.ndarray, k: int) -> np.ndarray:
    """Word of k bases that begins at each position, first base in the highest bits; what is no base reads as A."""
    words = np.zeros(len(codes), dtype=np.uint16)
    word = 0
    for x in range(len(codes) - 1, -1, -1):
        word = (word >> 2) | ((codes[x] & 3) << (2 * (k - 1)))
        words[x] = word
    return words


@njit(nogil=True)
def _add_bounds(bound: np.ndarray, table: np.ndarray, words: np.ndarray, k: int) -> None:
    """Upper bounds of a group's rows, four in a number, at each position of ``bound``."""
    for x in range(len(bound)):
        bound[x] = table[0, words[x]]
    for j in range(1, len(table)):
        column, later = table[j], words[j * k : j * k + len(bound)]
        for x in range(len(bound)):
            bound[x] += column[later[x]]


@njit(nogil=True)
def _total(codes: np.ndarray, x: int, scores: np.ndarray, row: int, width: int) -> float:
    """Log-odds of a row at position x; what decides, on the CPU and on a GPU."""
    total = 0.0
    for j in range(width):
        total += scores[row, j, codes[x + j]]
    return total


@njit(nogil=True)
def _totals(
    codes: np.ndarray, ends: np.ndarray, scores: np.ndarray, width: np.ndarray, at: np.ndarray, row: np.ndarray
) -> np.ndarray:
    """Log-odds of each row at each position; -inf where the motif would pass the end of the region."""
    total = np.full(len(at), -np.inf)
    for i in range(len(at)):
        if at[i] + width[row[i]] <= ends[i]:
            total[i] = _total(codes, at[i], scores, row[i], width[row[i]])
    return total


@njit(nogil=True)
def _hits(
    codes: np.ndarray,
    offsets: np.ndarray,
    scores: np.ndarray,
    width: np.ndarray,
    limit: np.ndarray,
    tables: np.ndarray,
    n_words: np.ndarray,
    words: np.ndarray,
    bounds: np.ndarray,
    k: int,
    at: np.ndarray,
    row: np.ndarray,
    score: np.ndarray,
) -> int:
    """Write position, row and score of every hit as far as there is room; return their number."""
    n, first = 0, 0
    flags = np.uint64(0x8000800080008000)
    for group in range(len(n_words)):
        table = tables[first : first + n_words[group]]
        first += n_words[group]
        for i in range(len(offsets) - 1):
            bound = bounds[: offsets[i + 1] - offsets[i]]
            _add_bounds(bound, table, words[offsets[i] :], k)
            for x in range(len(bound)):
                if bound[x] & flags == 0:
                    continue
                for r in range(LANES * group, LANES * (group + 1)):
                    if x + width[r] > len(bound):
                        continue
                    total = _total(codes, offsets[i] + x, scores, r, width[r])
                    if total >= limit[r]:
                        if n < len(at):
                            at[n], row[n], score[n] = offsets[i] + x, r, total
                        n += 1
    return n


def find_hits(scanner: Scanner, codes: np.ndarray, offsets: np.ndarray) -> Hits:
    """Position in ``codes``, row of the scanner and score in bits of every hit that lies within one region."""
    s = scanner
    pad = np.full(int(s.n_words.max(initial=1)) * WORD, 4, dtype=np.uint8)  # the widest motif may look past the end
    part = np.concatenate([codes[offsets[0] : offsets[-1]], pad])
    begin = offsets - offsets[0]
    words = _read_words(part, WORD)
    bounds = np.empty(np.diff(offsets).max(initial=0), dtype=np.uint64)
    n, room = 1, 0
    while n > room:  # twice at most
        room = max(n, 1 << 16)
        at, row, score = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64), np.empty(room)
        n = _hits(part, begin, s.scores, s.width, s.limit, s.tables, s.n_words, words, bounds, WORD, at, row, score)
    return at[:n] + offsets[0], row[:n], score[:n]


def confirm_hits(scanner: Scanner, codes: np.ndarray, offsets: np.ndarray, at: np.ndarray, row: np.ndarray) -> Hits:
    """Of proposed positions in ``codes`` and rows, those that are hits, with their score in bits."""
    ends = offsets[np.searchsorted(offsets, at, side="right")]
    score = _totals(codes, ends, scanner.scores, scanner.width, at, row)
    hit = score >= scanner.limit[row]
    return at[hit], row[hit], score[hit]


def sum_hits(at: np.ndarray, cluster: np.ndarray, score: np.ndarray, offsets: np.ndarray, n: int) -> csr_matrix:
    """Sum over positions of the best hit of each cluster, ``(regions, n)`` float32."""
    key = at * n + cluster
    order = np.argsort(key, kind="stable")
    key = key[order]
    begin = np.flatnonzero(np.r_[True, key[1:] != key[:-1]][: len(key)])
    best = np.maximum.reduceat(score[order], begin) if len(begin) else score
    region = np.searchsorted(offsets, key[begin] // n, side="right") - 1
    total = csr_matrix((best, (region, key[begin] % n)), shape=(len(offsets) - 1, n))  # adds up what falls together
    return total.astype(np.float32)


def scan(
    scanner: Scanner,
    cluster: np.ndarray,
    n_clusters: int,
    codes: np.ndarray,
    offsets: np.ndarray,
    find: Callable[[np.ndarray, np.ndarray], Hits] | None = None,
    threads: int | None = None,
) -> Iterator[csr_matrix]:
    """Score regions ``codes[offsets[i] : offsets[i + 1]]`` (0..3 = ACGT, 4 = other) in order, a block at a time.

    ``find`` of codes and offsets is by default :func:`find_hits`, ``threads`` the number of processors.
    """

    def one(begin: int) -> Any:
        part = offsets[begin : begin + BLOCK + 1]
        at, row, score = find(codes, part) if find else find_hits(scanner, codes, part)
        return sum_hits(at, cluster[scanner.motif[row]], score, part, n_clusters)

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(threads or cpus) as pool:
        yield from pool.map(one, range(0, len(offsets) - 1, BLOCK))
