"""Windows assembled a second, beside a loader that makes them one by one: python benchmarks/feeding.py

Both read the same windows in the same order and are compared before they are timed. The loader beside is a torch Dataset
whose ``__getitem__`` takes the rows of one window out of the same arrays, collated by a DataLoader: what a first version is
written like. Orders with and without worker processes are compared too.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable

import numpy as np
import torch
from _measure import about, medians
from _simulated import random_mdata
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from scget.data import TokenSource, WindowBatches, Windows, build_table, fit_scaling, lay_tokens, training_windows

SETUP = {"modalities": {"atac_layer": "atac", "rna_layer": "rna"}, "atac_layer": None, "rna_layer": None}


class OneByOne(Dataset[tuple[np.ndarray, np.ndarray]]):
    """A window at a time, by numpy from the arrays of ``source``."""

    def __init__(self, source: TokenSource, windows: Windows, order: np.ndarray) -> None:
        self.windows, self.order, self.center_p = windows, order, source.center_p.numpy()
        self.motif_pm = source.token_pf[:, : source.n_motifs].numpy()
        self.open_kp, self.mean_p = source.open_kp.numpy(), source.mean_p.numpy()

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        index_r, row = self.windows.regions(self.order[i : i + 1])[0], self.windows.row_w[self.order[i]]
        open_r = self.open_kp[row, index_r]
        fold_r = np.nan_to_num(open_r - self.mean_p[index_r])
        return np.column_stack([self.motif_pm[index_r], open_r, fold_r]), self.center_p[index_r]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=150_000)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--window", type=int, default=200)
    parser.add_argument(
        "--batches", type=int, default=60, help="read for each figure; the other loader a tenth of them"
    )
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print(about(), flush=True)
    print(
        f"{args.rows} rows x {args.regions:,} regions x 284 features, windows of {args.window}; batch | windows/s, one by one"
    )
    for batch_size in (32, 128):
        found = speeds(args.regions, args.rows, args.window, batch_size, args.batches, args.repeats)
        print(f"{batch_size:4d}", *(f"{name} {speed:9,.0f}" for name, speed in found.items()), flush=True)
    print(
        "same batches in the same order with 0, 1 and 2 worker processes:",
        same_order(args.regions, args.rows, args.window),
    )


def speeds(n_regions: int, n_rows: int, size: int, batch_size: int, n_batches: int, repeats: int) -> dict[str, float]:
    """Windows a second: gathered, of the index alone, and one by one."""
    source, windows = made(n_regions, n_rows, size)
    batches = WindowBatches(windows, batch_size, rng=np.random.default_rng(0))
    order, n_batches = np.concatenate(batches.parts), min(n_batches, len(batches))
    n_few = max(n_batches // 10, 1)
    single = DataLoader(OneByOne(source, windows, order[: n_few * batch_size]), batch_size)
    for (row_b, index_br), (tokens_brf, center_br) in zip(batches, single, strict=False):
        batch = source.gather(row_b, index_br)
        if len(tokens_brf) == len(row_b) and not (
            torch.equal(batch.tokens_brf, tokens_brf) and torch.equal(batch.center_br, center_br)
        ):
            raise RuntimeError("the two loaders give different windows")
    ways = {
        "gathered": lambda: drain(source.gather(*batches[i]).tokens_brf for i in range(n_batches)),
        "one by one": lambda: drain(single),
    }
    seconds = medians(ways, repeats)
    read = {"gathered": sum(len(part) for part in batches.parts[:n_batches]), "one by one": len(single.dataset)}
    return {name: read[name] / seconds[name] for name in ways}


def drain(batches: Iterable[object]) -> None:
    for _ in batches:
        pass


def made(n_regions: int, n_rows: int, size: int) -> tuple[TokenSource, Windows]:
    """Features of random rows, all regions open, and training windows over them."""
    table = build_table(random_mdata(n_rows, n_regions, n_genes=n_regions // 10, open_share=1.0), SETUP)
    row_k, every_p = np.arange(n_rows), np.ones(n_regions, dtype=bool)
    scaling = fit_scaling(table, row_k, every_p)
    tokens = lay_tokens(table.counts_kp, table.is_promoter_p, table.chrom_p, row_k, every_p)
    return TokenSource(table, scaling, targets=scaling.targets(table)), training_windows(tokens, size, size // 2)


def same_order(n_regions: int, n_rows: int, size: int) -> bool:
    """Whether an epoch's windows are the same for any number of workers."""
    _, windows = made(n_regions, n_rows, size)
    epochs = []
    for n_workers in (0, 1, 2):
        batches = WindowBatches(windows, 32, rng=np.random.default_rng(1))
        epochs.append([*DataLoader(batches, batch_size=None, num_workers=n_workers)])
    return all(_equal(first, other) for other in epochs[1:] for first, other in zip(epochs[0], other, strict=True))


def _equal(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def ratios(quick: bool = False) -> dict[str, float]:
    """Windows a second over those of the loader beside."""
    found = speeds(50_000 if quick else 150_000, 2, 200, 32, 30 if quick else 60, 5)
    return {"windows gathered over one by one": found["gathered"] / found["one by one"]}


if __name__ == "__main__":
    main()
