"""What a shared model tells of itself: data, hold-outs, genome, accuracy, licence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scget._errors import InputError, first, needs_extra
from scget._version import scget_version

from ._description import DESCRIPTION

if TYPE_CHECKING:
    from ._get import GET

_TAGS = ["biology", "genomics", "gene-expression", "chromatin-accessibility", "atac-seq"]
_FEW_NAMES = 3  # of what was held out, in the text of a model
_METRIC_COLUMNS = ["split", "row", "metric", "predictor", "value"]
_MOST_NAMES = 100  # of rows in a card; all are in model.json
_SPLITS = {
    "rows": "held-out rows, genes of training chromosomes",
    "chroms": "training rows, genes of held-out chromosomes",
    "both": "held-out rows, genes of held-out chromosomes",
}


def model_card(
    model: GET,
    repo_id: str,
    *,
    license: str,
    description: str,
    datasets: Sequence[str],
    tags: Sequence[str],
    metrics: pd.DataFrame | None,
) -> str:
    """The text of ``README.md``: the Hub's header, then what a user must know; arguments as for :func:`push_to_hub`."""
    with needs_extra("hub"):
        from huggingface_hub import ModelCardData
    if model.scaling is None:
        raise InputError("there is nothing to share: this model has not learnt yet; pretrain() or train() it first")
    if not isinstance(license, str) or not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license):
        raise InputError(
            f"license={license!r}: an identifier of https://hf.co/docs/hub/repositories-licenses is needed, such as "
            "'cc-by-4.0' or 'mit', or 'other' with its text in description="
        )
    if isinstance(datasets, str) or isinstance(tags, str):
        raise InputError(f"datasets={datasets!r}, tags={tags!r}: lists are needed")
    own = [tag for tag in _TAGS if tag != "gene-expression" or model.config.task != "accessibility"]
    header = ModelCardData(library_name="scget", license=license, tags=[*own, *tags], datasets=list(datasets) or None)
    title = repo_id.split("/")[-1]
    parts = [
        f"---\n{header.to_yaml()}\n---",
        f"# {title}",
        description.strip() or "No description was given.",
        _USE.format(kind=_kind(model), repo_id=repo_id, **_WHAT[model.config.task]),
        "## Data\n\n" + _table(_data(model)),
        "## Held out\n\n" + _table(_held_out(model)),
        "## Motif scores\n\n" + _table(model.motif_scan),
        "## Promoters\n\n" + _table(model.annotation),
        "## Accuracy\n\n" + _accuracy(metrics, _record(model).get("seen_obs", [])),
        "## Network and training\n\n" + _table(_settings(model)),
        f"## Licence\n\n`{license}`, as stated by who uploaded the model. The data it learnt from may set terms of their own.",
        f"Written by scget {scget_version()}.",
    ]
    return "\n\n".join(parts) + "\n"


_USE = """{kind} for [scget](https://pypi.org/project/scget): {what}, with the network of
Fu et al., Nature 2025 (doi 10.1038/s41586-024-08391-z).

```python
import scget  # pip install "scget[hub]"
model = scget.model.GET.from_pretrained("{repo_id}")
{call}
```

`mdata` needs raw counts of regions, scores of the same motifs, and promoters. The files hold tensors and text, with a sha256 of either;
no code is run on reading."""


_EXPRESSION = "expression = model.predict(mdata)  # rows x genes, log10(CPM + 1)"
_ACCESSIBILITY = "accessibility = model.predict_accessibility(mdata)  # rows x regions, 1: typical of open ones"
_WHAT = {
    "expression": {"what": "gene expression from chromatin accessibility and motifs", "call": _EXPRESSION},
    "accessibility": {"what": "chromatin accessibility from motifs", "call": _ACCESSIBILITY},
    "both": {
        "what": "gene expression from chromatin accessibility and motifs, and accessibility from motifs",
        "call": f"{_EXPRESSION}\n{_ACCESSIBILITY}",
    },
}


def _kind(model: GET) -> str:
    what = "accessibility" if model.config.task == "accessibility" else "expression"
    return "A model" if model.is_trained_ else f"A pretrained network, which cannot predict {what} before `train()`,"


def _record(model: GET) -> dict[str, Any]:
    return {} if model.holdout is None else model.holdout.asdict()


def _data(model: GET) -> dict[str, Any]:
    scaling, held = model.scaling, _record(model)
    width = "not recorded" if model.region_width is None else f"{model.region_width:,.0f} bp"
    return {
        "rows trained on": _names(held.get("seen_obs") or None),
        "chromosomes trained on": _names(held.get("seen_chroms") or None),
        "regions": f"{len(scaling.region_p):,}, median width {width}",
        "genes with a training mean": f"{np.isfinite(scaling.expression_g).sum():,} of {len(scaling.gene_g):,}",
        "expression of the training rows": "mean alone"
        if scaling.similar is None
        else "each row's own, in the weights file",
        "motifs": f"{len(model.motifs):,}",
        "genome": model.motif_scan.get("genome", "not recorded"),
        "annotation": model.annotation.get("file", "not recorded"),
    }


