"""Changes as positions in the data, and what they make of the features of a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scget import _keys
from scget._errors import InputError, first
from scget.data import RegionTable
from scget.data._table import positions
from scget.pp._regions import naming_hint, parse_regions

from ._changes import CONTROL, OF_MOTIFS, Change

if TYPE_CHECKING:
    from ._gene_windows import GeneWindows


@dataclass(frozen=True)
class Step:
    """A change by positions: ``region_n`` (None: all), ``motif_n``, and the value of :class:`Change`.

    Of kind ``"rewrite"``: the sequence of regions is another, with motif scores ``score_nm`` (bits).
    """

    kind: str
    region_n: np.ndarray | None
    motif_n: np.ndarray
    value: float | None = None
    score_nm: Any = None

    def accessibility(self, now: Any) -> Any:
        """What becomes of accessibilities ``now`` of the step's regions, an array or a tensor."""
        if self.kind in ("delete", "inactivate"):
            return now * 0
        if self.kind == "open":
            return now.clip(min=1) if self.value is None else now * 0 + self.value
        return now


@dataclass(frozen=True)
class Edit:
    """The steps of one perturbation, deletions last.

    ``region_n``: regions changed, sorted; None: all. ``opened_n``: those whose accessibility is set.
    """

    steps: tuple[Step, ...]
    region_n: np.ndarray | None = field(init=False)
    opened_n: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        steps = tuple(sorted(self.steps, key=lambda step: step.kind == "delete"))
        somewhere = [step.region_n for step in steps]
        none = np.zeros(0, dtype=np.int64)
        everywhere = any(region_n is None for region_n in somewhere)
        opened = [step.region_n for step in steps if step.kind == "open"]
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "region_n", None if everywhere else np.unique(np.concatenate([none, *somewhere])))
        object.__setattr__(self, "opened_n", np.unique(np.concatenate([none, *opened])))

    def accessibility(self, open_p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Regions whose accessibility is set, and what is added to it there, from that of one row."""
        steps = [(step, step.region_n) for step in self.steps if step.region_n is not None]
        steps = [(step, at_n) for step, at_n in steps if step.kind not in OF_MOTIFS]
        if not steps:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        region_n = np.unique(np.concatenate([at_n for _, at_n in steps]))
        before_n = open_p[region_n].astype(np.float64)
        after_n = before_n.copy()
        for step, at_n in steps:
            here = np.isin(region_n, at_n)
            after_n[here] = step.accessibility(after_n[here])
        return region_n, after_n - before_n


class Editor:
    """Applies edits to features of windows.

    Parameters
    ----------
    where
        The windows: says which regions hold promoters and which were known in training.
    """

    def __init__(self, where: GeneWindows) -> None:
        table, scaling, device = where.table, where.scaling, where.source.center_p.device
        self.where = where
        self.n_motifs, self.has_fold = where.net.config.n_motifs, scaling.rules.fold
        self.capped = where.source.has_units
        self.known_p = pd.Index(scaling.region_p).get_indexer(table.regions.names) >= 0
        self._known_p = torch.from_numpy(self.known_p).to(device)
        self._promoter_p = torch.from_numpy(table.is_promoter_p).to(device)

    def apply(self, edit: Edit, tokens_brf: Tensor, hidden_br: Tensor, index_br: np.ndarray, row: int) -> None:
        """Change features of a row, and which regions are hidden, in place; ``index_br`` is -1 where there is no region."""
        for step in edit.steps:
            shown_br = index_br >= 0
            at_br = shown_br if step.region_n is None else np.isin(index_br, step.region_n) & shown_br
            b, r = (torch.from_numpy(i).to(tokens_brf.device) for i in np.nonzero(at_br))
            if not len(b):
                continue
            if step.kind in OF_MOTIFS:
                self._scale(step, tokens_brf, b, r)
                continue
            if step.kind == "rewrite":
                self._rewrite(step, tokens_brf, b, r, index_br[at_br], row)
                continue
            region_i = torch.from_numpy(index_br[at_br]).to(tokens_brf.device)
            self._set(step, tokens_brf, b, r, region_i)
            if step.kind == "delete":
                hidden_br[b, r] = True

    def _scale(self, step: Step, tokens_brf: Tensor, b: Tensor, r: Tensor) -> None:
        motif_n = torch.from_numpy(step.motif_n).to(tokens_brf.device)
        scaled = tokens_brf[b[:, None], r[:, None], motif_n] * float(step.value or 0)
        tokens_brf[b[:, None], r[:, None], motif_n] = scaled.clamp(max=1) if self.capped else scaled

    def _rewrite(self, step: Step, tokens_brf: Tensor, b: Tensor, r: Tensor, region_i: np.ndarray, row: int) -> None:
        """Motif features of another sequence."""
        at_i = pd.Index(step.region_n).get_indexer(region_i)
        tokens_brf[b, r, : self.n_motifs] = self.where.motif_features(step.score_nm[at_i], torch.full_like(b, row))

    def _set(self, step: Step, tokens_brf: Tensor, b: Tensor, r: Tensor, region_i: Tensor) -> None:
        """Accessibility and its fold change together; a region unknown in training has no fold."""
        at, features_if = self.n_motifs, tokens_brf[b, r]
        before_i = features_if[:, at].clone()
        features_if[:, at] = step.accessibility(before_i)
        if self.has_fold:
            features_if[:, at + 1] += (features_if[:, at] - before_i) * self._known_p[region_i]
        if step.kind != "open":
            features_if[:, :at] = 0
        if step.kind == "delete":  # a promoter stays to be read from, as one that is closed and has no motifs
            features_if *= self._promoter_p[region_i][:, None]
        tokens_brf[b, r] = features_if


def find_edits(changes: Mapping[str, Sequence[Change]], table: RegionTable, tfs: Any) -> list[Edit]:
    """Positions of what is named; ``tfs``: the table of factors of each motif, None where there is none."""
    every = np.arange(len(table.motifs))
    edits = []
    for some in changes.values():
        steps = []
        for change in (one for one in some if one.kind != CONTROL):
            region_n = None if change.regions is None else regions_named(table, change.regions)
            motif_n = _motifs_named(table, change, tfs) if change.kind in OF_MOTIFS else every
            steps.append(Step(change.kind, region_n, motif_n, change.value))
        edits.append(Edit(tuple(steps)))
    return edits


def regions_named(table: RegionTable, names: Sequence[str]) -> np.ndarray:
    """Positions of regions of these names, and of all that overlap intervals that are no names."""
    asked, known = parse_regions(names), table.regions
    at = pd.Index(known.names).get_indexer(asked.names)
    found = [at[at >= 0]]
    for i in np.flatnonzero(at < 0):
        chrom, start, end, name = asked.chrom[i], asked.start[i], asked.end[i], asked.names[i]
        if chrom not in table.chroms:
            hint = naming_hint(table.chroms, [chrom])
            raise InputError(f"{name!r}: no region is on chromosome {chrom!r}; there are {first(table.chroms)}.{hint}")
        if start >= end:
            raise InputError(f"{name!r} has no length; intervals are 0-based and half-open")
        on_chrom_p = table.chrom_p == np.flatnonzero(table.chroms == chrom)[0]
        over = np.flatnonzero(on_chrom_p & (known.start < end) & (known.end > start))
        if not len(over):
            raise InputError(
                f"{name!r} overlaps none of the {len(known):,} regions; name one of these, or a wider interval"
            )
        found.append(over)
    return np.unique(np.concatenate(found))


def _motifs_named(table: RegionTable, change: Change, tfs: Any) -> np.ndarray:
    """Motif clusters by their own names, and those that hold a motif of a factor."""
    found = [positions(table.motifs, change.motifs or [], "motif")]
    if change.tfs:
        if tfs is None or not len(tfs):
            raise InputError(
                f"tfs={first(change.tfs)}: the data do not say which motifs are whose (atac.uns[{_keys.MOTIF_TFS!r}], written "
                "by scget.pp.motif_scores); name motifs=... instead"
            )
        symbols, clusters = tfs["tf"].astype(str).str.upper(), tfs["cluster"].astype(str)
        wanted = [tf.upper() for tf in change.tfs]
        positions(np.unique(symbols.to_numpy(dtype=object)), wanted, "TF")  # refuses one that is not there
        held = np.unique(clusters[symbols.isin(wanted)].to_numpy(dtype=object))
        found.append(positions(table.motifs, list(held), "motif"))
    return np.unique(np.concatenate(found)).astype(np.int64)
