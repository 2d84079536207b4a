"""The checks of benchmarks/gpu.py: what must be the same on the device as on the CPU, and what is only told."""

from __future__ import annotations

from typing import Any

import torch
from _gpu_parts import NETWORKS, Runner, Setting, largest


def checks(setting: Setting) -> list[dict[str, Any]]:
    """What must hold (``ok``) or is only told (None)."""
    precision, tf32 = torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32
    lines = [_check("TF32 is off after importing scget", f"{precision}, {tf32}", precision == "highest" and not tf32)]
    cpu = torch.device("cpu")
    for network in NETWORKS:
        here, there = Runner(setting, network), Runner(setting, network, device=cpu)
        out, exact = (r.predict(r.batch(4, padded=True), "float32")[:, : setting.window // 2] for r in (here, there))
        lines.append(_below(f"{network}: float32 prediction as on the CPU", largest(out, exact), 1e-4))
        half = here.predict(here.batch(4), "bf16")
        whole = here.predict(here.batch(4), "float32")
        together = torch.stack([half.flatten(), whole.flatten()]).double()
        lines.append(_below(f"{network}: bf16 prediction as in float32, largest", largest(half, whole), 0.3))
        mean = float((half - whole).abs().mean() / whole.std())
        lines.append(_below(f"{network}: the same, on average", mean, 0.03))
        lines.append(
            _check(f"{network}: the same, correlation", *(r := float(torch.corrcoef(together)[0, 1]), r > 0.999))
        )
        del half, whole
        lines += _one_step(network, here, there)
        again = [_trained(setting, network) for _ in range(2)]
        same = all(torch.equal(*pair) for pair in zip(*again, strict=True))
        lines.append(_check(f"{network}: 3 steps of bf16 from one seed, twice: the same bits", same, None))
    return lines


def _one_step(network: str, here: Runner, there: Runner) -> list[dict[str, Any]]:
    """Gradients and weights after a step in float32 on the device and on the CPU, without stochastic depth."""
    for runner in (here, there):
        for block in runner.net.encoder.blocks:
            block.drop_path = 0.0
        runner.net.train()
        runner.step(runner.batch(2, padded=True), "float32", "default")
    named = dict(there.net.named_parameters())
    grads = {n: (p.grad.cpu(), named[n].grad) for n, p in here.net.named_parameters() if named[n].grad is not None}
    gaps = {n: float((a - b).norm() / b.norm().clamp(min=1e-12)) for n, (a, b) in grads.items()}
    worst = max(gaps, key=lambda n: gaps[n])
    slopes = [gap for n, gap in gaps.items() if n.endswith("distance_slope")]
    lines = [_below(f"{network}: float32 gradients as on the CPU, of the norm; worst {worst}", gaps[worst], 1e-2)]
    if slopes:
        lines.append(_below(f"{network}: the same, slopes of distance", max(slopes), 1e-2))
    moved = [(p.detach().cpu() - named[n].detach()).abs().flatten() for n, p in here.net.named_parameters()]
    apart = float(torch.cat(moved).mean()) / 1e-5
    return [*lines, _below(f"{network}: weights after a step of AdamW, mean difference in rates", apart, 0.05)]


def _trained(setting: Setting, network: str) -> list[torch.Tensor]:
    runner = Runner(setting, network)
    for _ in range(3):
        runner.step(runner.batch(4), "bf16", "default")
    return [p.detach().cpu() for p in runner.net.parameters()]


def _below(what: str, value: float, limit: float) -> dict[str, Any]:
    return _check(f"{what} (at most {limit:g})", value, value <= limit)


def _check(what: str, value: Any, ok: bool | None) -> dict[str, Any]:
    return {"what": what, "value": value, "ok": ok}
