"""What is asked of a new model: refused where it has no meaning, else rules of its data and the shape of its network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scget._errors import InputError
from scget.data import PRESETS, Rules
from scget.module import GETConfig

_CHOICES = {
    "preset": (*PRESETS,),
    "baseline": ("similar_rows", "gene_activity", "training_mean", "zero", None),
    "closed": ("promoters", "drop", "keep", None),
    "accessibility": ("quantitative", "binary", None),
    "task": ("expression", "accessibility", "both"),
}


def _check_choices(**given: Any) -> None:
    for name, value in given.items():
        if value not in _CHOICES[name]:
            raise InputError(f"{name}={value!r}: one of {', '.join(repr(c) for c in _CHOICES[name])} is needed")


def check_seed(seed: Any) -> None:
    """Refuse what numpy's generators would, once training has begun."""
    if type(seed) is not int or seed < 0:
        raise InputError(f"seed={seed!r}: a whole number of at least 0 is needed")


def choose_rules(
    preset: str,
    baseline: str | None,
    window: int | None,
    closed: Any,
    accessibility: str | None,
    task: str,
    extra: Sequence[str] | None,
) -> Rules:
    """The rules of a preset with what was asked for in their place; settings without meaning are refused."""
    _check_choices(preset=preset, baseline=baseline, closed=closed, accessibility=accessibility, task=task)
    rules = PRESETS[preset]
    window = rules.window if window is None else window
    if type(window) is not int or window < 1:
        raise InputError(f"window={window!r}: a whole number of at least 1 region is needed")
    if accessibility == "binary" and task != "expression":
        raise InputError(
            f"task={task!r} with accessibility='binary': open regions are all 1, so there is nothing to learn. Take "
            "'quantitative'."
        )
    rules = replace(rules, window=window, closed=closed or rules.closed, extra=tuple(extra or ()))
    if baseline is not None:
        similar, activity = baseline == "similar_rows", baseline in ("gene_activity", "similar_rows") and rules.fold
        if baseline == "gene_activity" and not activity:
            raise InputError(
                "baseline='gene_activity' needs accessibility over its training mean: not with preset='compat'"
            )
        rules = replace(rules, similar=similar, activity=activity)
    return replace(rules, accessibility="binary") if accessibility == "binary" else rules


def choose_network(
    rules: Rules, preset: str, baseline: str | None, by_distance: dict[str, bool | None], **sizes: Any
) -> GETConfig:
    """The network for these rules: the published one for ``compat``, where nothing else is asked for."""
    default = preset == "default"
    deviation = default if baseline is None else baseline != "zero"
    usual = {"distance_bias": default, "distance_sums": default and deviation}
    chosen = {name: usual[name] if value is None else bool(value) for name, value in by_distance.items()}
    if sizes["task"] == "accessibility":
        chosen["distance_sums"] = False  # they would tell of it
    try:
        return GETConfig(
            n_channels=rules.n_channels,
            n_accessibility=1 + rules.fold,
            deviation=deviation,
            distance_bias=chosen["distance_bias"],
            distance_sums=chosen["distance_sums"],
            **sizes,
        )
    except ValueError as error:
        raise InputError(str(error)) from error
