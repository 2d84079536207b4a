"""Everything about speed that needs a GPU, in one run of under 10 minutes: python benchmarks/gpu.py --out gpu.json

Peak of matrix products of this card; training steps by batch, precision, torch.compile and kernel of attention, around bfloat16
with 128 windows, and the best of each together; prediction; the loader with its arrays on the device; attribution; and checks:
the same numbers as on the CPU, exactly or within a tolerance. Exits with 1 where a check fails. What cannot be had (memory,
a kernel) is told in its line; when time runs out the least important cells, which come last, are named as skipped.
Without a GPU, ``--device cpu --small`` tries the script itself; its figures say nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _gpu_asked import attribution, loader
from _gpu_checks import checks
from _gpu_parts import (
    BACKENDS,
    NOT_NUMBERS,
    PRECISIONS,
    Runner,
    Setting,
    cells,
    failed,
    machine,
    matmul_flops,
    run_cell,
)

CELLS = ("training", "prediction", "best", "networks", "default_compiled")  # parts that are cells
TARGETS = {"training": 0.45, "prediction": 0.55}  # of the measured bfloat16 peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to try the script itself")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--out", type=Path, help="a JSON file for all figures")
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("no GPU is seen by torch; --device cpu --small tries the script itself")
    setting = Setting.of(args)
    found: dict[str, Any] = {"machine": machine(), "small": args.small, "device": args.device}
    print(f"{found['machine']}; {args.device}{', small: figures say nothing' * args.small}", flush=True)
    for name, measure, show, need in parts(found, setting):  # the most important first
        part(found, name, measure, show, setting.left() - need)
        write(found, args.out)
    report(found)
    print(f"\n{setting.seconds - setting.left():.0f} s")
    write(found, args.out)
    broken = [check["what"] for check in found["checks"] if check["ok"] is False] + found.get("broken", [])
    broken += [_name(c) for name in CELLS for c in found[name] if NOT_NUMBERS in c["status"]]
    if broken:
        raise SystemExit(f"failed: {'; '.join(broken)}")


def write(found: dict[str, Any], out: Path | None) -> None:
    """What there is so far; a run that is cut off leaves it."""
    if out is not None:
        out.write_text(json.dumps(found, indent=1))


def parts(found: dict[str, Any], setting: Setting) -> list[tuple[str, Callable[[], list[dict[str, Any]]], Any, float]]:
    """Name, how to measure, how to print, and seconds needed; cells look at the time by themselves."""

    def star(some: list[dict[str, Any]], network: str = "published") -> list[dict[str, Any]]:
        runner = Runner(setting, network)
        return [told(runner, cell) for cell in some]

    last = _usual(setting) | {"network": "default", "compile": True}
    return [
        ("checks", lambda: checks(setting), print_checks, 0),
        ("matmul", lambda: matmul(setting), print_matmul, 0),
        ("training", lambda: star(training_star(setting)), None, 0),
        ("prediction", lambda: star(prediction_star(setting)), None, 0),
        ("loader", lambda: loader(setting), print_lines, 40),
        ("networks", lambda: networks(setting), None, 0),
        ("attribution", lambda: attribution(setting), print_lines, 40),
        ("best", lambda: star(best(found, setting)), None, 0),
        ("default_compiled", lambda: star([last], "default"), None, 0),
    ]


def part(
    found: dict[str, Any],
    name: str,
    measure: Callable[[], list[dict[str, Any]]],
    show: Callable[[Any], None] | None,
    spare: float,
) -> None:
    """Measure one part into ``found``, if there are seconds to ``spare``; one that breaks is told, and the others go on."""
    begun, found[name] = time.monotonic(), []
    if spare < 0:
        found.setdefault("skipped", []).append(name)
        print(f"\n{name}: skipped, {-spare:.0f} s too few are left", flush=True)
        return
    try:
        found[name] = measure()
    except Exception as error:  # noqa: BLE001  the next part may work
        found.setdefault("broken", []).append(f"{name}: {failed(error)}")
        print(f"\n{name}: {failed(error)}")
    print(f"({name}: {time.monotonic() - begun:.0f} s)", flush=True)
    if show is not None and found[name]:
        show(found[name])


def _usual(setting: Setting) -> dict[str, Any]:
    return {"train": True, "batch": setting.usual, "precision": "bf16", "compile": False, "backend": "default"}


def training_star(setting: Setting) -> list[dict[str, Any]]:
    """Batch, precision, kernel and compile, each by itself around the usual one."""
    usual = _usual(setting)
    others = [n for n in setting.batches if n != setting.usual]
    return [
        *cells(**usual),
        *cells(**{**usual, "precision": [p for p in PRECISIONS if p != "bf16"]}),
        *cells(**{**usual, "batch": others}),
        *cells(**{**usual, "backend": list(BACKENDS)}),
        *cells(**{**usual, "compile": True}),
    ]


def prediction_star(setting: Setting) -> list[dict[str, Any]]:
    usual = _usual(setting) | {"train": False}
    return [
        *cells(**{**usual, "batch": setting.batches}),
        *cells(**{**usual, "precision": [p for p in PRECISIONS if p != "bf16"]}),
        *cells(**{**usual, "compile": True}),
    ]


def best(found: dict[str, Any], setting: Setting) -> list[dict[str, Any]]:
    """The best batch with the best kernel, compiled where that helped, where this has not been measured yet."""
    asked = []
    for kind in ("training", "prediction"):
        done = [c for c in found[kind] if c["status"] == "measured" and c["precision"] == "bf16"]
        if done:
            by = {axis: _fastest(done, axis, setting.usual) for axis in ("batch", "compile", "backend")}
            cell = _usual(setting) | {"train": kind == "training"} | by
            asked += [] if any(cell.items() <= c.items() for c in done) else [cell]
    return asked


def _fastest(done: list[dict[str, Any]], axis: str, usual: int) -> Any:
    """The value of ``axis`` with most windows a second, the others being as usual."""
    rest = {"batch": usual, "compile": False, "backend": "default"}
    along = [c for c in done if all(c[name] == value for name, value in rest.items() if name != axis)]
    if not along:
        return rest[axis]
    return max(along, key=lambda c: c["windows_per_s"])[axis]


def told(runner: Runner, cell: dict[str, Any]) -> dict[str, Any]:
    """A cell measured, and printed."""
    result = run_cell(runner, cell)
    speed = f"{result['windows_per_s']:,.1f} windows/s" if result["status"] == "measured" else result["status"]
    print(f"  {'train' if cell['train'] else 'predict'} {_name(cell)}: {speed}", flush=True)
    return result


def _name(cell: dict[str, Any]) -> str:
    how = "compiled" if cell["compile"] else "eager"
    padded = ", padded" if cell.get("padded") else ""
    return f"{cell.get('network', 'published')}, {cell['batch']} windows, {cell['precision']}, {how}, attention {cell['backend']}{padded}"


def networks(setting: Setting) -> list[dict[str, Any]]:
    """The published network and scget's default, with and without padding: kernel of attention taken, and speed."""
    lines, usual = [], _usual(setting)
    for network in ("default", "published"):
        runner = Runner(setting, network)
        for train in (True, False):
            kernels = {
                f"{p}{', padded' * padded}": runner.attention_used(train=train, precision=p, padded=padded)
                for p in ("float32", "bf16")
                for padded in (False, True)
            }
            lines.append(told(runner, usual | {"train": train, "network": network, "kernels": kernels}))
        lines.append(told(runner, usual | {"network": network, "padded": True}))
        if network == "default":
            lines += [told(runner, usual | {"network": network, "backend": b}) for b in ("efficient", "cudnn", "math")]
    return lines