def _held_out(model: GET) -> dict[str, Any]:
    held = _record(model)
    lines = {"rows": _names(held.get("obs")), "chromosomes": _names(held.get("chroms"))}
    if not held.get("imported"):
        return lines
    imported = {f"imported weights: {name}": value for name, value in held["imported"].items()}
    note = "what the imported weights were trained on is not on record; below, what the uploader states of it"
    return {f"{name} since the import": value for name, value in lines.items()} | {"before": note, **imported}


def _settings(model: GET) -> dict[str, Any]:
    epochs = {
        name: f"{len(t):,} epochs, last {t[name].iloc[-1]:.4g}" for name, t in (model.history_ or {}).items() if len(t)
    }
    tuned = {f"fine-tuning: {name}": value for name, value in model.finetuned.items()}
    chosen = {"preset": model.init_params_["non_kwargs"]["preset"], "seed": model.seed}
    return {**chosen, **asdict(model.config), **model.rules.asdict(), **epochs, **tuned}


def _accuracy(metrics: pd.DataFrame | None, seen: Sequence[str]) -> str:
    """Mean over rows of each metric, predictors beside each other."""
    if metrics is None:
        return "Not given."
    missing = [c for c in _METRIC_COLUMNS if c not in getattr(metrics, "columns", ())]
    if missing or not len(metrics):
        raise InputError(f"metrics lacks {first(missing) or 'lines'}: a table of scget.bm.evaluate(model) is needed")
    wide = metrics.pivot_table(
        index=["split", "metric"], columns="predictor", values="value", aggfunc="mean", sort=False
    )
    lines = [_line(["split", "metric", *wide.columns]), _line(["---"] * (2 + wide.shape[1]), raw=True)]
    lines += [
        _line([*key, *(f"{value:.3f}" for value in values)])
        for key, values in zip(wide.index, wide.to_numpy(), strict=True)
    ]
    n_rows = metrics[metrics["row"] != "all"].groupby("split")["row"].nunique()
    splits = [f"`{name}`: {meaning} ({n_rows[name]} rows)" for name, meaning in _SPLITS.items() if name in n_rows]
    known = sorted(set(metrics.loc[metrics["split"].isin(["rows", "both"]), "row"]) & set(seen))
    notes = [
        "Means over rows, by `scget.bm.evaluate`, of the model (`GET`) beside simple predictors fitted to the same rows.",
        "; ".join(splits) + "." if splits else "",
        "`delta_`: departures from the training mean; `change_`: from each predictor's own mean.",
        "The training mean and the best training row know the genes of held-out chromosomes from the training rows, the model does not.",
        f"**{len(known)} rows scored as held out were trained on** ({_names(known)})." if known else "",
    ]
    return " ".join(note for note in notes if note) + "\n\n" + "\n".join(lines)


def _table(record: Mapping[str, Any]) -> str:
    if not record:
        return "Not recorded."
    return "\n".join(["| | |", "| --- | --- |", *(_line([key, value]) for key, value in record.items())])


def _line(cells: Sequence[Any], raw: bool = False) -> str:
    return "| " + " | ".join(cell if raw else _text(cell) for cell in cells) + " |"


def _names(names: Sequence[str] | None) -> str:
    """How many, and which; not more than a reader would read."""
    if not names:
        return "not recorded" if names is None else "none"
    shown = ", ".join(map(str, names[:_MOST_NAMES]))
    return f"{len(names):,}: {shown}" + (f" and others, in {DESCRIPTION}" if len(names) > _MOST_NAMES else "")


def _text(value: Any) -> str:
    """One line of plain text: names come from data, and must neither break a table nor become markup."""
    return re.sub(r"([\\`*_\[\]<>|&~#])", r"\\\1", " ".join(str(value).split()))


def told_shortly(model: GET) -> str:
    """What a notebook shows of a model: its size, what it was trained on, and what was held out."""
    config, holdout = model.config, model.holdout
    size = f"{config.width} wide, {config.n_layers} layers, {config.n_heads} heads, windows of {model.window} regions"
    lines = [f"GET: {config.n_motifs:,} motif clusters; {size}; task {config.task!r}"]
    if holdout is None:
        return "\n".join([*lines, "not trained yet"])
    lines.append(
        f"{'trained' if model.is_trained_ else 'pretrained'} on {len(holdout.seen_obs):,} rows, {len(holdout.seen_chroms):,} chromosomes"
    )
    for what, names in (("rows", holdout.obs), ("chromosomes", holdout.chroms)):
        more = f" and {len(names) - _FEW_NAMES:,} more" if len(names) > _FEW_NAMES else ""
        lines.append(f"{what} held out: {', '.join(map(str, names[:_FEW_NAMES])) or 'none'}{more}")
    return "\n".join(lines)
