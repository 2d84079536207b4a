"""What the checks of a MuData look at, read once for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd

from scget import _keys as keys
from scget.pp._checks import only_predicted
from scget.pp._chunks import in_memory
from scget.pp._survey import Survey, survey

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_CELL_DEPTH = 100_000  # ATAC counts; where half of the rows have fewer, rows are cells

Finding = tuple[str, str, str]  # verdict, found, do


@dataclass(frozen=True)
class Data:
    """What is looked at, and what several checks need."""

    mdata: MuData
    atac_layer: str | None
    rna_layer: str | None

    @property
    def atac(self) -> AnnData:
        return self.mdata.mod[keys.ATAC]

    @property
    def rna(self) -> AnnData | None:
        """The modality, unless it holds predictions alone."""
        return None if self.only_predicted else self.mdata.mod.get(keys.RNA)

    @property
    def only_predicted(self) -> bool:
        return only_predicted(self.mdata, self.rna_layer)

    @cached_property
    def atac_counts(self) -> Survey:
        return survey(self.atac, self.atac_layer, keys.ATAC)

    @cached_property
    def rna_counts(self) -> Survey | None:
        return None if self.rna is None else survey(self.rna, self.rna_layer, keys.RNA)

    @cached_property
    def described(self) -> Any:
        """Motif scores and all of ``uns`` of ``atac``, in memory where they were lazy."""
        atac = self.atac
        varm = {keys.MOTIF_SCORES: in_memory(atac.varm[keys.MOTIF_SCORES])} if keys.MOTIF_SCORES in atac.varm else {}
        used = (keys.MOTIF_NAMES, keys.MOTIF_SCAN, keys.PEAK_ANNOTATION, keys.ANNOTATION)
        uns = {key: in_memory(atac.uns[key]) for key in used if key in atac.uns}
        return SimpleNamespace(varm=varm, uns=uns, n_vars=atac.n_vars, var_names=atac.var_names)

    @property
    def depth(self) -> pd.Series:
        """ATAC counts of each row."""
        return pd.Series(self.atac_counts.sums_k, index=self.atac.obs_names.astype(str))

    @property
    def holds_cells(self) -> bool:
        return keys.N_CELLS not in self.atac.obs and float(self.depth.median()) < _CELL_DEPTH

    def record(self, key: str) -> dict[str, Any]:
        """A record in ``atac.uns``; empty where there is none."""
        value = self.described.uns.get(key)
        return dict(value) if isinstance(value, Mapping) else {}
