"""Low-rank adapters: ``W + alpha / rank * B A`` beside frozen weights (Hu et al. 2021, arXiv 2106.09685).

Names and shapes are those of published LoRA checkpoints: ``<linear>.parametrizations.weight.0.lora_A`` (rank, in) and
``lora_B`` (out, rank).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from torch import Tensor, nn
from torch.nn.utils import parametrize

HEADS = ("head_exp.", "head_atac.")  # of expression and of accessibility
LAYERS = {"embed": "region_embed.embed", "encoder": "encoder.blocks.", "attention": ".attn.", "mlp": ".mlp."}
_BASE, _ADAPTER = ".parametrizations.weight.original", ".parametrizations.weight.0."


class Adapter(nn.Module):
    """What is added to one weight; nothing at first, as ``lora_B`` starts at 0."""

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        self.rank, self.alpha = rank, alpha
        self.lora_A = nn.Parameter(weight.new_empty(rank, weight.shape[1]))
        self.lora_B = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """The adapted weight, (out, in)."""
        return weight + self.alpha / self.rank * (self.lora_B @ self.lora_A)


def targets(net: nn.Module, layers: Iterable[str]) -> list[str]:
    """Names of the linear maps in ``layers`` (keys of ``LAYERS``)."""
    marks = [LAYERS[layer] for layer in layers]
    return [n for n, part in net.named_modules() if isinstance(part, nn.Linear) and any(mark in n for mark in marks)]


def freeze(net: nn.Module) -> None:
    """Let only the heads of ``net`` learn."""
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name.startswith(HEADS))


def thaw(net: nn.Module) -> None:
    """Let all of ``net`` learn."""
    net.requires_grad_(True)


def add(net: nn.Module, names: Sequence[str], *, rank: int, alpha: float) -> None:
    """Put adapters on the linear maps ``names``; they and the heads learn, all else is frozen."""
    freeze(net)
    for name in names:
        weight = net.get_parameter(f"{name}.weight")
        parametrize.register_parametrization(net.get_submodule(name), "weight", Adapter(weight, rank, alpha))


def take_off(net: nn.Module, *, merge: bool) -> None:
    """Fold the adapters into the weights, or drop them; then all of ``net`` can learn again."""
    for name in adapters(net):
        parametrize.remove_parametrizations(net.get_submodule(name), "weight", leave_parametrized=merge)
    thaw(net)


def adapters(net: nn.Module) -> dict[str, Adapter]:
    """Adapters by the name of their linear map; none for a plain network."""
    suffix = _ADAPTER.removesuffix(".")
    return {n.removesuffix(suffix): part for n, part in net.named_modules() if isinstance(part, Adapter)}


def merged_state(net: nn.Module) -> dict[str, Tensor]:
    """Tensors of the plain network that computes the same, adapters folded in."""
    state = _plain(net)
    for name, adapter in adapters(net).items():
        state[f"{name}.weight"] = adapter(state[f"{name}.weight"]).detach()
    return state


def learnt_state(net: nn.Module) -> dict[str, Tensor]:
    """Tensors of the adapters and the heads: what ``add`` lets learn."""
    return {n: t for n, t in net.state_dict().items() if _ADAPTER in n or n.startswith(HEADS)}


def base_state(net: nn.Module) -> dict[str, Tensor]:
    """Tensors beneath the adapters, by their plain names; without the heads."""
    return {n: t for n, t in _plain(net).items() if not n.startswith(HEADS)}


def learnt_shapes(net: nn.Module, names: Sequence[str], rank: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes that :func:`learnt_state` would have with adapters on ``names``."""
    state = _plain(net)
    shapes = {n: tuple(t.shape) for n, t in state.items() if n.startswith(HEADS)}
    for name in names:
        n_out, n_in = state[f"{name}.weight"].shape
        shapes |= {f"{name}{_ADAPTER}lora_A": (rank, n_in), f"{name}{_ADAPTER}lora_B": (n_out, rank)}
    return shapes


def _plain(net: nn.Module) -> dict[str, Tensor]:
    return {n.replace(_BASE, ".weight"): t for n, t in net.state_dict().items() if _ADAPTER not in n}
