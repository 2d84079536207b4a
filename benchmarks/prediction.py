"""Prediction by tiled windows beside one window per promoter: how many, how alike, how fast; and results streamed to disk.

    python benchmarks/prediction.py                              # trains a small model of blood first, Mono left out
    python benchmarks/prediction.py --model blood_model          # one that was saved; kept there where it is missing
    python benchmarks/prediction.py --parts windows stream       # some parts: windows, answers, time, stream

Human blood as in blood.py: 11 types, 451,283 regions. `windows` counts; `answers` asks one network both ways; `time` takes the
published size (768 x 12, untrained: time does not depend on weights) by batches and the small network by a whole row; `stream` needs
no blood: simulated rows, each run in a process of its own, for its memory.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _measure import about, in_process, medians, peak_memory
from _simulated import random_mdata, untrained
from blood import HELD_CHROMS, load
from mudata import MuData

import scget
from scget.data import RegionTable, Tokens, TokenSource, WindowBatches, Windows, lay_tokens, prediction_windows
from scget.model._expression import to_expression
from scget.model._infer import gene_activity, joined, lay_rows, predict_slots
from scget.module import ExpressionNet

PARTS = ("windows", "answers", "time", "stream")
SIZES = (200, 128)  # regions per window: published, and that of blood.py
SMALL = {"width": 64, "n_layers": 2, "n_heads": 2, "window": 128, "dropout": 0.2}  # the network of blood.py
FULL = {"width": 768, "n_layers": 12, "n_heads": 12}
N_REGIONS, PROMOTERS_EVERY, OPEN = 5_000, 5, 0.05  # of the simulated rows
FORMS = ("zarr", "h5ad", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "blood_hg19")
    parser.add_argument("--model", type=Path, help="folder of a small model of blood; made where it is missing")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--row", default="Mono", help="asked both ways, and left out of training (%(default)s)")
    parser.add_argument("--epochs", type=int, default=3, help="of the small model (%(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="windows at a time, full size (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each way (%(default)s)")
    parser.add_argument("--rows", type=int, default=1_000, help="streamed: so many, twice and four times (%(default)s)")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.one:
        stream_one(Path(args.one[0]), args.one[1], int(args.one[2]))
        return
    print(about(), flush=True)
    if set(args.parts) - {"stream"}:
        of_blood(args)
    if "stream" in args.parts:
        stream(args.rows)


def of_blood(args: argparse.Namespace) -> None:
    """The parts that need blood."""
    if not args.data.is_dir():
        raise SystemExit(f"no blood at {args.data}: give its folder by --data, or ask for --parts stream alone")
    mdata = load(args.data)
    scget.model.GET.setup_mudata(mdata)
    model = scget.model.GET(mdata, **SMALL)
    table = model.table()
    counted = {size: count(table, np.arange(len(table.rows)), size) for size in SIZES}
    if "windows" in args.parts:
        for size, windows in counted.items():
            print(f"\n## Windows of {size}\n\n{shown(windows)}", flush=True)
    if {"answers", "time"} & set(args.parts):
        model = trained(model, mdata, args)
    if "answers" in args.parts:
        print(f"\n## Answers in {args.row}, windows of {model.window}\n\n{answers(model, args.row)}", flush=True)
    if "time" in args.parts:
        print("\n## Time\n")
        print_time(model, args, counted[SIZES[0]])


def count(table: RegionTable, row_k: np.ndarray, size: int) -> pd.DataFrame:
    """Windows of each row: tiled, one per promoter region, and the fewest that hold each promoter centrally."""
    tokens = tokens_of(table, row_k)
    tiled = prediction_windows(tokens, size, table.is_promoter_p)
    row_n = tiled.row_w[tiled.focus_window_n]
    central_n = np.abs(tiled.focus_token_n - tiled.size // 2) <= tiled.size // 4
    lines = []
    for k in row_k:
        own = tokens.row_u == k
        lines.append(
            {
                "row": table.rows[k],
                "shown": int((tokens.stop_u - tokens.start_u)[own].sum()),
                "one per promoter": int((row_n == k).sum()),
                "tiled": int((tiled.row_w == k).sum()),
                "in the middle half": int(central_n[row_n == k].sum()),
                "fewest, middle half": fewest(table, tokens, own, size, 1 / 2),
                "fewest, middle 3/4": fewest(table, tokens, own, size, 3 / 4),
            }
        )
    counts = pd.DataFrame(lines).set_index("row")
    counts.loc["all"] = counts.sum()
    return counts


def shown(counts: pd.DataFrame) -> str:
    """Counts with their ratios; the middle half as a share of promoters."""
    table = counts.assign(**{"in the middle half": counts["in the middle half"] / counts["one per promoter"]})
    table.insert(3, "fewer", counts["one per promoter"] / counts["tiled"])
    formats = {"fewer": "{:.1f} x".format, "in the middle half": "{:.1%}".format}
    return table.to_string(formatters=formats)


def tokens_of(table: RegionTable, row_k: np.ndarray) -> Tokens:
    every_p = np.ones(len(table.regions), dtype=bool)
    return lay_tokens(table.counts_kp, table.is_promoter_p, table.chrom_p, row_k, every_p)


def fewest(table: RegionTable, tokens: Tokens, own_u: np.ndarray, size: int, share: float) -> int:
    """Least windows such that each promoter stands in the middle ``share`` of one, or as far in as its chromosome allows."""
    n, margin = 0, round(size * (1 - share) / 2)
    for start, stop in zip(tokens.start_u[own_u], tokens.stop_u[own_u], strict=True):
        at = np.flatnonzero(table.is_promoter_p[tokens.region_t[start:stop]])
        i, last = 0, max(stop - start - size, 0)
        while i < len(at):  # the first that is left stands at the left end of the middle
            low = min(max(at[i] - margin, 0), last)
            i = np.searchsorted(at, low + size - margin if low < last else stop - start)
            n += 1
    return n


def centred(tokens: Tokens, size: int, wanted_p: np.ndarray) -> Windows:
    """A window per wanted token, with it in the middle as far as the chromosome allows."""
    token_n = np.flatnonzero(wanted_p[tokens.region_t])
    run_n = np.searchsorted(tokens.start_u, token_n, side="right") - 1
    low_n, stop_n = tokens.start_u[run_n], tokens.stop_u[run_n]
    start_n = np.clip(token_n - size // 2, low_n, np.maximum(stop_n - size, low_n))
    return Windows(
        tokens.region_t, tokens.row_u[run_n], start_n, stop_n, size, np.arange(len(token_n)), token_n - start_n
    )


def trained(model: scget.model.GET, mdata: MuData, args: argparse.Namespace) -> scget.model.GET:
    if args.model and args.model.exists():
        return scget.model.GET.load(args.model, mdata, accelerator="cpu")
    begin = time.perf_counter()
    held = {"holdout_obs": [args.row], "holdout_chroms": HELD_CHROMS}
    model.train(args.epochs, **held, plan_kwargs={"lr": 1e-3}, enable_progress_bar=False, accelerator="cpu")
    print(f"\nsmall model trained in {(time.perf_counter() - begin) / 60:.1f} min without {held}", flush=True)
    if args.model:
        model.save(args.model)
    return model


def asked(model: scget.model.GET, row: str, size: int) -> tuple[RegionTable, TokenSource, dict[str, Windows]]:
    """Features, and the windows of both ways."""
    table = model.table()
    source, tokens = lay_rows(model, table, [row], 64)
    tiled = prediction_windows(tokens, size, table.is_promoter_p)
    return table, source, {"tiled": tiled, "one per promoter": centred(tokens, tiled.size, table.is_promoter_p)}


def answers(model: scget.model.GET, row: str) -> str:
    """How far predicted departures by tiled windows are from those of centred ones, and by bf16 from float32."""
    table, source, windows = asked(model, row, model.window)
    shape_kq, row_k = (len(table.rows), len(table.promoters.region_q)), table.row_positions([row])
    active_kq = gene_activity(table, source.folds(np.arange(len(table.rows)))) if model.rules.activity else None
    mean_g = model.scaling.expression(table.genes)

    def departures(which: str, *, bf16: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Of promoters, as the network says them, and of genes, with all that is added to that."""
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            out_kqo = predict_slots(model.module, source, windows[which], shape_kq, 64)
        genes_kg = to_expression(joined(out_kqo, active_kq, model.scaling), table, model.scaling, row_k).genes_kg
        return out_kqo[row_k[0], :, -1], genes_kg[row_k[0]] - mean_g

    tiled = departures("tiled")
    others = {"one per promoter": departures("one per promoter"), "tiled, bf16": departures("tiled", bf16=True)}
    lines = [
        {"": f"tiled and {other}: {what}", **apart(one, beside)}
        for other, pair in others.items()
        for what, one, beside in zip(("promoters", "genes"), tiled, pair, strict=True)
    ]
    head = "differences of departures from the training mean, in standard deviations of these\n\n"
    text = head + pd.DataFrame(lines).to_string(index=False, float_format="{:.4f}".format)
    if table.expression_kg is None:
        return text
    true_g = table.expression_kg[row_k[0]] - mean_g
    found = {"tiled": tiled} | others
    return f"{text}\n\nr with measured departures of genes: " + ", ".join(
        f"{name} {apart(true_g, of_genes)['r']:.4f}" for name, (_, of_genes) in found.items()
    )


