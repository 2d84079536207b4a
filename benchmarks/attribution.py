"""What attributing genes costs beside predicting them, in one run: python benchmarks/attribution.py

Three costs of predicting are set beside it: a forward pass of a window per gene, which is how a single gene is predicted; the
same with the last block computed for the gene's region alone, as attribution does it; and `GET.predict`, where all genes of
a row that stand in one window share its pass. The network is not trained: time does not depend on it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings

import numpy as np
import torch

import scget
from scget.model._gene_windows import GeneWindows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genes", type=int, default=1000)
    parser.add_argument("--chroms", type=int, default=8, help="of 600 regions and about 140 genes each")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        model = made(folder, args)
    table = model.table()
    able = table.genes[np.unique(table.promoters.gene_n)].astype(str)
    genes = sorted(np.random.default_rng(0).choice(able, min(args.genes, len(able)), replace=False))
    asked = {"genes": genes, "rows": ["type01"]}
    ways = {
        "predict, a pass per gene": lambda: predict_each(model, **asked),
        "predict, its region alone": lambda: read_each(model, **asked),
        "predict the whole row": lambda: model.predict(rows=["type01"]),
        "attribute, gradient": lambda: model.attribute(**asked),
        "links, gradient": lambda: model.links(**asked, score="gradient"),
        "links, published": lambda: model.links(**asked, score="published"),
    }
    seconds = dict.fromkeys(ways, np.inf)
    for _ in range(args.repeats):  # in turn, so that what else the machine does falls on all
        for name, way in ways.items():
            begin = time.process_time()
            way()
            seconds[name] = min(seconds[name], time.process_time() - begin)
    base = seconds["predict, a pass per gene"]
    print(
        f"{len(genes)} genes, {model.window} regions, width {args.width}, {args.layers} layers; CPU seconds, least of runs"
    )
    for name, value in seconds.items():
        print(f"{name:32s} {value:7.2f} s  {value / base:5.2f} x  {value / seconds['predict the whole row']:5.1f} x")


def made(folder: str, args: argparse.Namespace) -> scget.model.GET:
    data = scget.datasets.simulated(folder, n_cells=5, n_chroms=args.chroms)
    scget.pp.motif_scores(data.mdata, data.genome, motifs=data.motifs)
    scget.pp.promoters(data.mdata, data.annotation)
    pb = scget.pp.pseudobulk(data.mdata, "cell_type")
    scget.model.GET.setup_mudata(pb)
    heads = max(args.width // 16, 1)
    model = scget.model.GET(pb, width=args.width, n_layers=args.layers, n_heads=heads, window=args.window)
    model.train(1, enable_progress_bar=False)
    return model


@torch.inference_mode()
def predict_each(model: scget.model.GET, genes: list[str], rows: list[str]) -> None:
    where = GeneWindows.of(model, model.table(), genes, rows, 32)
    for part in where.parts(32, "predict"):
        model.module(part.batch.tokens_brf, part.batch.center_br, part.batch.pad_br)


@torch.inference_mode()
def read_each(model: scget.model.GET, genes: list[str], rows: list[str]) -> None:
    where = GeneWindows.of(model, model.table(), genes, rows, 32)
    for part in where.parts(32, "predict"):
        where.read(part, part.batch.tokens_brf)


if __name__ == "__main__":
    main()
