"""Predictions from changed features: only windows that a change reaches are computed again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from scget.data import Batch, RegionTable
from scget.pp._kept import Arrays

from ._averaging import members_asked
from ._edits import Edit, Editor
from ._gene_windows import GeneWindows
from ._infer import progress
from ._kept import Folder, Kept

if TYPE_CHECKING:
    from ._ensemble import Ensemble
    from ._get import GET

EDITS = 256  # whose effects are put together at once, and kept


class Effects(NamedTuple):
    """What edits ``edit_i`` add to genes ``gene_i`` (positions among those asked), log10(CPM + 1); pairs may repeat."""

    edit_i: np.ndarray
    gene_i: np.ndarray
    value_i: np.ndarray


NO_EFFECTS = Effects(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))


def rows_of(where: GeneWindows, batch_size: int) -> Iterator[RowWhatIf]:
    """The rows asked, one after the other."""
    editor, weight_jo, constant_kg = Editor(where), where.output_weights(), _constants(where)
    row_j = pd.Index(where.row_k).get_indexer(where.jobs["row"])  # in the order asked
    bounds = np.searchsorted(row_j, np.arange(len(where.row_k) + 1))
    for k, constant_g in enumerate(constant_kg):
        mine = slice(bounds[k], bounds[k + 1])
        yield RowWhatIf(
            where, int(where.row_k[k]), where.jobs.iloc[mine], weight_jo[mine], constant_g, editor, batch_size
        )


class RowWhatIf:
    """Predictions of one row from changed features, in the windows of its unchanged prediction.

    Parameters
    ----------
    where
        Windows and genes of all rows.
    row
        Position of the row.
    jobs, weight_jo
        Its lines of ``where.jobs``, and how much each output counts in these.
    constant_g
        What of each gene's prediction no change touches.
    editor
        Of ``where``.
    batch_size
        Windows at a time.

    Attributes
    ----------
    raw_g
        Prediction of each gene asked, without the bound at 0, log10(CPM + 1); NaN where the row shows no promoter of it.
    """

    def __init__(
        self,
        where: GeneWindows,
        row: int,
        jobs: pd.DataFrame,
        weight_jo: np.ndarray,
        constant_g: np.ndarray,
        editor: Editor,
        batch_size: int,
    ) -> None:
        self.where, self.row, self.editor, self.batch_size = where, row, editor, batch_size
        self.name, windows, n_genes = str(where.table.rows[row]), where.windows, len(where.gene_g)
        order = np.argsort(jobs["window"].to_numpy(), kind="stable")
        self.jobs, self.weight_jo = jobs.iloc[order], weight_jo[order]
        self.window_w, first_w = np.unique(self.jobs["window"], return_index=True)
        self.job_w = np.append(first_w, len(order))  # jobs of window w: from job_w[w] to job_w[w + 1]
        last_w = np.minimum(windows.start_w[self.window_w] + windows.size, windows.stop_w[self.window_w]) - 1
        self.first_w = windows.region_t[windows.start_w[self.window_w]]
        self.last_w = windows.region_t[last_w]
        self.gene_j = pd.Index(where.gene_g).get_indexer(self.jobs["gene"])
        self.token_j = self.jobs["token"].to_numpy()
        line_n, region_n, share_n = where.activity_shares(self.jobs)
        self.share_gp = sp.csc_matrix((share_n, (self.gene_j[line_n], region_n)), (n_genes, len(where.table.regions)))
        channels_pc = where.source.channels_at(row).astype(np.float64)
        self.open_p = channels_pc[:, 0]
        self.base_j = self._base()
        shown_g = np.bincount(self.gene_j, minlength=n_genes) > 0
        self.raw_g = np.where(shown_g, constant_g, np.nan) + np.bincount(self.gene_j, self.base_j, n_genes)
        if where.scaling.rules.activity:
            self.raw_g += self.share_gp @ channels_pc[:, 1]

    def added(self, edits: Sequence[Edit], kept: Kept) -> sp.csr_matrix:
        """What each edit adds to each gene asked, (e, g), summed over promoters; kept as it goes."""
        shape = (len(edits), len(self.raw_g))
        blocks = [slice(low, min(low + EDITS, len(edits))) for low in range(0, len(edits), EDITS)]

        def block_of(block: slice) -> Arrays:
            found = [NO_EFFECTS, *self.effects(edits[block])]
            edit_i, gene_i, value_i = (np.concatenate(some) for some in zip(*found, strict=True))
            summed = sp.csr_matrix((value_i, (edit_i + block.start, gene_i)), shape).tocoo()
            return {"edit": summed.row, "gene": summed.col, "value": summed.data}

        found = kept.joined(blocks, block_of, f"perturb {self.name}", f"{self.row}-")
        return sp.csr_matrix((found["value"], (found["edit"], found["gene"])), shape)

    def effects(self, edits: Sequence[Edit]) -> Iterator[Effects]:
        """What each edit adds to each gene, batch by batch; sums over equal pairs are the effects."""
        by_activity = self._by_activity(edits)
        if by_activity is not None:
            yield by_activity
        reached, new_e = [self._reached(edit) for edit in edits], [self._appearing(edit) for edit in edits]
        edit_t = np.repeat(np.arange(len(edits)), [len(w) for w in reached])
        window_t = np.concatenate(reached) if reached else edit_t
        for low in progress(range(0, len(edit_t), self.batch_size), f"perturb {self.name}"):
            part = slice(low, low + self.batch_size)
            found = self._changed(edits, new_e, edit_t[part], window_t[part])
            if found is not None:
                yield found

    def _reached(self, edit: Edit) -> np.ndarray:
        """Windows between whose first and last region there is a changed one."""
        if edit.region_n is None:
            return np.arange(len(self.window_w))
        low = np.searchsorted(self.last_w, edit.region_n)
        high = np.maximum(np.searchsorted(self.first_w, edit.region_n, "right"), low)
        cover = np.bincount(low, minlength=len(self.window_w) + 1) - np.bincount(high, minlength=len(self.window_w) + 1)
        return np.flatnonzero(np.cumsum(cover)[:-1] > 0)

    @torch.inference_mode()
    def _changed(
        self, edits: Sequence[Edit], new_e: Sequence[np.ndarray], edit_b: np.ndarray, window_b: np.ndarray
    ) -> Effects | None:
        """Effects of edits on windows; None where no feature changes."""
        index_br, n_new = self._shown(new_e, edit_b, window_b)
        batch = self._gather(index_br)
        tokens_brf, hidden_br = batch.tokens_brf.clone(), torch.from_numpy(index_br < 0).to(self._device)
        before_br = hidden_br.clone()
        cuts = np.flatnonzero(np.diff(edit_b, prepend=-1, append=-1))
        for low, high in zip(cuts[:-1], cuts[1:], strict=True):  # an edit's windows stand together
            part = slice(low, high)
            self.editor.apply(edits[edit_b[low]], tokens_brf[part], hidden_br[part], index_br[part], self.row)
        other_b = (tokens_brf != batch.tokens_brf).flatten(1).any(1) | (hidden_br != before_br).any(1)
        kept = np.flatnonzero(other_b.cpu().numpy() | (n_new > 0))
        if not len(kept):
            return None
        at = torch.from_numpy(kept).to(self._device)
        b_j, j, value_j = self._read(tokens_brf[at], batch.center_br[at], hidden_br[at], window_b[kept])
        return Effects(edit_b[kept][b_j], self.gene_j[j], value_j - self.base_j[j])

    def _appearing(self, edit: Edit) -> np.ndarray:
        """Regions that an edit opens and the row does not show, unless it shows them all the same (:meth:`_shown`)."""
        region_n, more_n = edit.accessibility(self.open_p)
        return np.intersect1d(edit.opened_n, region_n[(self.open_p[region_n] == 0) & (more_n > 0)])

    def _shown(
        self, new_e: Sequence[np.ndarray], edit_b: np.ndarray, window_b: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Regions of windows, after these the closed ones that are opened within them, and how many these are."""
        index_br = self.where.windows.regions(self.window_w[window_b])
        new_b = [new_e[e] for e in edit_b]
        for b in np.flatnonzero([len(new_n) for new_n in new_b]):
            within = (new_b[b] > self.first_w[window_b[b]]) & (new_b[b] < self.last_w[window_b[b]])
            new_b[b] = np.setdiff1d(new_b[b][within], index_br[b])
        n_new = np.array([len(new_n) for new_n in new_b])
        more_br = np.full((len(index_br), n_new.max()), -1)
        for more_r, new_n in zip(more_br, new_b, strict=True):
            more_r[: len(new_n)] = new_n
        return np.concatenate([index_br, more_br], axis=1), n_new

    @torch.inference_mode()
    def _base(self) -> np.ndarray:
        """The network's part of each line's prediction, unchanged."""
        base_j = np.zeros(len(self.jobs))
        for low in progress(range(0, len(self.window_w), self.batch_size), f"predict {self.name}"):
            window_b = np.arange(low, min(low + self.batch_size, len(self.window_w)))
            index_br = self.where.windows.regions(self.window_w[window_b])
            batch = self._gather(index_br)
            hidden_br = torch.from_numpy(index_br < 0).to(self._device)
            _, j, value_j = self._read(batch.tokens_brf, batch.center_br, hidden_br, window_b)
            base_j[j] = value_j
        return base_j

    def _read(
        self, tokens_brf: Tensor, center_br: Tensor, hidden_br: Tensor, window_b: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lines (of ``jobs``) of each window ``b``: b, line and the network's part of its prediction."""
        out_bro = self.where.net(tokens_brf, center_br, hidden_br if bool(hidden_br.any()) else None)
        n_b = self.job_w[window_b + 1] - self.job_w[window_b]
        b_j = np.repeat(np.arange(len(window_b)), n_b)
        j = np.arange(len(b_j)) + np.repeat(self.job_w[window_b] - (np.cumsum(n_b) - n_b), n_b)
        out_jo = out_bro[torch.from_numpy(b_j), torch.from_numpy(self.token_j[j])].double().cpu().numpy()
        return b_j, j, (out_jo * self.weight_jo[j]).sum(axis=1)

    def _by_activity(self, edits: Sequence[Edit]) -> Effects | None:
        """What edits add by gene activity; a region unknown in training has no part in it."""
        if not self.where.scaling.rules.activity:
            return None
        found = [edit.accessibility(self.open_p) for edit in edits]
        edit_n = np.repeat(np.arange(len(edits)), [len(region_n) for region_n, _ in found])
        region_n, more_n = (np.concatenate(some) for some in zip(*found, strict=True))
        more_n = more_n * self.editor.known_p[region_n]
        more_pe = sp.csc_matrix((more_n, (region_n, edit_n)), (len(self.open_p), len(edits)))
        by_gene = (self.share_gp @ more_pe).tocoo()
        return Effects(by_gene.col, by_gene.row, by_gene.data)

    def _gather(self, index_br: np.ndarray) -> Batch:
        index = torch.from_numpy(index_br).to(self._device)
        return self.where.source.gather(torch.full(index.shape[:1], self.row, device=self._device), index)

    @property
    def _device(self) -> torch.device:
        return self.where.source.center_p.device


def effects_of_pairs(
    model: GET | Ensemble,
    table: RegionTable,
    genes: Sequence[str],
    rows: Sequence[str] | None,
    *,
    edits: Sequence[Edit],
    edit_n: np.ndarray,
    gene_n: np.ndarray,
    batch_size: int,
    cache: Folder = None,
) -> np.ndarray:
    """What edit ``edit_n`` adds to the prediction of gene ``gene_n`` (its place in ``genes``), rows x pairs.

    NaN where a row shows no promoter of the gene.
    """
    effect_kn = np.zeros((len(table.row_positions(rows)), len(edit_n)))
    for member, where, share_g in members_asked(model, table, genes, rows, batch_size):
        kept = Kept(cache, member, table, asked="edits of genes", edits=edits, genes=where.gene_g)
        for k, what_if in enumerate(rows_of(where, batch_size)):
            more_n = np.asarray(what_if.added(edits, kept)[edit_n, gene_n]).ravel()
            raw_n = what_if.raw_g[gene_n]
            effect_kn[k] += share_g[gene_n] * (np.maximum(raw_n + more_n, 0) - np.maximum(raw_n, 0))
    return effect_kn


def _constants(where: GeneWindows) -> np.ndarray:
    """What of predictions no change touches, (k, g): levels of genes, and what is missed in similar rows."""
    scaling, genes = where.scaling, where.table.genes[where.gene_g]
    if not where.net.config.deviation:
        return np.zeros((len(where.row_k), len(genes)))
    missed_kg = scaling.said_by(scaling.likeness(where.table, where.row_k), genes)[0]
    known_kg = np.broadcast_to(scaling.expression(genes) + missed_kg, (len(where.row_k), len(genes)))
    return np.where(np.isfinite(known_kg), known_kg, scaling.level[0])
