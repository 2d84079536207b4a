"""How fast is the motif scan, how much memory does it take, and how much faster is it than plain numpy?

    python benchmarks/scan_speed.py MOTIFS.meme[.gz] [--regions 100000] [--length 500] [--motifs 637] [--repeats 3]

All in one run, on random sequence. "read" is from a plain FASTA with its index; "scan" is from sequences to the sparse
matrix, thresholds included, compilation not. Memory is the peak above what was held before the scan, less the result (of
the first scan, as a peak is not taken back). numpy is one process and float64, one motif and strand at a time, on
``--small`` regions x motifs (taken evenly from all), scaled by regions x motifs; "windows" multiplies sliding windows of
one-hot bases with the motif, "columns" looks up and adds one column after the other. Both must give the scan's scores.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from scget.pp import _scan
from scget.pp._genome import read_sequences
from scget.pp._motif_sets import read_motifs
from scget.pp._motifs import BACKGROUND, scan_regions
from scget.pp._regions import Regions

B = np.array(BACKGROUND)
MB = 1e6


def windows(codes: np.ndarray, log: np.ndarray) -> np.ndarray:
    return np.einsum("rxbj,jb->rx", sliding_window_view(np.eye(4)[codes], len(log), axis=1), log)


def columns(codes: np.ndarray, log: np.ndarray) -> np.ndarray:
    n = codes.shape[1] - len(log) + 1
    scores = np.zeros((len(codes), n))
    for j, column in enumerate(log):
        scores += column[codes[:, j : j + n]]
    return scores


def naive(score: Callable[..., np.ndarray], codes: np.ndarray, logs: list, limits: np.ndarray) -> np.ndarray:
    """Regions x motifs: the better strand at each position, summed where it reaches the threshold."""
    out = np.zeros((len(codes), len(logs)))
    for m, (log, limit) in enumerate(zip(logs, limits, strict=True)):
        best = np.maximum(score(codes, log), score(codes, log[::-1, ::-1]))
        out[:, m] = np.where(best >= limit, best, 0).sum(axis=1)
    return out


def peak() -> float:
    """Most memory ever held, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def held() -> float:
    """Memory held now, bytes; where that is not told, the most ever held."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * resource.getpagesize() if statm.exists() else peak()


def timed(function: Callable, repeats: int) -> tuple[float, object]:
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - begin)
    return median(seconds), result


def machine() -> str:
    info = Path("/proc/cpuinfo")
    models = (
        [s.split(":")[1].strip() for s in info.read_text().splitlines() if "model name" in s] if info.exists() else []
    )
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = ", ".join(f"{name} {version(name)}" for name in ("scget", "numpy", "scipy", "numba"))
    return (
        f"{models[0] if models else platform.machine()}, {cpus} processors, load {os.getloadavg()[0]:.1f} before the run; "
        f"{platform.system()}, python {platform.python_version()}, {versions}"
    )


def sequences(n: int, length: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Random bases as a FASTA gives them, and the seconds of reading."""
    rng = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        fasta = Path(folder) / "random.fa"
        with fasta.open("wb") as file:
            file.write(b">chr1\n")
            for _ in range(n):
                bases = np.frombuffer(b"ACGT", dtype=np.uint8)[rng.choice(4, p=B, size=length)]
                file.write(bases.tobytes() + b"\n")
        start = np.arange(n) * length
        regions = Regions(np.full(n, "chr1", dtype=object), start, start + length)
        read_sequences(fasta, regions[:1])  # makes the index
        seconds, (codes, offsets) = timed(lambda: read_sequences(fasta, regions), 1)
    return codes, offsets, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("meme")
    for name, default in (("regions", 100_000), ("length", 500), ("motifs", 637), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--small", type=int, nargs=2, default=(200, 40), metavar=("REGIONS", "MOTIFS"))
    parser.add_argument("--device", default="cpu", help="'cuda' or 'mps': the matrix product on a GPU")
    a = parser.parse_args()
    print(machine(), flush=True)
    motifs = dict(list(read_motifs(a.meme).items())[: a.motifs])
    own = {name: name for name in motifs}
    codes, offsets, reading = sequences(a.regions, a.length)
    scan_regions(codes, offsets[:2], motifs, own, device=a.device)  # compiles
    before = held()
    first, (scores, names) = timed(lambda: scan_regions(codes, offsets, motifs, own, device=a.device), 1)
    result = scores.data.nbytes + scores.indices.nbytes + scores.indptr.nbytes
    above = peak() - before - result
    again = [
        timed(lambda: scan_regions(codes, offsets, motifs, own, device=a.device), 1)[0] for _ in range(a.repeats - 1)
    ]
    scanning = median([first, *again])

    some = [str(m) for m in names[:: max(1, len(names) // a.small[1])][: a.small[1]]]
    few = codes.reshape(a.regions, a.length)[: a.small[0]]
    logs = [_scan.log_odds(motifs[m], B, 0.01) for m in some]
    limits = np.array([_scan.threshold(log, B, 1e-4) for log in logs])
    wanted = scores[: len(few)][:, np.searchsorted(names.astype(str), some)].toarray()
    scale, cells = scores.shape[0] * scores.shape[1] / (len(few) * len(some)), []
    for way in (windows, columns):
        seconds, out = timed(lambda way=way: naive(way, few, logs, limits), a.repeats)
        cells.append(f"{seconds * scale:,.0f} s, {seconds * scale / scanning:.0f}x")
        print(f"numpy {way.__name__}: {seconds:.2f} s for {len(few)} regions x {len(some)} motifs ", end="")
        print(f"(median of {a.repeats}); largest difference of a score {np.abs(out - wanted).max():.1e}", flush=True)
    rate = 2 * codes.size * len(motifs) / scanning / 1e9
    print(
        "\n| regions x bp x motifs | read, s | scan, s (median) | 10^9 bp x motif x strand / s | memory above result, MB",
        end="",
    )
    print(" | result, MB | numpy windows, ratio | numpy columns, ratio |\n|---|--:|--:|--:|--:|--:|--:|--:|")
    print(f"| {a.regions:,} x {a.length} x {len(motifs)} | {reading:.1f} | {scanning:.1f} | {rate:.2f} ", end="")
    print(f"| {above / MB:,.0f} | {result / MB:,.0f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
