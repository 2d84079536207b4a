"""The training step at the published size on a CPU: python benchmarks/step.py

Forward, loss, backward, clipping and AdamW on windows of 200 regions, in float32 and under bfloat16 autocast, with PyTorch's
attention and with one written out by hand (softmax of all scores, kept for the way back); for the published network and for
scget's default (departures, distance bias and sums). Then AdamW alone, in its three forms. Targets: bfloat16 at least 1.8 times
float32, and at least 1.8 times float32 with attention by hand. Data are random: time does not hang on them.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from unittest import mock

import torch
from _measure import about, medians
from torch import Tensor, nn
from torch.nn import functional as F

from scget.module import ExpressionNet, GETConfig, poisson_loss, squared_loss

PUBLISHED: dict[str, object] = {}
DEFAULT = {"n_channels": 2, "n_accessibility": 2, "deviation": True, "distance_bias": True, "distance_sums": True}
NETWORKS = {"published": PUBLISHED, "default": DEFAULT}
FORMS = {"fused": {"fused": True}, "loop": {"foreach": False, "fused": False}, "foreach": {"foreach": True}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--batch", type=int, default=4, help="windows per step")
    parser.add_argument("--window", type=int, default=200, help="regions per window")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    print(about())
    size = {"width": args.width, "n_layers": args.layers, "n_heads": max(args.width // 64, 1)}
    for name, kind in NETWORKS.items():
        trainer = Trainer(GETConfig(**kind, **size), args.batch, args.window)
        print(f"\n{name} network, {trainer.n_weights:,} weights, {args.batch} windows of {args.window} regions a step")
        for what, largest in trainer.differences().items():
            print(f"{what}: {largest:.1e} at most")
        print_steps(medians(told(trainer.ways()), args.repeats), args.batch)
    seconds = medians(told(adamw(trainer.net)), args.repeats)
    print(f"\n| AdamW, {trainer.n_weights:,} weights | ms | times the fused one |\n|---|--:|--:|")
    for name, value in seconds.items():
        print(f"| {name} | {1000 * value:.0f} | {value / seconds['fused']:.1f} |")


def print_steps(seconds: dict[str, float], n_windows: int) -> None:
    """A line per way: windows a second, and beside float32 with either attention."""
    print("| step | s | windows/s | times float32 | times float32 by hand |\n|---|--:|--:|--:|--:|")
    for name, value in seconds.items():
        beside = (seconds[base] / value for base in ("float32", "float32, attention by hand"))
        print(f"| {name} | {value:.2f} | {n_windows / value:.2f} | " + " | ".join(f"{r:.2f}" for r in beside) + " |")


def ratios(quick: bool = False) -> dict[str, float]:
    """Speed-ups of the step and of the optimiser; ``quick``: of one layer of the published width, and two windows."""
    size, n_windows = ({"n_layers": 1}, 2) if quick else ({}, 4)
    found = {}
    for name, kind in NETWORKS.items():
        trainer = Trainer(GETConfig(**kind, **size), n_windows, 200)
        asked = ["float32", "bfloat16", *["float32, attention by hand"] * (name == "published")]
        step = medians({way: trainer.ways()[way] for way in asked}, 5)
        for other in asked[:1] + asked[2:]:
            found[f"{name}: bfloat16 step over {other}"] = step[other] / step["bfloat16"]
    forms = medians(adamw(trainer.net), 5)
    return found | {"fused AdamW over the loop": forms["loop"] / forms["fused"]}


class Trainer:
    """A network with its optimiser and one random batch."""

    def __init__(self, config: GETConfig, n_windows: int, window: int) -> None:
        torch.manual_seed(0)
        self.net = ExpressionNet(config).train()
        self.n_weights = sum(p.numel() for p in self.net.parameters())
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=1e-5, fused=True)
        self.tokens_brf = torch.rand(n_windows, window, config.n_features)
        self.center_br = torch.randint(0, 10_000 * window, (n_windows, window)).sort(dim=1).values
        self.target_bro = torch.rand(n_windows, window, config.n_outputs)
        if config.deviation:  # known where a gene starts
            self.target_bro[torch.rand(n_windows, window) > 0.1] = torch.nan

    def ways(self) -> dict[str, Callable[[], object]]:
        """A step in each precision with each attention."""
        return {
            f"{'bfloat16' if half else 'float32'}{', attention by hand' * hand}": lambda half=half, hand=hand: (
                self.step(half=half, hand=hand)
            )
            for hand in (False, True)
            for half in (False, True)
        }

    def step(self, *, half: bool, hand: bool) -> None:
        self.optimiser.zero_grad()
        with attention(hand):
            loss = self.loss(half)
            loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        if not torch.isfinite(loss):
            raise SystemExit(f"the loss is {loss.item()}")

    def loss(self, half: bool) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half, cache_enabled=False):  # as Lightning does
            out_bro = self.net(self.tokens_brf, self.center_br)
            of = squared_loss if self.net.config.deviation else poisson_loss
            return of(out_bro, self.target_bro)

    @torch.no_grad()
    def differences(self) -> dict[str, float]:
        """Largest differences of outputs from those of float32 with PyTorch's attention."""
        outputs = {}
        for name, half, hand in (("", False, False), ("by hand", False, True), ("bfloat16", True, False)):
            with attention(hand), torch.autocast("cpu", torch.bfloat16, enabled=half):
                outputs[name] = self.net.eval()(self.tokens_brf, self.center_br)
        self.net.train()
        exact = outputs.pop("")
        spread = float(exact.std())
        return {
            f"{name}, difference over the spread of outputs": float((o - exact).abs().max()) / spread
            for name, o in outputs.items()
        }


@contextlib.contextmanager
def attention(by_hand: bool) -> Iterator[None]:
    """Attention written out in place of PyTorch's."""
    with mock.patch.object(F, "scaled_dot_product_attention", plain) if by_hand else contextlib.nullcontext():
        yield


def plain(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """softmax(q k' / sqrt(d) + mask) v; a mask of truth values shows what is True."""
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if attn_mask is not None:
        boolean = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, float("-inf")) if boolean else scores + attn_mask
    return torch.softmax(scores, dim=-1) @ v


def adamw(net: nn.Module) -> dict[str, Callable[[], object]]:
    """A step of each form of AdamW on gradients at random."""
    for p in net.parameters():
        p.grad = torch.randn_like(p)
    return {name: torch.optim.AdamW(net.parameters(), lr=1e-6, **form).step for name, form in FORMS.items()}


def told(ways: dict[str, Callable[[], object]]) -> dict[str, Callable[[], object]]:
    """The same, with a dot for each run."""

    def dotted(way: Callable[[], object]) -> Callable[[], object]:
        return lambda: (way(), print(".", end="", file=sys.stderr, flush=True))

    return {name: dotted(way) for name, way in ways.items()}


if __name__ == "__main__":
    main()
