"""What benchmarks/gpu.py is made of: clock, matrix products, steps and predictions of a network, and what is compared."""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError
from typing import Any

import torch
from _measure import about
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

from scget.module import ExpressionNet, GETConfig, poisson_loss, squared_loss

PRECISIONS = ("float32", "tf32", "bf16")
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
NETWORKS: dict[str, dict[str, Any]] = {
    "published": {},
    "default": {
        "n_channels": 2,
        "n_accessibility": 2,
        "deviation": True,
        "distance_bias": True,
        "distance_sums": True,
    },
}
REPEATS, WARM = 7, 3
NOT_NUMBERS = "not all outputs are numbers"


@dataclass
class Setting:
    """What is run on, how large, and how much time is left; ``cost``: seconds of the longest cell so far, by kind."""

    device: torch.device
    small: bool
    seconds: float
    begun: float = field(default_factory=time.monotonic)
    cost: dict[str, float] = field(default_factory=lambda: {"eager": 5.0, "compile": 60.0})

    @classmethod
    def of(cls, args: argparse.Namespace) -> Setting:
        return cls(torch.device(args.device), args.small, 60 * args.minutes)

    @property
    def window(self) -> int:
        return 20 if self.small else 200

    @property
    def batches(self) -> list[int]:
        return [2, 4] if self.small else [32, 64, 128, 256, 512]

    @property
    def usual(self) -> int:
        return self.batches[-1] if self.small else 128

    @property
    def compiler(self) -> str:
        """Of torch.compile; the quick one where speed is not the question."""
        return "aot_eager" if self.small else "inductor"

    def left(self) -> float:
        """Seconds."""
        return self.seconds - (time.monotonic() - self.begun)

    def config(self, network: str) -> GETConfig:
        size = {"width": 64, "n_layers": 2, "n_heads": 4} if self.small else {}
        return GETConfig(**NETWORKS[network], **size)


def machine() -> str:
    """As :func:`about`, also where scget is used from its source alone."""
    try:
        return about()
    except PackageNotFoundError as error:
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
        return f"{device}; torch {torch.__version__} ({error})"


def seconds_of(way: Callable[[], object], device: torch.device, inner: int = 1) -> float:
    """Median seconds of a run of ``way`` after warm-up, by events of the GPU; ``inner`` runs are timed together."""
    for _ in range(WARM):
        way()
    spent = []
    for _ in range(REPEATS):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            for _ in range(inner):
                way()
            end.record()
            torch.cuda.synchronize(device)
            spent.append(begin.elapsed_time(end) / 1000 / inner)
        else:
            start = time.perf_counter()
            for _ in range(inner):
                way()
            spent.append((time.perf_counter() - start) / inner)
    return statistics.median(spent)


@contextlib.contextmanager
def computing(precision: str, backend: str, device: torch.device) -> Iterator[None]:
    """Precision of matrix products and kernel of attention (``"default"``: what torch takes), put back afterwards."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    chosen = contextlib.nullcontext() if backend == "default" else sdpa_kernel(BACKENDS[backend])
    half = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)
    try:
        with chosen, half:
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def matmul_flops(precision: str, setting: Setting) -> dict[str, float]:
    """FLOP/s of matrix products like those of the network's MLP, and of a large square one."""
    rows = setting.usual * (setting.window + 1)
    shapes = [(8192, 768, 3072), (rows, 768, 3072), (rows, 3072, 768), (rows, 768, 2304), (8192, 8192, 8192)]
    if setting.small:
        shapes = [(64, 64, 256), (128, 128, 128)]
    dtype, found = torch.bfloat16 if precision == "bf16" else torch.float32, {}
    for n, k, m in shapes:
        a, b = (torch.randn(*shape, device=setting.device, dtype=dtype) for shape in ((n, k), (k, m)))
        inner = 2 if n * k * m > 1e11 else 20
        with computing("tf32" if precision == "tf32" else "float32", "default", setting.device):
            found[f"{n}x{k}x{m}"] = 2 * n * k * m / seconds_of(lambda a=a, b=b: a @ b, setting.device, inner)
    return found


def window_flops(net: ExpressionNet, window: int) -> float:
    """Of predicting a window: 2 per weight and region, and scores and means of attention; training takes three times it."""
    n_weights = sum(p.numel() for p in net.parameters())
    return 2.0 * n_weights * window + 4.0 * window * window * net.config.width * net.config.n_layers


