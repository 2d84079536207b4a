"""Files of the published GET code to tensors by scget's names; nothing in a file is run or built but tensors.

Source of names and rules: the four kinds of file that are in use, v1 ``.pth`` of pretraining and of fine-tuning, and
Lightning ``.ckpt``, plain or with minLoRA adapters.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from scget._errors import CheckpointError, first
from scget.module import ExpressionNet, GETConfig, MaskedNet

HEAD_SIZE = 64
NEEDS_TORCH = "2.10"  # older ones can be made to write past their memory by a file (CVE-2026-24747)
# Settings and counters beside the weights. None of these is imported or built: a blank stands for each.
_UNREAD = re.compile(
    r"(numpy\.(_core|core)\.multiarray\.scalar|numpy\.dtype|argparse\.Namespace|typing\.\w+|collections\.defaultdict"
    r"|_operator\.getitem|builtins\.(dict|list|tuple|str|int|float|bool|Ellipsis)|(omegaconf|get_model)(\.\w+)+)"
)
_CONTAINERS = {"model": "", "state_dict": "model."}  # top-level key of the tensors: what their names begin with
_SAME = r"(cls_token$|region_embed\.embed\.|encoder\.blocks\.|encoder\.norm\.|head_exp\.head\.|mask_token$|head_mask\.)"
# Kind: a name that only such files have, and what the beginning of each name becomes.
_KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "v1 pretraining": (
        "encoder.region_embed.proj.weight",
        {
            r"^encoder\.region_embed\.proj\.": "region_embed.embed.",
            r"^encoder\.head\.": "head_mask.",
            r"^encoder\.cls_token$": "cls_token",
            r"^(mask_token$|encoder\.blocks\.|encoder\.norm\.)": r"\1",
        },
    ),
    "v1 fine-tuning": (
        "region_embed.proj.weight",
        {
            r"^region_embed\.proj\.": "region_embed.embed.",
            r"^blocks\.": "encoder.blocks.",
            r"^fc_norm\.": "encoder.norm.",
            r"^head\.": "head_exp.head.",
            r"^(cls_token)$": r"\1",
        },
    ),
    "Lightning": ("region_embed.embed.weight", {f"^{_SAME}": r"\1"}),
}
_LORA = re.compile(r"^(?P<layer>.+)\.parametrizations\.weight\.(?P<part>original|0\.lora_(?:A|B|dropout_mask))$")


@dataclass(frozen=True)
class Weights:
    """Tensors of one file, checked against the network of ``config`` in names and shapes.

    ``state``: of :class:`ExpressionNet`, without its head where ``pretrained``; ``mask``: what :class:`MaskedNet` has
    beside it, empty for a fine-tuned file.
    """

    kind: str
    config: GETConfig
    state: dict[str, Tensor]
    mask: dict[str, Tensor]

    @property
    def pretrained(self) -> bool:
        """Whether the file has no head for expression."""
        return bool(self.mask)


class _Blank:
    """In place of an object that is not built."""

    def __new__(cls, *args: Any) -> _Blank:
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


def read_weights(path: Path, *, n_heads: int | None, lora_alpha: float) -> Weights:
    """Read a published file, told by its keys; :class:`CheckpointError` for any other."""
    tensors = _merge(_tensors(path, _unpickle(path)), lora_alpha, path)
    kind, old, unmatched = _rename(path, tensors)
    named = {new: tensors[name] for new, name in old.items()}
    config = _sizes(path, named, n_heads)
    if config.task == "accessibility":  # the published head has one name for both tasks
        old = {n.replace("head_exp.", "head_atac."): name for n, name in old.items()}
        named = {new: tensors[name] for new, name in old.items()}
    with torch.device("meta"):
        net = MaskedNet(ExpressionNet(config))
    shapes = {n.removeprefix("trunk."): tuple(t.shape) for n, t in net.state_dict().items()}
    pretrained = "head_mask.weight" in named
    unwanted = ("head_exp.", "head_atac.") if pretrained else ("mask_token", "head_mask.")
    shapes = {n: shape for n, shape in shapes.items() if not n.startswith(unwanted)}
    _check(path, named, old, shapes, unmatched)
    state = {n: t.detach().to(torch.float32).clone() for n, t in named.items()}
    mask = {n: state.pop(n) for n in [*state] if n.startswith(("mask_token", "head_mask."))}
    return Weights(kind, config, state, mask)


def _unpickle(path: Path) -> Any:
    """What ``torch.save`` wrote, with blanks for all but tensors and plain values."""
    if torch.__version__ < NEEDS_TORCH:  # compares as versions, not as text
        raise CheckpointError(
            f"reading files of others safely needs torch >= {NEEDS_TORCH} (CVE-2026-24747), this is {torch.__version__}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch itself does not compare the checksums
        if damaged:
            raise CheckpointError(f"{path} is damaged: the checksum of {damaged!r} differs; download it again")
        others = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
        refused = [name for name in others if not _UNREAD.fullmatch(name)]
        if refused:
            raise CheckpointError(
                f"{path} holds Python objects ({first(refused, 5)}); scget does not run code from files"
            )
        with torch.serialization.safe_globals([(_Blank, name) for name in others]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error})") from error
    except Exception as error:  # a damaged file makes torch raise nearly anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a whole file of torch.save ({reason}); download it again") from error


def _tensors(path: Path, content: Any) -> dict[str, Tensor]:
    """Tensors by name, without the prefix that the container gives them."""
    keys = list(content) if isinstance(content, dict) else []
    held = [key for key in _CONTAINERS if key in keys and isinstance(content[key], dict)]
    if len(held) != 1:
        found = first(keys, 5) if keys else f"a {type(content).__name__}"
        raise CheckpointError(
            f"{path} holds {found}: not the published 'model' (v1) or 'state_dict' (Lightning) with tensors by name"
        )
    state, prefix = content[held[0]], _CONTAINERS[held[0]]
    for name, tensor in state.items():
        if not isinstance(name, str) or not name.startswith(prefix):
            raise CheckpointError(f"{path}: unexpected key {name!r} in {held[0]!r}; names begin with {prefix!r} there")
        if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or not tensor.is_floating_point():
            raise CheckpointError(f"{path}: {name!r} is no tensor of floating-point numbers")
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {name!r} holds values that are not finite")
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def _merge(tensors: dict[str, Tensor], alpha: float, path: Path) -> dict[str, Tensor]:
    """Fold adapters in: ``original + alpha / rank * B A``, the rank as the file has it."""
    layers: dict[str, dict[str, Tensor]] = {}
    plain = {}
    for name, tensor in tensors.items():
        if found := _LORA.match(name):
            layers.setdefault(found["layer"], {})[found["part"].removeprefix("0.lora_")] = tensor
        else:
            plain[name] = tensor
    for layer, parts in layers.items():
        missing = {"original", "A", "B"} - set(parts)
        if missing:
            raise CheckpointError(f"{path}: adapter of {layer!r} without {first(sorted(missing))}")
        weight, a, b = (parts[part].double() for part in ("original", "A", "B"))
        if weight.ndim != 2 or a.ndim != 2 or a.shape != (len(a), weight.shape[1]) or b.shape != (len(weight), len(a)):
            shapes = {part: tuple(tensor.shape) for part, tensor in parts.items()}
            raise CheckpointError(f"{path}: parts of the adapter of {layer!r} do not fit each other: {shapes}")
        if "dropout_mask" in parts and not bool((parts["dropout_mask"] == 1).all()):
            raise CheckpointError(f"{path}: lora_dropout_mask of {layer!r} is not 1 throughout")
        if f"{layer}.weight" in plain:
            raise CheckpointError(f"{path}: {layer!r} has both a weight and an adapted one")
        plain[f"{layer}.weight"] = weight + alpha / len(a) * (b @ a)
    return plain


def _rename(path: Path, tensors: dict[str, Tensor]) -> tuple[str, dict[str, str], list[str]]:
    """Kind of file, its names by ours, and names that no rule knows."""
    for kind, (mark, rules) in _KINDS.items():
        if mark not in tensors:
            continue
        named, unmatched = {}, []
        for name in tensors:
            matching = [(rule, new) for rule, new in rules.items() if re.match(rule, name)]
            if matching:
                named[re.sub(*matching[0], name)] = name
            else:
                unmatched.append(name)
        return kind, named, unmatched
    raise CheckpointError(f"{path} holds tensors {first(tensors, 5)}: not a network that was published for expression")


def _sizes(path: Path, named: dict[str, Tensor], n_heads: int | None) -> GETConfig:
    """The network these shapes are of; heads leave no trace in them."""
    embed = named["region_embed.embed.weight"]
    if embed.ndim != 2 or min(embed.shape) < 2:
        raise CheckpointError(
            f"{path}: the embedding of regions has the shape {tuple(embed.shape)}, not (width, features)"
        )
    width, n_features = embed.shape
    if n_heads is None and width % HEAD_SIZE:
        raise CheckpointError(
            f"{path}: width {width} is no multiple of {HEAD_SIZE}, the published size of a head, and the number of heads "
            "is not in the file: give n_heads="
        )
    n_heads = n_heads or width // HEAD_SIZE
    if n_heads < 1 or width % n_heads:
        raise CheckpointError(f"{path}: width {width} cannot be split into n_heads={n_heads}")
    head = named.get("head_exp.head.weight")
    task: Literal["expression", "accessibility"] = "expression"
    if head is not None and len(head) == 1:
        task = "accessibility"
    blocks = {found[1] for name in named if (found := re.match(r"^encoder\.blocks\.(\d+)\.", name))}
    return GETConfig(n_motifs=n_features - 1, width=width, n_layers=max(len(blocks), 1), n_heads=n_heads, task=task)


def _check(
    path: Path, named: dict[str, Tensor], old: dict[str, str], shapes: dict[str, tuple[int, ...]], unmatched: list[str]
) -> None:
    """Refuse tensors that are not those of the network; unexpected ones by their name in the file."""
    missing = sorted(set(shapes) - set(named))
    unexpected = sorted([*unmatched, *(old[n] for n in set(named) - set(shapes))])
    if missing or unexpected:
        raise CheckpointError(
            f"{path}: {len(missing)} tensors missing ({first(missing, 5)}), {len(unexpected)} unexpected "
            f"({first(unexpected, 5)})"
        )
    wrong = [f"{old[n]} {tuple(named[n].shape)} for {shape}" for n, shape in shapes.items() if named[n].shape != shape]
    if wrong:
        raise CheckpointError(f"{path}: {len(wrong)} tensors of another shape: {first(wrong, 5)}")
