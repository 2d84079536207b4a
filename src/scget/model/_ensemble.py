"""Several models that left out different chromosomes, asked as one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from scget._errors import InputError, first
from scget.data import RegionTable, Scaling
from scget.module import GETConfig, _lora

from . import _checkpoint, _ensemble_files, _explain, _links
from ._averaging import known, out_of_fold_errors, unseen
from ._calibration import Calibration, fit_calibration
from ._expression import SlotPrediction
from ._holdout import HoldOut, merge
from ._infer import predict_all
from ._running import Running

if TYPE_CHECKING:
    from mudata import MuData

    from ._get import GET


@dataclass(frozen=True)
class EnsemblePrediction(SlotPrediction):
    """Means over members, and per gene the standard deviation: of the members, and of the error as calibrated."""

    spread_kg: np.ndarray = field(kw_only=True)


class Ensemble:
    """Models that left out different chromosomes; made by :meth:`GET.train_folds`, used as a model is.

    A gene is predicted by the average of the members that learnt from its chromosome, so that all know its training
    mean; by all members where none did. ``out_of_fold=True`` asks instead the members that never saw the gene's
    chromosome: the honest prediction of genes of training chromosomes, for judging.

    Parameters
    ----------
    members
        Trained on the same rows of the same data.
    folds
        Chromosome to the number of its fold.
    calibration
        By ``"new_genes"`` and ``"known_genes"``. None: not yet, see :meth:`calibrate`.
    """

    def __init__(
        self, members: Sequence[GET], folds: dict[str, int], calibration: dict[str, Calibration | None] | None = None
    ) -> None:
        if not members or not all(member.is_trained_ for member in members):
            raise InputError(f"{len(members)} members: at least one is needed, and all trained")
        self.members, self.folds = list(members), dict(folds)
        self.calibration: dict[str, Calibration | None] = calibration or {"new_genes": None, "known_genes": None}

    @property
    def registry(self) -> dict[str, Any]:
        """Where the data of the members are."""
        return self.members[0].registry

    @property
    def window(self) -> int:
        """Regions per window."""
        return self.members[0].window

    @property
    def config(self) -> GETConfig:
        """Size of each network."""
        return self.members[0].config

    @property
    def motifs(self) -> np.ndarray:
        """Names, in the members' order."""
        return self.members[0].motifs

    @property
    def device(self) -> torch.device:
        """Where the networks stand."""
        return self.members[0].device

    @property
    def is_trained(self) -> bool:
        """Always."""
        return True

    @property
    def holdout(self) -> HoldOut:
        """What no member ever saw, and what any did."""
        return reduce(merge, [member.holdout for member in self.members])

    @property
    def scaling(self) -> Scaling:
        """Scales of the first member, with the training means of genes that any member knows."""
        own, means_mg = self.members[0].scaling, [m.scaling.expression(m.scaling.gene_g) for m in self.members]
        return replace(own, expression_g=reduce(lambda a, b: np.where(np.isfinite(a), a, b), means_mg))

    def digest(self) -> str:
        """First 16 hex digits of the sha256 of all weights, whatever the order of members."""
        names = sorted(_checkpoint.digest(_lora.merged_state(member.module)) for member in self.members)
        return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]

    def table(self, mdata: MuData | None = None) -> RegionTable:
        """Data as the members read them."""
        return self.members[0].table(mdata)

    def predict(
        self,
        mdata: MuData | None = None,
        *,
        rows: Sequence[str] | None = None,
        batch_size: int = 64,
        out_of_fold: bool = False,
    ) -> pd.DataFrame:
        """Predict expression: the mean of members.

        Parameters
        ----------
        mdata, rows, batch_size
            As for :meth:`GET.predict`.
        out_of_fold
            Ask the members that never saw the gene's chromosome, instead of those that learnt from it.

        Returns
        -------
        rows x genes, log10(CPM + 1); NaN for a gene without a promoter region or, out of fold, with promoters on
        chromosomes of which every member saw one.
        """
        return self._asked("genes_kg", mdata, rows, batch_size, out_of_fold)

    def predict_std(
        self,
        mdata: MuData | None = None,
        *,
        rows: Sequence[str] | None = None,
        batch_size: int = 64,
        out_of_fold: bool = False,
        calibrated: bool = True,
    ) -> pd.DataFrame:
        """Standard deviation of the error of :meth:`predict`.

        Parameters
        ----------
        mdata, rows, batch_size, out_of_fold
            As for :meth:`predict`.
        calibrated
            False: the standard deviation of the members (ddof 1) as it is, several times too small.

        Returns
        -------
        rows x genes, log10(CPM + 1); NaN also where fewer than two members were asked.
        """
        return self._asked("std_kg" if calibrated else "spread_kg", mdata, rows, batch_size, out_of_fold)

    def predict_slots(
        self,
        mdata: MuData | None = None,
        *,
        rows: Sequence[str] | None = None,
        batch_size: int = 64,
        out_of_fold: bool = False,
    ) -> tuple[RegionTable, EnsemblePrediction]:
        """As :meth:`predict`, per promoter slot beside per gene, with the table that names them."""
        table = self.table(mdata)
        return table, self._predict_table(table, rows, batch_size, out_of_fold)

    def _predict_table(
        self, table: RegionTable, rows: Sequence[str] | None, batch_size: int, out_of_fold: bool = False
    ) -> EnsemblePrediction:
        asked = unseen(self.members, table) if out_of_fold else known(self.members, table)
        new_g = np.full(len(table.genes), out_of_fold) | ~asked.gene_mg.any(axis=0)
        genes, slots = Running(), Running()
        unlike: list[np.ndarray] = []
        for member, pick_g, pick_q in zip(self.members, *(asked if out_of_fold else asked.or_all()), strict=True):
            prediction = predict_all(member, table, rows, batch_size)
            genes.add(prediction.genes_kg, pick_g)
            slots.add(prediction.slots_kq, pick_q)
            if prediction.ood_k is not None:
                unlike.append(prediction.ood_k)
        std_kg = np.where(new_g, self._sized("new_genes", genes.std), self._sized("known_genes", genes.std))
        std_kg = np.where(np.isfinite(genes.mean), std_kg, np.nan)
        ood_k = np.mean(unlike, axis=0) if unlike else None
        return EnsemblePrediction(slots.mean, genes.mean, std_kg, ood_k, spread_kg=genes.std)

    attribute = _explain.attribute
    links = _links.links

    def calibrate(
        self, mdata: MuData | None = None, *, rows: Sequence[str] | None = None, batch_size: int = 64
    ) -> None:
        """Fit how the spread of members becomes the size of their error; ``train_folds`` does it without ``rows``.

        Two kinds of genes err differently. ``"new_genes"``, known to no member asked, have a predicted level: fitted on
        out-of-fold predictions of the training rows. ``"known_genes"`` have their training mean, and err in how a new
        row departs from it: fitted, unless ``rows`` are given, on how out-of-fold predictions of the training rows
        depart from their own mean. That takes a new row to be as hard for known genes as a new gene is for known
        rows; rows that no member saw say it without that assumption.

        Parameters
        ----------
        mdata
            With expression. None: the data of the members.
        rows
            Rows that no member saw, to fit ``"known_genes"`` on; they should not be judged on afterwards.
        batch_size
            Windows at a time.

        Raises
        ------
        InputError
            If a row was trained on, is not in the data, or there is no expression.
        """
        table = self.table(mdata)
        if table.expression_kg is None:
            raise InputError("calibration needs observed expression (an RNA modality)")
        if rows is None:
            predictions = (predict_all(member, table, self.holdout.seen_obs, batch_size) for member in self.members)
            new, known_ = out_of_fold_errors(predictions, unseen(self.members, table), table, self.holdout)
            self.calibration = {"new_genes": fit_calibration(*new), "known_genes": fit_calibration(*known_)}
            return
        at = table.row_positions(rows)
        seen = sorted(set(map(str, table.rows[at])) & set(self.holdout.seen_obs))
        if seen or not len(at):
            raise InputError(f"{first(seen) or 'no rows'}: rows that no member was trained on are needed")
        prediction = self.predict_slots(mdata, rows=rows, batch_size=batch_size)[1]
        index = np.ix_(at, known(self.members, table).gene_mg.any(axis=0))
        error = prediction.genes_kg[index] - table.expression_kg[index]
        self.calibration = {**self.calibration, "known_genes": fit_calibration(error, prediction.spread_kg[index])}

    def save(self, dir_path: str | Path, *, overwrite: bool = False) -> None:
        """Write one folder per member and ``ensemble.json``, whole or not at all.

        Parameters
        ----------
        dir_path
            The folder.
        overwrite
            Replace a folder that is there.
        """
        _ensemble_files.write(self, Path(dir_path), overwrite=overwrite)

    @classmethod
    def load(cls, dir_path: str | Path, mdata: MuData | None = None, *, accelerator: str = "auto") -> Ensemble:
        """Read what :meth:`save` or ``train_folds(folder=...)`` wrote; no code in it is run.

        Parameters
        ----------
        dir_path, mdata, accelerator
            As for :meth:`GET.load`.

        Raises
        ------
        CheckpointError
            If the folder is damaged, foreign, unfinished, or newer than this scget.
        """
        return cls(*_ensemble_files.read(Path(dir_path), mdata, accelerator))

    def to_device(self, device: str | int) -> None:
        """Move all networks, as scvi-tools' ``to_device``."""
        for member in self.members:
            member.to_device(device)

    def _asked(self, what: str, mdata: MuData | None, rows: Any, batch_size: int, out_of_fold: bool) -> pd.DataFrame:
        table, prediction = self.predict_slots(mdata, rows=rows, batch_size=batch_size, out_of_fold=out_of_fold)
        at = table.row_positions(rows)
        return pd.DataFrame(getattr(prediction, what)[at], index=table.rows[at], columns=table.genes)

    def _sized(self, kind: str, spread_kg: np.ndarray) -> np.ndarray:
        calibration = self.calibration[kind]
        return np.full_like(spread_kg, np.nan) if calibration is None else calibration(spread_kg)