def matmul(setting: Setting) -> list[dict[str, Any]]:
    return [
        {"precision": precision, "shape": shape, "flops_per_s": flops}
        for precision in PRECISIONS
        for shape, flops in matmul_flops(precision, setting).items()
    ]


def print_checks(lines: list[dict[str, Any]]) -> None:
    print("\n| check | found | holds |\n|---|--:|---|")
    for line in lines:
        value = f"{line['value']:.2g}" if type(line["value"]) is float else line["value"]
        print(f"| {line['what']} | {value} | {({True: 'yes', False: '**no**', None: 'told'})[line['ok']]} |")


def print_matmul(lines: list[dict[str, Any]]) -> None:
    print("\n| matrix product | precision | TFLOP/s |\n|---|---|--:|")
    for line in lines:
        print(f"| {line['shape']} | {line['precision']} | {line['flops_per_s'] / 1e12:.2f} |")


def print_lines(lines: list[dict[str, Any]]) -> None:
    """Any lines of name, value and unit."""
    print("\n| what | value |\n|---|--:|")
    for line in lines:
        value = f"{line['value']:,.4g}" if isinstance(line["value"], float) else line["value"]
        print(f"| {line['what']} | {value} {line.get('unit', '')} |")


def report(found: dict[str, Any]) -> None:
    """All cells, beside the targets."""
    peak = max((m["flops_per_s"] for m in found["matmul"] if m["precision"] == "bf16"), default=float("nan"))
    found["bf16_peak_flops_per_s"] = peak
    lines = [c for name in CELLS for c in found[name]]
    print(f"\nbf16 peak: {peak / 1e12:.1f} TFLOP/s, the best of the matrix products above")
    print(
        "| network | what | windows | precision | compiled | attention | windows/s | share of bf16 peak | memory, GB |"
    )
    print("|---|---|--:|---|---|---|--:|--:|--:|")
    for c in lines:
        head = [c.get("network", "published"), "training" if c["train"] else "prediction", c["batch"], c["precision"]]
        head += ["yes" if c["compile"] else "no", c["backend"] + ", padded" * c.get("padded", False)]
        tail = [c["status"], "", ""]
        if c["status"] == "measured":
            memory = "" if c["memory_gb"] is None else f"{c['memory_gb']:.1f}"
            tail = [f"{c['windows_per_s']:,.1f}", f"{c['flops_per_s'] / peak:.0%}", memory]
        print("| " + " | ".join(map(str, [*head, *tail])) + " |")
    print("\n| network | what | kernel of attention that torch takes |\n|---|---|---|")
    for c in (c for c in found["networks"] if "kernels" in c):
        said = "; ".join(f"{how}: {names}" for how, names in c["kernels"].items())
        print(f"| {c['network']} | {'training' if c['train'] else 'prediction'} | {said} |")
    found["targets"] = targets(found, peak)
    print_lines(found["targets"])


