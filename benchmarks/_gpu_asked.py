"""The parts of benchmarks/gpu.py that need data and a model: the loader with its arrays on the device, and attribution."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from _gpu_parts import Setting, seconds_of


def loader(setting: Setting) -> list[dict[str, Any]]:
    """Windows a second by batch, of the look-up alone and with the choice of windows on the CPU; the same as on the CPU."""
    from _simulated import random_mdata

    import scget
    from scget.data import TokenSource, WindowBatches, fit_scaling, lay_tokens, training_windows

    warnings.simplefilter("ignore")
    n_regions = 2_000 if setting.small else 150_000
    mdata = random_mdata(4, n_regions, n_genes=n_regions // 20, open_share=1.0)
    scget.model.GET.setup_mudata(mdata)
    model = scget.model.GET(mdata, width=16, n_layers=1, n_heads=1)
    table, row_k, every_p = model.table(), np.arange(4), np.ones(n_regions, dtype=bool)
    scaling = fit_scaling(table, row_k, every_p, rules=model.rules)
    kept = TokenSource(table, scaling, targets=scaling.targets(table))
    tokens = lay_tokens(table.counts_kp, table.is_promoter_p, table.chrom_p, row_k, every_p)
    windows = training_windows(tokens, setting.window, setting.window // 2)
    n_features = kept.token_pf.shape[1]
    lines: list[dict[str, Any]] = []
    first = WindowBatches(windows, setting.usual, rng=np.random.default_rng(0))[0]
    exact = kept.gather(*first)
    source = kept.to(setting.device)
    held = sum(b.numel() * b.element_size() for b in source.buffers()) / 1e9
    lines.append({"what": f"arrays of {n_regions:,} regions x {n_features}, 4 rows", "value": held, "unit": "GB"})
    lines.append(
        {"what": "gathered as on the CPU, exactly", "value": _same(source.gather(*_moved(first, setting)), exact)}
    )
    for n in setting.batches:
        batches = WindowBatches(windows, n, rng=np.random.default_rng(0))
        one = _moved(batches[0], setting)
        looked = seconds_of(lambda one=one: source.gather(*one), setting.device, 5)
        whole = seconds_of(lambda batches=batches: source.gather(*_moved(batches[0], setting)), setting.device, 5)
        size = len(one[0])
        lines.append({"what": f"loader, look-up alone, {n} windows", "value": size / looked, "unit": "windows/s"})
        lines.append({"what": f"loader, whole, {n} windows", "value": size / whole, "unit": "windows/s", "batch": n})
    return lines


def _moved(batch: tuple[torch.Tensor, torch.Tensor], setting: Setting) -> tuple[torch.Tensor, torch.Tensor]:
    return batch[0].to(setting.device), batch[1].to(setting.device)


def _same(batch: Any, exact: Any) -> str:
    names = ("tokens_brf", "center_br", "slot_brs", "row_b")
    equal = all(torch.equal(getattr(batch, name).cpu(), getattr(exact, name)) for name in names)
    if not equal:
        raise RuntimeError("the batch gathered on the device is not that of the CPU")
    return "yes"


def attribution(setting: Setting) -> list[dict[str, Any]]:
    """A gradient per gene, in multiples of predicting genes one by one; model.attribute takes two, with its tables."""
    from _simulated import random_mdata
    from attribution import laid, predict_each

    import scget
    from scget.model._gene_windows import PER_WINDOW, GeneWindows

    warnings.simplefilter("ignore")
    n_genes = 20 if setting.small else 200
    mdata = random_mdata(2, 20 * n_genes, n_genes=n_genes, open_share=1.0)
    scget.model.GET.setup_mudata(mdata)
    size = {"width": 64, "n_layers": 2, "n_heads": 4, "window": 20} if setting.small else {}
    model = scget.model.GET(mdata, **size)
    accelerator = "cpu" if setting.device.type == "cpu" else "gpu"
    model.train(1, limit_train_batches=1, accelerator=accelerator, devices=1, enable_progress_bar=False)
    model.to_device(setting.device)
    genes, rows = [str(gene) for gene in model.table().genes], ["row0"]
    where = GeneWindows.of(model, model.table(), genes, rows, 32, by_place=True)

    def slopes() -> None:
        for part in where.parts(PER_WINDOW * 32, "slopes"):
            where.shared_slopes(part, part.batch.tokens_brf)

    ways = {
        "predict, a pass per gene": lambda: predict_each(laid(model, genes, rows), alone=False),
        "a gradient per gene": slopes,
        "model.attribute": lambda: model.attribute(genes=genes, rows=rows),
        "model.predict, the row": lambda: model.predict(rows=rows),
    }
    lines: list[dict[str, Any]] = []
    for precision in ("float32", "bf16"):
        seconds = {}
        for name, way in ways.items():
            if setting.left() < 5:
                lines.append({"what": f"{name}, {precision}", "value": "skipped: no time left"})
                continue
            with torch.autocast(setting.device.type, torch.bfloat16, enabled=precision == "bf16"):
                seconds[name] = seconds_of(way, setting.device)
            lines.append({"what": f"{name}, {len(genes)} genes, {precision}", "value": seconds[name], "unit": "s"})
        if {"a gradient per gene", "predict, a pass per gene"} <= seconds.keys():
            for name in ("a gradient per gene", "model.attribute"):
                ratio = seconds.get(name, float("nan")) / seconds["predict, a pass per gene"]
                lines.append({"what": f"{name} over predicting one by one, {precision}; target 4", "value": ratio})
    return lines