def apart(one: np.ndarray, beside: np.ndarray) -> dict[str, float]:
    """Differences in standard deviations of ``beside``, where both are known."""
    known = np.isfinite(one) & np.isfinite(beside)
    one, beside = one[known], beside[known]
    off = np.abs(one - beside) / beside.std()
    quantiles = {"rms": np.sqrt(np.mean(off**2)), "99%": np.quantile(off, 0.99), "max": off.max()}
    return {"n": len(one), **quantiles, "r": float(np.corrcoef(one, beside)[0, 1])}


def print_time(model: scget.model.GET, args: argparse.Namespace, counts: pd.DataFrame) -> None:
    """Full size by batches, and from that the time for all rows; the small network by a whole row."""
    _, source, windows = asked(model, args.row, SIZES[0])
    net = ExpressionNet(replace(model.config, **FULL)).eval()
    seconds = medians(by_batch(net, source, windows["tiled"], args.batch), args.repeats)
    n_rows = len(counts) - 1
    print(f"768 x 12, windows of {SIZES[0]}: median of {args.repeats} batches of {args.batch}, and reckoned from it")
    print(f"{'':8} | s per window | all genes x {n_rows} rows, tiled | one per promoter")
    for name, value in seconds.items():
        hours = [value / args.batch * counts.loc["all", way] / 3600 for way in ("tiled", "one per promoter")]
        print(f"{name:8} | {value / args.batch:12.3f} | {hours[0]:27.2f} h | {hours[1]:14.1f} h", flush=True)
    table, source, windows = asked(model, args.row, model.window)
    shape_kq = (len(table.rows), len(table.promoters.region_q))
    whole = {
        way: lambda some=some: predict_slots(model.module, source, some, shape_kq, 64) for way, some in windows.items()
    }
    small = medians(whole, args.repeats)
    print(f"\n{model.config.width} x {model.config.n_layers}, windows of {model.window}, all genes of {args.row}")
    for way, value in small.items():
        print(f"{way:16} | {len(windows[way]):6,} windows | {value:6.1f} s", flush=True)