def targets(found: dict[str, Any], peak: float) -> list[dict[str, Any]]:
    """Best shares beside what was aimed at; the loader beside the fastest training."""
    lines: list[dict[str, Any]] = []
    tops: dict[str, Any] = {}
    for kind, share in TARGETS.items():
        train = kind == "training"
        done = [c for c in found[kind] + found["best"] if c["status"] == "measured" and c["train"] is train]
        if done:
            top = max(done, key=lambda c: c["windows_per_s"])
            reached = top["flops_per_s"] / peak
            met = "not judged by small sizes" if found["small"] else "met" if reached >= share else "missed"
            lines.append(
                {"what": f"{kind}: {_name(top)}; target {share:.0%} of the bf16 peak", "value": f"{reached:.1%}, {met}"}
            )
            tops[kind] = top
    fed = {line["batch"]: line["value"] for line in found["loader"] if "batch" in line}
    if "training" in tops and tops["training"]["batch"] in fed:
        ratio = fed[tops["training"]["batch"]] / tops["training"]["windows_per_s"]
        lines.append({"what": "loader over the fastest training, at its batch; target > 1", "value": ratio})
        lines.append({"what": "share of a training step that the loader takes", "value": f"{1 / ratio:.1%}"})
    skipped = [
        f"{'training' if c['train'] else 'prediction'} {_name(c)}"
        for name in CELLS
        for c in found[name]
        if "skipped" in c["status"]
    ] + found.get("skipped", [])
    lines.append({"what": "skipped for want of time", "value": "; ".join(skipped) or "nothing"})
    return lines


def ratios(quick: bool = False) -> dict[str, float]:
    """Training in bfloat16 over float32 and over TF32; nothing without a GPU."""
    if not torch.cuda.is_available():
        return {}
    setting = Setting(torch.device("cuda"), small=False, seconds=600)
    runner, usual = Runner(setting, "published"), {"train": True, "compile": False, "backend": "default"}
    speed = {
        p: run_cell(runner, {**usual, "batch": 32 if quick else 128, "precision": p})["windows_per_s"]
        for p in PRECISIONS
    }
    return {f"GPU: bf16 step over {p}": speed["bf16"] / speed[p] for p in ("float32", "tf32")}


if __name__ == "__main__":
    main()