class Runner:
    """A network of one kind on the device, from a seed, with the plan's optimiser; batches at random."""

    def __init__(self, setting: Setting, network: str, *, seed: int = 0, device: torch.device | None = None) -> None:
        torch.manual_seed(seed)
        self.setting, self.device = setting, device or setting.device
        self.net = ExpressionNet(setting.config(network)).to(self.device).train()
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=1e-5, weight_decay=0.05, fused=True)
        self.flops = window_flops(self.net, setting.window)

    def batch(self, n: int, *, padded: bool = False, seed: int = 1) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """Features, centres, padding and targets, drawn on the CPU so that they are the same on every device."""
        config, window, draw = self.net.config, self.setting.window, torch.Generator().manual_seed(seed)
        tokens_brf = torch.rand(n, window, config.n_features, generator=draw)
        center_br = torch.randint(0, 10_000 * window, (n, window), generator=draw).sort(dim=1).values
        target_bro = torch.rand(n, window, config.n_outputs, generator=draw)
        if config.deviation:  # known where a gene starts
            target_bro[torch.rand(n, window, generator=draw) > 0.1] = torch.nan
        pad_br = torch.zeros(n, window, dtype=torch.bool)
        pad_br[:, window - window // 10 :] = True
        moved = (x.to(self.device) for x in (tokens_brf, center_br, pad_br, target_bro))
        tokens_brf, center_br, pad_br, target_bro = moved
        return tokens_brf, center_br, pad_br if padded else None, target_bro

    def loss(self, batch: tuple[Tensor, Tensor, Tensor | None, Tensor]) -> Tensor:
        of = squared_loss if self.net.config.deviation else poisson_loss
        return of(self.net(*batch[:3]), batch[3])

    def step(self, batch: tuple[Tensor, Tensor, Tensor | None, Tensor], precision: str, backend: str) -> Tensor:
        """As a step of scget's training; the loss."""
        self.optimiser.zero_grad()
        with computing(precision, backend, self.device):
            loss = self.loss(batch)
        with computing("tf32" if precision == "tf32" else "float32", backend, self.device):
            loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        return loss.detach()

    @torch.inference_mode()
    def predict(
        self, batch: tuple[Tensor, Tensor, Tensor | None, Tensor], precision: str, backend: str = "default"
    ) -> Tensor:
        self.net.eval()
        with computing(precision, backend, self.device):
            return self.net(*batch[:3])

    @contextlib.contextmanager
    def compiled(self, wanted: bool) -> Iterator[None]:
        """The encoder through torch.compile, as training with ``compile=True`` has it."""
        if wanted:
            torch._dynamo.reset()
            self.net.encoder.compile(backend=self.setting.compiler)
        try:
            yield
        finally:
            self.net.encoder._compiled_call_impl = None

    def attention_used(self, *, train: bool, precision: str, padded: bool) -> str:
        """The kernels of attention that torch takes by itself, from a profile of one pass."""
        batch = self.batch(self.setting.batches[0], padded=padded)
        try:
            with profile(activities=[ProfilerActivity.CPU]) as seen:
                if train:
                    self.net.train()
                    self.step(batch, precision, "default")
                else:
                    self.predict(batch, precision)
        except Exception as error:  # noqa: BLE001  told in its place
            return failed(error)
        names = {event.key for event in seen.key_averages() if "scaled_dot_product" in event.key}
        names -= {name for name in names if "backward" in name.lower()} | {"aten::scaled_dot_product_attention"}
        return ", ".join(sorted(name.removeprefix("aten::_scaled_dot_product_") for name in names)) or "none seen"


def run_cell(runner: Runner, cell: dict[str, Any]) -> dict[str, Any]:
    """Windows a second, share of the work of matrix products and peak memory of one cell, or why there are none."""
    setting, begun = runner.setting, time.monotonic()
    kind = "compile" if cell["compile"] else "eager"
    if setting.left() < setting.cost[kind]:
        return cell | {"status": f"skipped: {setting.left():.0f} s left, about {setting.cost[kind]:.0f} needed"}
    cuda = setting.device.type == "cuda"
    gc.collect()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(setting.device)
    try:
        with runner.compiled(cell["compile"]):
            seconds, last = _timed(runner, cell)
        if not bool(torch.isfinite(last).all()):
            raise RuntimeError(NOT_NUMBERS)
        found: dict[str, Any] = {"status": "measured", "seconds": seconds, "windows_per_s": cell["batch"] / seconds}
        found["flops_per_s"] = found["windows_per_s"] * runner.flops * (3 if cell["train"] else 1)
        found["memory_gb"] = torch.cuda.max_memory_allocated(setting.device) / 1e9 if cuda else None
    except torch.OutOfMemoryError:
        found = {"status": "out of memory"}
    except Exception as error:  # noqa: BLE001  a cell that cannot be had is told, and the others are measured
        found = {"status": failed(error)}
    if found["status"] != "measured":
        runner.optimiser.zero_grad()
    if found["status"] != "measured" and cuda:
        torch.cuda.empty_cache()
    setting.cost[kind] = max(setting.cost[kind] if kind == "eager" else 20.0, time.monotonic() - begun)
    return cell | found


def _timed(runner: Runner, cell: dict[str, Any]) -> tuple[float, Tensor]:
    batch, last = runner.batch(cell["batch"], padded=cell.get("padded", False)), []
    how = cell["precision"], cell["backend"]
    runner.net.train(cell["train"])

    def way() -> None:
        last[:] = [runner.step(batch, *how) if cell["train"] else runner.predict(batch, *how)]

    return seconds_of(way, runner.device), last[0]


def failed(error: BaseException) -> str:
    """What went wrong, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"failed: {type(error).__name__}: {lines[0][:160] if lines else ''}"


def largest(a: Tensor, b: Tensor) -> float:
    """Largest difference, over the standard deviation of ``b``."""
    a, b = a.detach().double().cpu(), b.detach().double().cpu()
    return float((a - b).abs().max() / b.std().clamp(min=1e-30))


def cells(**axes: Any) -> list[dict[str, Any]]:
    """Every combination of the values given; a value that is no list is the same in all."""
    lists = {name: values if isinstance(values, list) else [values] for name, values in axes.items()}
    return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
