"""A model on disk: tensors in safetensors, all else in JSON, which holds a sha256 of both. No code is ever run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from scget._errors import CheckpointError, InputError, first
from scget._keys import MOTIF_NAMES
from scget._version import scget_version
from scget.data import Rules, Scaling
from scget.module import rank

from ._description import DESCRIPTION, FORMAT, read_description
from ._files import content_of, replacing, sealed, write_synced
from ._holdout import HoldOut
from ._setup import unlike_motifs

if TYPE_CHECKING:
    from mudata import MuData

    from ._get import GET

WEIGHTS = "weights.safetensors"
_TEXT = ("region_p", "gene_g", "similar.row_j")  # arrays of Scaling that hold names


def write(
    folder: Path, state: dict[str, Tensor], scaling: Scaling | None, description: dict[str, Any], *, overwrite: bool
) -> None:
    """Write the two files, whole or not at all; of several processes, one does."""
    if rank():
        return
    foreign = [p.name for p in folder.iterdir() if p.name not in (WEIGHTS, DESCRIPTION)] if folder.is_dir() else []
    tensors = {f"module.{name}": t.detach().cpu().contiguous() for name, t in state.items()}
    for name, array in ({} if scaling is None else scaling.arrays()).items():
        tensors[f"scaling.{name}"] = _text_to_tensor(array) if name in _TEXT else torch.from_numpy(np.array(array))
    weights = save(tensors)
    description = sealed({"format": FORMAT, **description, "weights_sha256": hashlib.sha256(weights).hexdigest()})
    with replacing(folder, foreign, "model", overwrite=overwrite) as fresh:
        write_synced(fresh / WEIGHTS, weights)
        write_synced(fresh / DESCRIPTION, json.dumps(description, indent=1).encode())


def read(folder: Path) -> tuple[dict[str, Tensor], Scaling | None, dict[str, Any]]:
    """Read and check what :func:`write` wrote; :class:`CheckpointError` for anything else."""
    description = read_description(folder)
    weights = content_of(folder / WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != description["weights_sha256"]:
        raise CheckpointError(
            f"sha256 of {folder / WEIGHTS} differs from {DESCRIPTION}: damaged or changed, copy it again"
        )
    try:
        tensors = load(weights)
    except (SafetensorError, AssertionError, KeyError, RuntimeError, ValueError) as error:  # its reader has them all
        raise CheckpointError(f"{folder / WEIGHTS} is not a whole safetensors file ({error!r})") from error
    state = {n.removeprefix("module."): t for n, t in tensors.items() if n.startswith("module.")}
    fitted = {n.removeprefix("scaling."): t for n, t in tensors.items() if n.startswith("scaling.")}
    try:
        arrays = {n: _tensor_to_text(t) if n in _TEXT else t.numpy() for n, t in fitted.items()}
        return state, Scaling.of(arrays, Rules()) if arrays else None, description
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder / WEIGHTS} lacks fitted scales ({error})") from error


def describe(model: GET) -> dict[str, Any]:
    """Everything of a model but its tensors, as plain lists, strings and numbers."""
    history = model.history_ or {}
    return {
        "scget": scget_version(),
        "torch": torch.__version__,
        "init": model.init_params_["non_kwargs"],
        "setup": model.registry["setup_args"],
        "rules": model.rules.asdict(),
        "motif_scan": model.motif_scan,
        "annotation": model.annotation,
        "region_width": model.region_width,
        "motifs": None if model.motifs is None else [str(m) for m in model.motifs],
        "n_motifs": model.config.n_motifs,
        "trained": model.is_trained_,
        "holdout": None if model.holdout is None else model.holdout.asdict(),
        "finetuned": model.finetuned,
        "best_epoch": model.best_epoch,
        "history": {name: [float(x) for x in table[name]] for name, table in history.items()},
    }


def restore(cls: type[GET], folder: Path, mdata: MuData | None) -> GET:
    """The model that was saved in ``folder``, attached to ``mdata`` or to no data."""
    state, scaling, description = read(folder)
    if "adapters" in description:
        raise CheckpointError(
            f"{folder} holds adapters alone: load their base, then model.load_adapters({str(folder)!r})"
        )
    try:
        setup, init = description["setup"], description["init"]
        n_motifs = int(description["n_motifs"])
        _check_sizes(state, init, n_motifs)
        _check_scaling(scaling, n_motifs, len(description["rules"]["extra"]))
        if mdata is not None:
            cls.setup_mudata(mdata, **setup)
            model = cls(mdata, **init)
        else:
            model = cls(registry=registry_of(cls.__name__, setup, n_motifs), **init)
        take_record(model, description, scaling)
    except (InputError, CheckpointError):  # of the data, not of the file; or clear already
        raise
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError) as error:
        raise CheckpointError(f"{folder / DESCRIPTION} is not as save() writes it ({error!r})") from error
    if mdata is not None and model.motifs is not None:
        difference = unlike_motifs(model.motifs, mdata[setup["modalities"]["atac_layer"]].uns[MOTIF_NAMES])
        if difference:
            raise CheckpointError(difference)
    load_state(model.module, state)
    return model


def take_record(model: GET, description: dict[str, Any], scaling: Scaling | None) -> None:
    """Give ``model`` all that was learnt but the weights; nothing is changed where a part is missing."""
    holdout, motifs, width = description["holdout"], description["motifs"], description["region_width"]
    rules = Rules.of(description["rules"])
    record = {
        "rules": rules,
        "scaling": None if scaling is None else replace(scaling, rules=rules),
        "holdout": None if holdout is None else HoldOut(**holdout),
        "motifs": None if motifs is None else np.array(motifs, dtype=object),
        "motif_scan": dict(description["motif_scan"]),
        "annotation": dict(description["annotation"]),
        "region_width": None if width is None else float(width),
        "finetuned": dict(description["finetuned"]),
        "best_epoch": description["best_epoch"],
        "is_trained_": bool(description["trained"]),
        "history_": {name: pd.DataFrame({name: values}) for name, values in description["history"].items()},
    }
    if record["is_trained_"] and (scaling is None or record["motifs"] is None or record["holdout"] is None):
        raise CheckpointError("a model said to be trained lacks its fitted scales, motifs or hold-outs")
    for name, value in record.items():
        setattr(model, name, value)


def registry_of(name: str, setup: dict[str, Any], n_motifs: int) -> dict[str, Any]:
    """What scvi-tools needs to know of a model without data."""
    fields = {"motifs": {"data_registry": {}, "state_registry": {}, "summary_stats": {"n_motifs": n_motifs}}}
    names = {"model_name": name, "setup_method_name": "setup_mudata", "setup_args": setup}
    return {**names, "field_registries": fields}


def _check_sizes(state: dict[str, Tensor], init: dict[str, Any], n_motifs: int) -> None:
    """Refuse sizes that are not those of the tensors, before a network of that size is built."""
    n_layers = len({name.split(".")[2] for name in state if name.startswith("encoder.blocks.")})
    width, n_features = state["region_embed.embed.weight"].shape
    said, found = (init["width"], init["n_layers"]), (width, n_layers)
    if said != found or not 0 <= n_motifs < n_features:
        raise CheckpointError(
            f"{DESCRIPTION} tells of width and layers {said} and {n_motifs} motifs, the tensors are of {found} and "
            f"{n_features} features"
        )


def _check_scaling(scaling: Scaling | None, n_motifs: int, n_extra: int) -> None:
    """Refuse fitted scales that do not fit each other."""
    arrays = {} if scaling is None else scaling.arrays()
    n_regions, n_genes, n_rows = (arrays[name].size if name in arrays else 0 for name in _TEXT)
    shapes = {"motif_m": (n_motifs,), "level": (2,), "deviation": (1,), "activity": (2,), "extra_e2": (n_extra, 2)}
    shapes |= {
        "region_p": (n_regions,),
        "accessibility_p": (n_regions,),
        "gene_g": (n_genes,),
        "expression_g": (n_genes,),
        "spread_g": (n_genes,),
        "similar.departure_jg": (n_rows, n_genes),
        "similar.error_g": (n_genes,),
        "similar.trust": (1,),
    }
    if n_rows:
        region_n = arrays["similar.region_n"]
        shapes["similar.open_jn"] = (n_rows, region_n.size)
    kinds = dict.fromkeys(_TEXT, "O") | {"similar.region_n": "i"}
    wrong = [n for n, a in arrays.items() if a.shape != shapes.get(n, (a.size,)) or a.dtype.kind != kinds.get(n, "f")]
    if n_rows and not wrong and region_n.size and not 0 <= region_n.min() <= region_n.max() < n_regions:
        wrong = ["similar.region_n"]
    if wrong:
        raise CheckpointError(f"{WEIGHTS} holds fitted scales that do not fit each other or the motifs: {first(wrong)}")


def load_state(module: torch.nn.Module, state: dict[str, Tensor]) -> None:
    """Fill ``module``, strict in names and shapes."""
    check_shapes(state, {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()})
    module.load_state_dict(state)


def check_shapes(state: dict[str, Tensor], own: dict[str, tuple[int, ...]]) -> None:
    """Refuse tensors that are not those of ``own`` by name and shape."""
    missing, extra = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing or extra:
        raise CheckpointError(
            f"{len(missing)} tensors missing ({first(missing, 5)}), {len(extra)} unexpected ({first(extra, 5)})"
        )
    wrong = [n for n in own if own[n] != tuple(state[n].shape)]
    if wrong:
        raise CheckpointError(
            f"{len(wrong)} tensors of another shape, first {wrong[0]}: {tuple(state[wrong[0]].shape)}"
        )


def digest(state: dict[str, Tensor]) -> str:
    """First 16 hex digits of the sha256 of the weights; names a model in results."""
    return hashlib.sha256(save({n: t.detach().cpu().contiguous() for n, t in state.items()})).hexdigest()[:16]


def _text_to_tensor(names: np.ndarray) -> Tensor:
    return torch.from_numpy(np.frombuffer(json.dumps([str(n) for n in names]).encode(), dtype=np.uint8).copy())


def _tensor_to_text(content: Tensor) -> np.ndarray:
    return np.array(json.loads(content.numpy().tobytes()), dtype=object)
