"""Motif scanners side by side: are the hits those of a float64 convolution, and how fast do they come?

    python benchmarks/scanners.py MOTIFS.meme[.gz] [--regions 2000] [--length 500] [--motifs 1443]

memelite and lightmotif are measured where they are installed. "first" is the first call, with compilation; "extra" and
"missing" are hits against the convolution with the same log-odds and threshold, on 200 regions x 40 motifs. memelite
fixes background (uniform) and bins of 0.1 bits, so its convolution has these log-odds and the exact threshold.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from scget.pp import _scan
from scget.pp._motif_sets import read_motifs
from scget.pp._motifs import BACKGROUND

B = np.array(BACKGROUND)
UNIFORM = np.full(4, 0.25)
P = 1e-4
COLUMNS = ["region", "motif", "strand", "start", "score"]


def table(region, motif, strand, start, score) -> pd.DataFrame:
    return pd.DataFrame(dict(zip(COLUMNS, (region, motif, strand, start, score), strict=True)))


def convolution(codes, logs, limits) -> pd.DataFrame:
    """All hits by float64 sums over one-hot bases."""
    hot = np.eye(4)[codes]
    found = []
    for m, (log, limit) in enumerate(zip(logs, limits, strict=True)):
        for strand, weights in enumerate((log, log[::-1, ::-1])):
            scores = np.einsum("rxbj,jb->rx", sliding_window_view(hot, len(log), axis=1), weights)
            region, start = np.nonzero(scores >= limit)
            found.append(table(region, m, strand, start, scores[region, start]))
    return pd.concat(found)


def scget(codes, motifs, logs, limits) -> pd.DataFrame:
    n, length = codes.shape
    scanner = _scan.make_scanner(logs, limits)
    found = []
    for begin in range(0, n, _scan.BLOCK * 2):  # two threads, as `_scan.scan` does, but keeping the hits
        starts = [s for s in (begin, begin + _scan.BLOCK) if s < n]
        offsets = [np.arange(s, min(s + _scan.BLOCK, n) + 1) * length for s in starts]
        with _scan.ThreadPoolExecutor(2) as pool:
            found += pool.map(lambda o: _scan.find_hits(scanner, codes.ravel(), o), offsets)
    at, row, score = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return table(at // length, scanner.motif[row], row % 2, at % length, score)


def product(codes, motifs, logs, limits) -> pd.DataFrame:
    """Matrix product of unfolded one-hot bases with all motifs, float32; hits rescored in float64."""
    width = max(map(len, logs))
    rows = [m for log in logs for m in (log, log[::-1, ::-1])]
    weights = np.zeros((len(rows), width, 4), dtype=np.float32)
    for r, m in enumerate(rows):
        weights[r, : len(m)] = m
    weights, need = weights.reshape(len(rows), -1).T.copy(), (np.repeat(limits, 2) - 1e-3).astype(np.float32)
    widths, found = np.array([len(m) for m in rows]), []
    hot = np.vstack([np.eye(4, dtype=np.float32), np.zeros(4, dtype=np.float32)])
    for i, region in enumerate(codes):
        x = hot[np.concatenate([region, np.full(width, 4, np.uint8)])]
        unfolded = sliding_window_view(x, width, axis=0)[: len(region)].transpose(0, 2, 1).reshape(len(region), -1)
        start, row = np.nonzero(unfolded @ weights >= need)
        for s, r in zip(start, row, strict=True):
            if s + widths[r] <= len(region):
                score = rows[r][np.arange(widths[r]), region[s : s + widths[r]]].sum()
                if score >= limits[r // 2]:
                    found.append((i, r // 2, r % 2, s, score))
    return pd.DataFrame(found, columns=COLUMNS)


def lightmotif(codes, motifs, logs, limits) -> pd.DataFrame:
    import lightmotif as lm

    n, length = codes.shape
    gap = max(map(len, logs))
    joined = np.full((n, length + gap), 4, dtype=np.uint8)
    joined[:, :length] = codes
    sequence = lm.stripe("".join(np.array(list("ACGTN"))[joined.ravel()]))
    found = []
    for m, (log, limit) in enumerate(zip(logs, limits, strict=True)):
        for strand, weights in enumerate((log, log[::-1, ::-1])):
            values = dict(zip("ACGT", weights.T.tolist(), strict=True)) | {"N": [-1e3] * len(weights)}
            hits = [(h.position, h.score) for h in lm.scan(lm.ScoringMatrix(values), sequence, threshold=float(limit))]
            at, score = np.array(hits).reshape(-1, 2).T
            at = at.astype(np.int64)
            found.append(table(at // (length + gap), m, strand, at % (length + gap), score))
    return pd.concat(found)


def memelite(codes, motifs, logs, limits) -> pd.DataFrame:
    from memelite import fimo

    hot = np.eye(4, dtype=np.int8)[codes].transpose(0, 2, 1).copy()
    hits = pd.concat([h for h in fimo({str(i): p.T for i, p in enumerate(motifs)}, hot, threshold=P) if len(h)])
    motif = hits["motif_name"].astype(int)
    return table(
        hits["sequence_name"].astype(int), motif, (hits["strand"] == "-").astype(int), hits["start"], hits["score"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("meme")
    for name, default in (("regions", 2000), ("length", 500), ("motifs", 1443)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    motifs = list(read_motifs(arguments.meme).values())[: arguments.motifs]
    begin = time.perf_counter()
    logs = [_scan.log_odds(p, B, 0.01) for p in motifs]
    limits = np.array([_scan.threshold(log, B, P) for log in logs])
    print(
        f"{len(motifs)} motifs, {arguments.regions} regions of {arguments.length} bp; thresholds {time.perf_counter() - begin:.1f} s"
    )
    codes = np.random.default_rng(0).choice(4, p=B, size=(arguments.regions, arguments.length)).astype(np.uint8)
    few = slice(None, None, max(1, len(motifs) // 40))
    small = codes[:200], motifs[few][:40], logs[few][:40], limits[few][:40]
    uniform_logs = [np.log2(p + 1e-4) - np.log2(0.25) for p in small[1]]
    uniform_limits = np.array([_scan.threshold(log, UNIFORM, P) for log in uniform_logs])
    oracles = {False: convolution(small[0], *small[2:]), True: convolution(small[0], uniform_logs, uniform_limits)}
    units = 2 * codes.size * len(motifs)
    tools: list[Callable] = [scget, product]
    tools += [t for t in (lightmotif, memelite) if importlib.util.find_spec(t.__name__)]
    print(f"{'tool':<12}{'first s':>9}{'s':>8}{'G/s':>8}{'hits':>10}{'extra':>8}{'missing':>9}{'max difference':>16}")
    for tool in tools:
        begin = time.perf_counter()
        hits = tool(*small)
        first = time.perf_counter() - begin
        both = oracles[tool is memelite].merge(
            hits.astype(dict.fromkeys(COLUMNS[:4], np.int64)), on=COLUMNS[:4], how="outer", suffixes=("", "_")
        )
        extra, missing = both["score"].isna().sum(), both["score_"].isna().sum()
        begin = time.perf_counter()
        n = len(tool(codes, motifs, logs, limits))
        seconds = time.perf_counter() - begin
        difference = (both["score"] - both["score_"]).abs().max()
        print(
            f"{tool.__name__:<12}{first:>9.2f}{seconds:>8.2f}{units / seconds / 1e9:>8.2f}{n:>10}{extra:>8}{missing:>9}{difference:>16.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
