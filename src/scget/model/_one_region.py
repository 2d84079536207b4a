"""Predictions of one gene for any sequence of one region: values and gradients in several rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from scget._errors import InputError, first
from scget.data import RegionTable
from scget.pp._kept import Arrays

from ._averaging import members_asked
from ._digest import digest
from ._gene_windows import GeneWindows, Part
from ._kept import Folder, Kept
from ._what_if import rows_of

if TYPE_CHECKING:
    from ._ensemble import Ensemble
    from ._get import GET


class Guess(NamedTuple):
    """First-order prediction at a sequence: value without the bound at 0, (member, k), and slope per bit, (member, k, m)."""

    raw_ak: np.ndarray
    slope_akm: np.ndarray


class _Seen(NamedTuple):
    """Windows that hold the region: which token it is there, which row they are of, and what they say as things are."""

    part: Part
    token_b: np.ndarray
    k_b: np.ndarray
    value_b: np.ndarray


class _Member(NamedTuple):
    """One network, its share in the prediction, its predictions as things are, and where they see the region."""

    share: float
    where: GeneWindows
    raw_k: np.ndarray
    seen: list[_Seen]


class OneRegion:
    """A gene's predictions in ``rows`` for motif scores of one region, all else being as it is.

    Parameters
    ----------
    model
        One network, or several whose predictions are averaged.
    table
        The data.
    gene, rows
        Names; the first row must see the region.
    region
        Position.
    batch_size
        Windows at a time.
    cache
        A folder in which predictions and slopes are kept.

    Raises
    ------
    InputError
        If no window of the gene in the first row holds the region.
    """

    def __init__(
        self,
        model: GET | Ensemble,
        table: RegionTable,
        gene: str,
        rows: Sequence[str],
        region: int,
        batch_size: int,
        cache: Folder = None,
    ) -> None:
        self.rows, self.region, self.batch_size = list(rows), region, batch_size
        self._members = [
            _member(float(share_g[0]), where, gene, region, batch_size)
            for _, where, share_g in members_asked(model, table, [gene], rows, batch_size)
            if share_g[0] > 0
        ]
        self._check_seen(table, gene)
        self._kept = Kept(cache, model, table, asked="one region", gene=gene, rows=self.rows, region=region)

    def raw(self, score_nm: sp.csr_matrix) -> np.ndarray:
        """Predictions of each member without the bound at 0, (member, n, k)."""
        return self._kept.part(f"raw-{digest(score_nm)}", lambda: {"raw_ank": self._raw(score_nm)})["raw_ank"]

    @torch.inference_mode()
    def _raw(self, score_nm: sp.csr_matrix) -> np.ndarray:
        raw_ank = np.zeros((len(self._members), score_nm.shape[0], len(self.rows)))
        for member, raw_nk in zip(self._members, raw_ank, strict=True):
            raw_nk[:] = member.raw_k
            for seen in member.seen:
                n_windows = len(seen.k_b)
                size = max(self.batch_size // n_windows, 1)
                for low in range(0, len(raw_nk), size):
                    n_b = np.repeat(np.arange(low, min(low + size, len(raw_nk))), n_windows)
                    at_b = np.tile(np.arange(n_windows), len(n_b) // n_windows)
                    part = seen.part.take(at_b)
                    tokens_brf = _written(member, part, seen.token_b[at_b], score_nm[n_b])
                    value_b = member.where.read(part, tokens_brf).double().cpu().numpy() - seen.value_b[at_b]
                    np.add.at(raw_nk, (n_b, seen.k_b[at_b]), value_b)
        return raw_ank

    def expression(self, raw_ank: np.ndarray) -> np.ndarray:
        """The mean over members, each at least 0, (n, k) log10(CPM + 1); NaN where a row shows no promoter of the gene."""
        share_a = np.array([member.share for member in self._members])
        return np.tensordot(share_a, np.maximum(raw_ank, 0), 1)

    def guess(self, raw_ak: np.ndarray, score_1m: sp.csr_matrix) -> Guess:
        """Slopes at a sequence whose predictions are ``raw_ak``."""

        def make() -> Arrays:
            return {"slope_akm": np.stack([self._slopes(member, score_1m) for member in self._members])}

        return Guess(raw_ak, **self._kept.part(f"slopes-{digest(score_1m)}", make))

    def guessed(self, guess: Guess, change_cm: sp.csr_matrix) -> np.ndarray:
        """Predictions were they linear in motif scores, (c, k)."""
        return self.expression(np.stack([r + change_cm @ s.T for r, s in zip(*guess, strict=True)]))

    def _slopes(self, member: _Member, score_1m: sp.csr_matrix) -> np.ndarray:
        """Gradient with respect to motif scores of the region, (k, m) log10(CPM + 1) per bit."""
        slope_km = np.zeros((len(self.rows), score_1m.shape[1]))
        for seen in member.seen:
            tokens_brf = _written(member, seen.part, seen.token_b, score_1m[np.zeros(len(seen.k_b), dtype=np.int64)])
            slope_brf = member.where.slopes(seen.part, tokens_brf).double().cpu().numpy()
            slope_bm = slope_brf[np.arange(len(seen.k_b)), seen.token_b, : slope_km.shape[1]]
            np.add.at(slope_km, seen.k_b, slope_bm)
        return slope_km * member.where.source.per_bit(member.where.row_k)

    def _check_seen(self, table: RegionTable, gene: str) -> None:
        """Refuse a region that the first row's prediction does not see: nothing written there would change it."""
        if any((seen.k_b == 0).any() for member in self._members for seen in member.seen):
            return
        where, region = self._members[0].where, self.region
        seen_n = np.unique(where.windows.regions(where.jobs["window"][where.jobs["row"] == where.row_k[0]].to_numpy()))
        seen_n = seen_n[seen_n >= 0]
        near_n = seen_n[np.argsort(np.abs(seen_n - region), kind="stable")[:3]]
        raise InputError(
            f"the prediction of {gene!r} in {self.rows[0]!r} does not see {table.regions.names[region]!r}: it is closed there "
            f"or outside of the gene's windows. No sequence opens a region of this model; name one of the {len(seen_n)} that "
            f"it sees, such as {first(table.regions.names[near_n]) or 'none'}"
        )


def _member(share: float, where: GeneWindows, gene: str, region: int, batch_size: int) -> _Member:
    raw_k = np.array([float(what_if.raw_g[0]) for what_if in rows_of(where, batch_size)])
    seen = []
    for part in where.parts(batch_size, gene):
        b, token_b = np.nonzero(part.index_br == region)
        if len(b):
            mine = part.take(b)
            with torch.inference_mode():
                value_b = where.read(mine, mine.batch.tokens_brf).double().cpu().numpy()
            k_b = pd.Index(where.row_k).get_indexer(mine.jobs["row"])
            seen.append(_Seen(mine, token_b, k_b, value_b))
    return _Member(share, where, raw_k, seen)


def _written(member: _Member, part: Part, token_b: np.ndarray, score_bm: sp.csr_matrix) -> Tensor:
    """Features of windows with the motif scores of another sequence at the region."""
    tokens_brf = part.batch.tokens_brf.clone()
    feature_bm = member.where.motif_features(score_bm, part.batch.row_b)
    b, at_b = torch.arange(len(token_b), device=tokens_brf.device), torch.from_numpy(token_b).to(tokens_brf.device)
    tokens_brf[b, at_b, : feature_bm.shape[1]] = feature_bm
    return tokens_brf
