"""What attributing genes costs beside predicting them, in one run: python benchmarks/attribution.py

Three costs of predicting are set beside it: a forward pass of a window per gene, which is how a single gene is predicted; the
same with the last block computed for the gene's region alone, as attribution does it; and all windows of these genes, each
once, which is how a whole row is predicted. Genes stand one after the other along the genome, so that a window is shared as it
is where all genes of a row are asked. Data and weights are random: time does not hang on them. With --memory, peak
memory against the number of genes, each in a process of its own.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import torch
from _measure import about, in_process, medians, peak_memory
from _simulated import random_mdata, untrained

import scget
from scget.model._gene_windows import GeneWindows

ROW, LAID = ["row0"], "laid"
MEMORY_GENES = (2_500, 5_000, 10_000, 20_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genes", type=int, default=1000, help="asked, of 20,000 among 100,000 open regions")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    network = {"width": args.width, "n_layers": args.layers, "n_heads": args.heads, "window": args.window}
    if args.one:
        print(*peak(args.one, network))
        return
    print(about(), flush=True)
    if args.memory:
        print("genes | seconds | peak memory beyond that of one gene, GB")
        for n_genes in MEMORY_GENES:
            given = [f"--{name}={getattr(args, name)}" for name in ("width", "layers", "heads", "window")]
            seconds, memory = in_process(__file__, *given, "--one", n_genes)[-1].split()
            print(f"{n_genes:6,d} {float(seconds):8.1f} {float(memory):6.2f}", flush=True)
        return
    seconds = costs(made(network), args.genes, args.repeats)
    print(
        f"{args.genes} genes, {args.window} regions, width {args.width}, {args.layers} layers; CPU seconds, medians, less"
    )
    print(f"{seconds.pop(LAID):.2f} s of reading the data and laying windows, which is in each")
    for name, value in seconds.items():
        of_each, of_row = (value / seconds[base] for base in ("predict, a pass per gene", "predict, each window once"))
        print(f"{name:32s} {value:8.2f} s  {of_each:5.2f} x  {of_row:5.1f} x")


def made(network: dict[str, int], n_regions: int = 100_000) -> scget.model.GET:
    """Rows of open regions, a gene at every fifth, and a network for them."""
    return untrained(random_mdata(2, n_regions, n_genes=n_regions // 5, open_share=1.0), **network)


def costs(model: scget.model.GET, n_genes: int, repeats: int) -> dict[str, float]:
    """CPU seconds of each way, and (``LAID``) of what they have in common, which is taken off."""
    table = model.table()
    able = table.promoters.gene_n[np.argsort(table.promoters.region_q[table.promoters.slot_n])]
    asked = {"genes": table.genes[able[:n_genes]].tolist(), "rows": ROW}
    ways = {
        LAID: lambda: laid(model, **asked),
        "predict, a pass per gene": lambda: predict_each(laid(model, **asked), alone=False),
        "predict, its region alone": lambda: predict_each(laid(model, **asked), alone=True),
        "predict, each window once": lambda: predict_windows(laid(model, **asked)),
        "attribute, gradient": lambda: model.attribute(**asked),
        "links, gradient": lambda: model.links(**asked, score="gradient"),
        "links, published": lambda: model.links(**asked, score="published"),
    }
    seconds = medians(ways, repeats, clock=time.process_time)
    return {name: value - seconds[LAID] * (name != LAID) for name, value in seconds.items()}


def laid(model: scget.model.GET, genes: list[str], rows: list[str]) -> GeneWindows:
    """Data read and windows laid, as each of the verbs does first."""
    return GeneWindows.of(model, model.table(), genes, rows, 32)


@torch.inference_mode()
def predict_each(where: GeneWindows, *, alone: bool) -> None:
    """A forward pass of a window per gene, as a single gene is predicted; ``alone``: the last block for its region only."""
    for part in where.parts(32, "predict"):
        batch = part.batch
        where.net(batch.tokens_brf, batch.center_br, batch.pad_br, part.token_b if alone else None)


@torch.inference_mode()
def predict_windows(where: GeneWindows) -> None:
    """A forward pass of each window that the genes are read from."""
    window_w = np.unique(where.jobs["window"])
    for low in range(0, len(window_w), 32):
        index_br = torch.from_numpy(where.windows.regions(window_w[low : low + 32]))
        batch = where.source.gather(torch.from_numpy(where.windows.row_w[window_w[low : low + 32]]), index_br)
        where.net(batch.tokens_brf, batch.center_br, batch.pad_br)


def peak(n_genes: int, network: dict[str, int]) -> tuple[float, float]:
    """Seconds of attributing so many genes, and peak memory beyond that of attributing one."""
    model = made(network)
    names = model.table().genes
    model.attribute(genes=[names[0]], rows=ROW)
    before, begin = peak_memory(), time.perf_counter()
    model.attribute(genes=list(names[:n_genes]), rows=ROW)
    return time.perf_counter() - begin, peak_memory() - before


def ratios(quick: bool = False) -> dict[str, float]:
    """Predicting genes one by one over attributing them: 1/4 is what was asked for."""
    network = {"width": 64, "n_layers": 2, "n_heads": 4, "window": 64}
    found = costs(made(network, 10_000 if quick else 100_000), 300 if quick else 1000, 5)
    return {f"predict one by one over {name}": found["predict, a pass per gene"] / found[name] for name in [*found][4:]}


if __name__ == "__main__":
    main()
