"""All splits in one call, each kept on disk as it is done."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scget import _keys
from scget._errors import InputError, first
from scget.data._table import positions
from scget.pp._regions import regions_of

from ._baselines import BASELINES
from ._compare import COLUMNS, check_options, chosen_of, compare
from ._splits import Split

if TYPE_CHECKING:
    from mudata import MuData

    from scget.model import GET, Ensemble

NUMBERS = ["value", "low", "high"]


def cross_validate(
    mdata: MuData,
    splits: Sequence[Split],
    fit: Callable[[MuData, Split], GET | Ensemble],
    *,
    out: str | Path | None = None,
    predictors: Sequence[str | Mapping[str, Any]] | Mapping[str, Any] = tuple(BASELINES),
    settings: Any = None,
    atac: str = _keys.ATAC,
    **compare_kwargs: Any,
) -> pd.DataFrame:
    """Train a model per split, and score each on what it left out.

    Parameters
    ----------
    mdata
        Rows x (regions, genes).
    splits
        From :func:`leave_one_out`, :func:`leave_groups_out`, :func:`chromosome_folds`, or a list of :class:`Split`.
    fit
        Given ``mdata`` and a split, it trains a model without ``split.obs`` and ``split.chroms`` and returns it.
    out
        Folder for one table per split, written when it is done. Called again, what is done is read, not done again.
        None: memory alone.
    predictors
        As for :func:`compare`. A model or function is known on disk by its name alone.
    settings
        Of ``fit``, as JSON can hold them (such as its learning rate): with other settings nothing is taken from ``out``.
    atac
        Name of the ATAC modality.
    **compare_kwargs
        To :func:`compare`, all but ``rows``.

    Returns
    -------
    The tables of :func:`compare` one after another, the name of the split first, as column ``fold``.

    What is in ``out`` is taken for done if split, settings, arguments, and the names of rows, regions and genes are
    the same. That ``fit`` or the counts have changed cannot be seen: then give another ``out`` or other ``settings``.

    Raises
    ------
    InputError
        Before any training: if a row or chromosome is not in the data, two splits have one name, or an argument has no
        meaning. After training: if ``fit`` did not leave out what the split says.

    Examples
    --------
    >>> def fit(pb, split):
    ...     scget.model.GET.setup_mudata(pb)
    ...     model = scget.model.GET(pb, width=8, n_layers=1, n_heads=2, window=32)
    ...     model.train(1, holdout_obs=split.obs, holdout_chroms=split.chroms, enable_progress_bar=False)
    ...     return model
    >>> splits = scget.bm.leave_one_out(["T0", "Mono"], chroms=["chr10"])
    >>> table = scget.bm.cross_validate(pb, splits, fit, out="scores", predictors=["training_mean"])
    >>> table["fold"].unique().tolist()
    ['T0', 'Mono']
    """
    _check_splits(mdata, splits, atac)
    names = list(chosen_of(predictors))
    if "rows" in compare_kwargs:
        raise InputError("rows are those of each split; leave rows= out")
    check_options(**{k: v for k, v in compare_kwargs.items() if k in ("metrics", "n_bootstrap", "over")})
    task = {"predictors": names, "settings": settings, "compare": compare_kwargs, "data": _data_digest(mdata)}
    paths = None if out is None else [Path(out) / _file_name(split, task) for split in splits]
    tables = []
    for i, split in enumerate(tqdm(splits, desc="splits")):
        if paths is not None and paths[i].is_file():
            tables.append(_read(paths[i]))
            continue
        model = fit(mdata, split)
        _check_held_out(model, split)
        table = compare(model, mdata, rows=split.obs or None, predictors=predictors, **compare_kwargs)
        if paths is not None:
            _write(table, paths[i])
        tables.append(table)
    folds = zip(tables, splits, strict=True)
    return pd.concat([table.assign(fold=split.name)[["fold", *COLUMNS]] for table, split in folds], ignore_index=True)


def _check_splits(mdata: MuData, splits: Sequence[Split], atac: str) -> None:
    wrong = [s for s in splits if not isinstance(s, Split)]
    if wrong or not len(splits):
        found = f"a {type(wrong[0]).__name__}" if wrong else "no split"
        raise InputError(f"{found} among splits; give a list of scget.bm.Split, such as leave_one_out(rows)")
    names = [split.name for split in splits]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{first(twice)} names more than one split; give each a name of its own")
    if atac not in mdata.mod:
        raise InputError(f"no modality {atac!r}; there are {first(mdata.mod)}: name it with atac=")
    rows, chroms = mdata[atac].obs_names.to_numpy(), np.unique(regions_of(mdata[atac]).chrom)
    for split in splits:
        positions(rows, split.obs, "row")
        positions(chroms, split.chroms, "chromosome")


def _check_held_out(model: GET | Ensemble, split: Split) -> None:
    """Refuse a model that saw what it should not, or is not trained."""
    holdout = getattr(model, "holdout", None)
    if holdout is None:
        raise InputError(f"fit() gave a {type(model).__name__} for split {split.name!r}; a trained model is needed")
    leaked = [f"row {r}" for r in split.obs if r in holdout.seen_obs]
    leaked += [f"chromosome {c}" for c in split.chroms if c in holdout.seen_chroms or c not in holdout.chroms]
    if leaked:
        raise InputError(
            f"the model of split {split.name!r} did not hold out {first(leaked)}; in fit, train with "
            "holdout_obs=split.obs and holdout_chroms=split.chroms"
        )


def _data_digest(mdata: MuData) -> str:
    """Of the names of all rows, regions and genes."""
    digest = hashlib.sha256()
    for name in sorted(mdata.mod):
        for axis in (mdata[name].obs_names, mdata[name].var_names):
            digest.update(json.dumps([name, *map(str, axis)]).encode())
    return digest.hexdigest()


def _file_name(split: Split, task: dict[str, Any]) -> str:
    """The split's name as files bear it, and a digest of all that the table depends on."""
    try:
        text = json.dumps([split.name, split.obs, split.chroms, task], sort_keys=True)
    except TypeError as error:
        raise InputError(
            f"settings or arguments cannot be told apart on disk ({error}); give text and numbers"
        ) from error
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", split.name)[:60]
    return f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.csv"


def _write(table: pd.DataFrame, path: Path) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        table.to_csv(fresh, index=False)
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def _read(path: Path) -> pd.DataFrame:
    """A table as it was written: names such as "NA" stay names."""
    missing = {name: [""] for name in NUMBERS}
    types = dict.fromkeys(COLUMNS, str) | dict.fromkeys(NUMBERS, float) | {"n": int}
    try:
        table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=missing, float_precision="round_trip")
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is not a table of scores ({error}); delete it, and its split is done again"
        ) from error
    if table.columns.tolist() != COLUMNS or not len(table):
        raise InputError(f"{path} is not a table of scores; delete it, and its split is done again")
    return table
