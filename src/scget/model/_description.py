"""``model.json``: sealed by a sha256 of its own, of one format, and each entry of the type that GET.save gives it."""

from __future__ import annotations

from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from scget._errors import CheckpointError
from scget.data import Rules

from ._files import read_sealed

FORMAT = 4
DESCRIPTION = "model.json"
_NAMES = [str]
_NUMBER = (int, float)
_TEXT = (str, NoneType)
_LIKE: dict[str, Any] = {  # what an entry must be; of a list, what each must be
    "init": {"width": int, "n_layers": int, "seed": int},
    "setup": {"atac_layer": _TEXT, "rna_layer": _TEXT, "modalities": {"atac_layer": str, "rna_layer": str}},
    "rules": {
        "window": int,
        "fold": bool,
        "per_window": bool,
        "cutoff": _NUMBER,
        "activity": bool,
        "similar": bool,
        "extra": _NAMES,
    },
    "motif_scan": {},
    "annotation": {},
    "region_width": (*_NUMBER, NoneType),
    "motifs": (list, NoneType),
    "n_motifs": int,
    "trained": bool,
    "holdout": (dict, NoneType),
    "finetuned": {},
    "best_epoch": (int, NoneType),
    "history": {},
    "weights_sha256": str,
}
_HOLDOUT = {"obs": _NAMES, "chroms": _NAMES, "seen_obs": _NAMES, "seen_chroms": _NAMES}


def read_description(folder: Path) -> dict[str, Any]:
    """The checked content of ``model.json``; :class:`CheckpointError` for anything that GET.save does not write."""
    description = read_sealed(folder / DESCRIPTION, "model", FORMAT)
    wrong = _unlike(description, _LIKE) or _wrong_record(description)
    if wrong:
        raise CheckpointError(
            f"{folder / DESCRIPTION} is not as save() writes it: {wrong} is missing or of another kind"
        )
    return description


def _unlike(value: Any, like: Any, name: str = "") -> str:
    """Name of the first entry that is not as ``like`` says; empty where all are."""
    if isinstance(like, list):
        return "" if isinstance(value, list) and all(isinstance(item, like[0]) for item in value) else name
    if not isinstance(like, dict):
        return "" if isinstance(value, like) and not (like is int and isinstance(value, bool)) else name
    if not isinstance(value, dict):
        return name
    at = {key: f"{name}.{key}".lstrip(".") for key in like}
    found = (_unlike(value[key], part, at[key]) if key in value else at[key] for key, part in like.items())
    return next(filter(None, found), "")


def _wrong_record(description: dict[str, Any]) -> str:
    """As :func:`_unlike`, for what types alone do not say."""
    rules, motifs, holdout = description["rules"], description["motifs"], description["holdout"]
    for name, hint in get_type_hints(Rules).items():
        if get_origin(hint) is Literal and rules.get(name) not in get_args(hint):
            return f"rules.{name}"
    if rules["window"] < 1:
        return "rules.window"
    if motifs is not None and (_unlike(motifs, _NAMES, "motifs") or len(motifs) != description["n_motifs"]):
        return "motifs"
    if any(_unlike(losses, [_NUMBER], "history") for losses in description["history"].values()):
        return "history"
    return "" if holdout is None else _unlike(holdout, _HOLDOUT, "holdout")
