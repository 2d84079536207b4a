"""One model per fold of chromosomes, each blind to some of them. A class method of GET."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from scget._errors import CheckpointError, InputError, first
from scget.data import RegionTable

from . import _ensemble_files as files
from ._digest import digest
from ._ensemble import Ensemble
from ._holdout import names_of, split

if TYPE_CHECKING:
    from mudata import MuData

    from ._get import GET

_ELSEWHERE = ("accelerator", "devices", "enable_progress_bar", "logger")  # where a run goes on, not what it is


def train_folds(
    cls: type[GET],
    mdata: MuData,
    n_folds: int = 5,
    *,
    left_out: int = 2,
    holdout_obs: Sequence[str] | None = None,
    holdout_chroms: Sequence[str] | None = None,
    folder: str | Path | None = None,
    seed: int = 0,
    max_epochs: int = 50,
    pretrain_epochs: int = 0,
    model_kwargs: dict[str, Any] | None = None,
    pretrain_kwargs: dict[str, Any] | None = None,
    **train_kwargs: Any,
) -> Ensemble:
    """Train one model per fold of chromosomes, to be asked as one, with a calibrated uncertainty.

    Chromosomes not held out are dealt into ``n_folds`` groups of about as many promoters. Member ``i`` is trained
    without the groups ``i, i + 1, ..., i + left_out - 1``, counted round. So each chromosome is unseen by ``left_out``
    members, whose mean is an honest prediction of its genes and whose spread can be set beside the errors made.

    Parameters
    ----------
    mdata
        Registered with :meth:`setup_mudata`.
    n_folds
        Members, and groups of chromosomes; at most as many as there are chromosomes to train on.
    left_out
        Groups a member does not see. With 1 each sees more, but errors are not told apart by the spread.
    holdout_obs, holdout_chroms
        Rows and chromosomes that no member sees.
    folder
        Keep members there as they are done; called again with the same data and arguments, go on from them. The
        finished folder is read by :meth:`Ensemble.load`. None: memory alone.
    seed
        Member ``i`` has the seed ``seed + i``.
    max_epochs, pretrain_epochs
        Of each member; 0 leaves pretraining out.
    model_kwargs
        Of the model, such as ``width``.
    pretrain_kwargs, **train_kwargs
        As for :meth:`pretrain` and :meth:`train`; None: the same for both, but ``loss``, and
        where training watches delta r, pretraining watches its loss. Chromosomes in ``validation_chroms`` are
        in no fold.

    Raises
    ------
    InputError
        If there are too few chromosomes, or as :meth:`train` raises.
    CheckpointError
        If ``folder`` holds something else, or another run.

    Examples
    --------
    >>> scget.model.GET.setup_mudata(pb)
    >>> small = {"width": 8, "n_layers": 1, "n_heads": 2, "window": 32}
    >>> ensemble = scget.model.GET.train_folds(
    ...     pb, 3, max_epochs=1, holdout_obs=["Mono"], model_kwargs=small, enable_progress_bar=False
    ... )
    >>> sorted(ensemble.folds), len(ensemble.members)
    (['chr1', 'chr10', 'chr2'], 3)
    >>> ensemble.predict_std(rows=["Mono"]).shape
    (1, 51)
    """
    settings = {name: value for name, value in locals().items() if name not in ("cls", "mdata", "folder")}
    settings["model_kwargs"] = model_kwargs = dict(model_kwargs or {})
    table = _checked(cls, mdata, model_kwargs, seed)
    held = split(table, holdout_obs or (), holdout_chroms or (), None)[2]
    watched = names_of(validation_chroms=train_kwargs.get("validation_chroms", ()))
    folds = deal(table, [*held.chroms, *watched], n_folds, left_out)
    settings |= {"holdout_obs": sorted(held.obs), "holdout_chroms": sorted(held.chroms), "data": digest(table)}
    path = None if folder is None else Path(folder)
    if path is not None:
        start_or_go_on(path, _plain(settings), folds)
    members = []
    for i in tqdm(range(n_folds), desc="members"):
        away = [*held.chroms, *(c for c, fold in folds.items() if (fold - i) % n_folds < left_out)]
        members.append(_member(cls, mdata, settings, i, away, path))
    ensemble = Ensemble(members, folds)
    ensemble.calibrate()
    if path is not None:
        files.write_description(path, files.describe(ensemble, path, _plain(settings)))
    return ensemble


def _checked(cls: type[GET], mdata: MuData, model_kwargs: dict[str, Any], seed: int) -> RegionTable:
    """The data as members read them; :class:`InputError` where no ensemble can be made."""
    if "seed" in model_kwargs:
        raise InputError("model_kwargs holds a seed; give train_folds(seed=...), which gives each member its own")
    if model_kwargs.get("task") == "accessibility":
        raise InputError("an ensemble predicts expression; task='accessibility' has none to average")
    table = cls(mdata, **model_kwargs, seed=seed).table()
    if table.expression_kg is None:
        raise InputError("train_folds() needs expression: the MuData has no RNA modality with counts")
    return table


def deal(table: RegionTable, held: Sequence[str], n_folds: int, left_out: int) -> dict[str, int]:
    """Chromosome to fold: the one of most promoters first, each to the fold that has the fewest so far."""
    chroms = [str(c) for c in table.chroms if str(c) not in set(held)]
    if not isinstance(n_folds, int) or not 2 <= n_folds <= len(chroms):
        raise InputError(
            f"n_folds={n_folds} and {len(chroms)} chromosomes to train on ({first(chroms)}): at least 2 folds, and at "
            "most one per chromosome"
        )
    if not isinstance(left_out, int) or not 1 <= left_out < n_folds:
        raise InputError(f"left_out={left_out} of {n_folds} folds: from 1 to {n_folds - 1}")
    pairs = table.promoters
    count_c = np.bincount(table.chrom_p[pairs.region_q[pairs.slot_n]], minlength=len(table.chroms))
    count = dict(zip(map(str, table.chroms), count_c.tolist(), strict=True))
    load, folds = [(0, 0, fold) for fold in range(n_folds)], {}
    for chrom in sorted(chroms, key=lambda c: -count[c]):  # ties in genome order
        promoters, n, fold = min(load)
        load[fold] = (promoters + count[chrom], n + 1, fold)
        folds[chrom] = fold
    return {chrom: folds[chrom] for chrom in chroms}


def start_or_go_on(folder: Path, settings: dict[str, Any], folds: dict[str, int]) -> None:
    """Note in ``folder`` what run it is of; :class:`CheckpointError` if it is of another."""
    foreign = files.not_of_an_ensemble(folder)
    if foreign or (folder.exists() and not folder.is_dir()):
        raise CheckpointError(f"{folder} is not of train_folds (it holds {first(foreign) or 'a file'}); choose another")
    begun = folder.is_dir() and any(path.name.startswith("member_") for path in folder.iterdir())
    if not begun:
        folder.mkdir(parents=True, exist_ok=True)
        files.write_description(folder, {"folds": folds, "run": settings, "members": None, "calibration": None})
        return
    if not (folder / files.DESCRIPTION).exists():
        raise CheckpointError(f"{folder} holds members but no {files.DESCRIPTION}; choose another folder")
    there = files.read_description(folder).get("run")
    there = there if isinstance(there, dict) else {}
    other = [name for name, value in settings.items() if there.get(name) != value]
    if other:
        raise CheckpointError(
            f"{folder} holds another run: {first(other)} differ (there {there.get(other[0])!r}, here "
            f"{settings[other[0]]!r}); give the same data and arguments, or choose another folder"
        )


def _member(
    cls: type[GET], mdata: MuData, settings: dict[str, Any], i: int, away: list[str], folder: Path | None
) -> GET:
    """Member ``i``: the one an earlier call left in ``folder``, or a new one."""
    after, before = settings["train_kwargs"], settings["pretrain_kwargs"]
    before = _for_pretraining(after) if before is None else before
    place = None if folder is None else files.member_folder(folder, i)
    if place is not None and place.exists():
        member = _done(cls, place, mdata, away, after.get("accelerator", "auto"))
        if member is not None:
            return member
    member = cls(mdata, **settings["model_kwargs"], seed=settings["seed"] + i)
    held = {"holdout_obs": settings["holdout_obs"], "holdout_chroms": away}
    if settings["pretrain_epochs"]:
        member.pretrain(settings["pretrain_epochs"], **held, **before)
    member.train(settings["max_epochs"], **held, **after)
    if place is not None:
        member.save(place, overwrite=True)
    return member


def _for_pretraining(train_kwargs: dict[str, Any]) -> dict[str, Any]:
    """The same arguments without what only expression has: a loss to choose, and delta r."""
    kept = {name: value for name, value in train_kwargs.items() if name != "loss"}
    watched = {name: "loss" for name in ("early_stopping", "restore_best") if kept.get(name) == "delta_r"}
    plan_kwargs = {name: value for name, value in (kept.get("plan_kwargs") or {}).items() if name != "loss"}
    return kept | watched | {"plan_kwargs": plan_kwargs}


def _done(cls: type[GET], place: Path, mdata: MuData, away: list[str], accelerator: str) -> GET | None:
    """The member at ``place``, if it is whole; the folder is known to be of this run."""
    try:
        member = cls.load(place, mdata, accelerator=accelerator)
    except CheckpointError:
        return None  # damaged: trained again
    return member if member.is_trained_ and set(member.holdout.chroms) == set(away) else None


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back; an object, such as a callback, by its type alone."""
    kept = {
        name: {k: v for k, v in value.items() if k not in _ELSEWHERE} if isinstance(value, dict) else value
        for name, value in settings.items()
    }
    return json.loads(json.dumps(kept, default=lambda value: type(value).__qualname__, sort_keys=True))