def by_batch(
    net: ExpressionNet, source: TokenSource, windows: Windows, batch_size: int
) -> dict[str, Callable[[], object]]:
    """A pass of the next batch, in float32 and in bf16."""
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]] = cycle(WindowBatches(windows, batch_size))

    @torch.inference_mode()
    def run(*, bf16: bool) -> torch.Tensor:
        batch = source.gather(*next(batches))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return net(batch.tokens_brf, batch.center_br, batch.pad_br)

    return {"float32": lambda: run(bf16=False), "bf16": lambda: run(bf16=True)}


def stream(n_rows: int) -> None:
    """Peak memory by rows, results on disk and in memory."""
    print(
        f"\n## Streaming: rows x {N_REGIONS:,} regions, {N_REGIONS // PROMOTERS_EVERY:,} genes, row_batch=100; peak memory, MB"
    )
    print(f"{'rows':>7} | " + " | ".join(f"{form:>7}" for form in ("counts", *FORMS)), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tiny().save(Path(folder) / "model")
        for n in (n_rows, 2 * n_rows, 4 * n_rows):
            found = [in_process(__file__, "--one", folder, form, n)[-1].split() for form in FORMS]
            print(f"{n:7,} | {found[0][1]:>7} | " + " | ".join(f"{peak:>7}" for peak, _ in found), flush=True)


def tiny() -> scget.model.GET:
    return untrained(sparse_rows(20), width=8, n_layers=1, n_heads=1, window=200)


def stream_one(folder: Path, form: str, n_rows: int) -> None:
    """Print peak memory of predicting ``n_rows`` and the size of their counts, MB."""
    torch.set_num_threads(1)
    model = scget.model.GET.load(folder / "model", accelerator="cpu")
    cells = MuData({"atac": sparse_rows(n_rows)["atac"]})
    out = {} if form == "memory" else {"out": folder / f"{n_rows}.{form}"}
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):  # bars
        scget.tl.predict(cells, model, row_batch=100, **out)
    counts = cells["atac"].X
    size = counts.data.nbytes + counts.indices.nbytes + counts.indptr.nbytes
    print(f"{1000 * peak_memory():.0f} {size / 1e6:.0f}")


def sparse_rows(n_rows: int) -> MuData:
    """Rows with few open regions, and few motifs: memory by rows does not hang on them, and time does."""
    return random_mdata(n_rows, N_REGIONS, n_genes=N_REGIONS // PROMOTERS_EVERY, n_motifs=20, open_share=OPEN, mean=0)


def ratios(quick: bool = False) -> dict[str, float]:
    """Windows and time saved by tiling on simulated regions, and time by bf16 at the published width."""
    warnings.simplefilter("ignore")
    n_regions = 5_000 if quick else 20_000
    model = untrained(random_mdata(2, n_regions, n_genes=n_regions // 20, open_share=1.0), **SMALL)
    table, source, windows = asked(model, "row0", SIZES[1])
    shape_kq = (len(table.rows), len(table.promoters.region_q))
    tiling = medians(
        {
            way: lambda some=some: predict_slots(model.module, source, some, shape_kq, 64)
            for way, some in windows.items()
        }
    )
    net = ExpressionNet(replace(model.config, **(FULL | ({"n_layers": 2} if quick else {})))).eval()
    by_type = medians(by_batch(net, source, asked(model, "row0", SIZES[0])[2]["tiled"], 4 if quick else 16))
    return {
        "windows, one per promoter over tiled": len(windows["one per promoter"]) / len(windows["tiled"]),
        "prediction, one window per promoter over tiled": tiling["one per promoter"] / tiling["tiled"],
        "prediction at full width, float32 over bf16": by_type["float32"] / by_type["bf16"],
    }


if __name__ == "__main__":
    main()
