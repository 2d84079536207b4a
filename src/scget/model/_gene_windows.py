"""Where the predictions of genes are read, and what the network's part of them is: values and gradients, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from scget._errors import InputError, first
from scget.data import Batch, RegionTable, Scaling, TokenSource, Windows, activity_weights
from scget.data._table import positions
from scget.module import ExpressionNet

from ._infer import prepare, progress

if TYPE_CHECKING:
    from ._get import GET


BLOCK = 1024  # lines whose results are put together at once, and kept
TOGETHER = 8  # windows that hold about as many genes, asked for gradients at once
PER_WINDOW = 8  # genes that are read from a window, about, where all of a row are
EVERYTHING = slice(None)


@dataclass(frozen=True)
class Part:
    """Some lines of ``GeneWindows.jobs``, whole genes of a row, and their windows.

    ``index_br``: regions of the windows, -1 where padded. ``token_b``: place of the promoter in its window. ``weight_bo``:
    how much each output of the network there counts in the gene's prediction.
    """

    jobs: pd.DataFrame
    index_br: np.ndarray
    batch: Batch
    token_b: Tensor
    weight_bo: Tensor

    def take(self, at_n: np.ndarray) -> Part:
        """The lines at positions ``at_n``, any of them several times."""
        batch, at = self.batch, torch.from_numpy(at_n).to(self.token_b.device)
        taken = replace(
            batch,
            tokens_brf=batch.tokens_brf[at],
            center_br=batch.center_br[at],
            pad_br=None if batch.pad_br is None else batch.pad_br[at],
            slot_brs=batch.slot_brs[at],
            row_b=batch.row_b[at],
        )
        return Part(self.jobs.iloc[at_n], self.index_br[at_n], taken, self.token_b[at], self.weight_bo[at])


@dataclass(frozen=True)
class GeneWindows:
    """The windows from which predictions of genes are read, one line of ``jobs`` per row, gene and promoter.

    Columns of ``jobs``: row, gene and region (positions), slot, strand (0 is +), window, token, n_promoters; in the order in
    which rows and genes were asked for, or along the genome. Windows are those of :meth:`GET.predict`, so that sums over the lines of a gene are its prediction
    (without what does not depend on features: the training mean, what is missed in similar rows, the bound at 0).
    """

    net: ExpressionNet
    table: RegionTable
    scaling: Scaling
    source: TokenSource
    windows: Windows
    gene_g: np.ndarray
    row_k: np.ndarray
    jobs: pd.DataFrame

    @classmethod
    def of(
        cls,
        model: GET,
        table: RegionTable,
        genes: Sequence[str] | None,
        rows: Sequence[str] | None,
        batch_size: int,
        *,
        by_place: bool = False,
    ) -> GeneWindows:
        """Lay windows for ``genes`` and ``rows`` (None: all); :class:`InputError` for a gene without a promoter region.

        ``by_place``: genes stand along the genome in ``jobs``, so that those of one window stand together.
        """
        source, windows = prepare(model, table, rows, batch_size)
        gene_g, row_k = genes_to_explain(table, genes), table.row_positions(rows)
        jobs = _jobs(windows, table, row_k, gene_g, by_place=by_place)
        return cls(model.module, table, model.scaling, source, windows, gene_g, row_k, jobs)

    def check_shown(self) -> None:
        """Refuse genes of which no row asked shows a promoter: there is nothing to explain."""
        if not len(self.jobs):
            raise InputError(
                f"no row of {first(self.table.rows[self.row_k])} shows a promoter of {first(self.table.genes[self.gene_g])}: "
                "these regions are closed there, and this model leaves closed regions out; ask for other rows or genes"
            )

    def parts(self, batch_size: int, what: str, block: slice = EVERYTHING) -> Iterator[Part]:
        """Batches of about ``batch_size`` lines with a bar named ``what``; a gene's promoters stay together."""
        weight_jo = torch.from_numpy(self.output_weights()).to(self.source.center_p.device)
        for at in progress(self.blocks(batch_size, block), what):
            jobs = self.jobs.iloc[at]
            index_br = self.windows.regions(jobs["window"].to_numpy())
            row_b, index, token_b = (
                self._tensor(a) for a in (jobs["row"].to_numpy(), index_br, jobs["token"].to_numpy())
            )
            yield Part(jobs, index_br, self.source.gather(row_b, index), token_b, weight_jo[at])

    def blocks(self, n_lines: int = BLOCK, within: slice = EVERYTHING) -> list[slice]:
        """Where about ``n_lines`` lines of ``jobs`` stand together, in their order, no gene of a row cut."""
        low, high, _ = within.indices(len(self.jobs))
        gene_j = self.jobs.iloc[low:high].groupby(["row", "gene"], sort=False).ngroup().to_numpy()
        first_g = np.flatnonzero(np.diff(gene_j, prepend=-1))
        at_g = np.searchsorted(first_g, np.arange(0, high - low, n_lines)).clip(max=len(first_g) - 1)
        cut = [*(low + first_g[np.unique(at_g)]), high]
        return [slice(int(start), int(stop)) for start, stop in pairwise(cut)]

    def read(self, part: Part, tokens_brf: Tensor, pad_br: Tensor | None = None) -> Tensor:
        """The network's part of each gene's prediction through each promoter, (b,), for features ``tokens_brf``.

        ``pad_br``: regions taken out, beside those that are padded. Differentiable.
        """
        hidden = part.batch.pad_br if pad_br is None else pad_br
        out_b1o = self.net(tokens_brf, part.batch.center_br, hidden, part.token_b)
        return (out_b1o[:, 0] * part.weight_bo).sum(dim=1)

    def slopes(self, part: Part, tokens_brf: Tensor) -> Tensor:
        """Gradient of :meth:`read` with respect to the features of each window, at ``tokens_brf``."""
        leaf_brf = tokens_brf.detach().requires_grad_()
        with _still(self.net):
            return torch.autograd.grad(self.read(part, leaf_brf).sum(), leaf_brf)[0]

    def shared_slopes(self, part: Part, tokens_brf: Tensor) -> Tensor:
        """As :meth:`slopes`, where lines of one window have the same features: these share all blocks but the last."""
        _, u_b, n_u = np.unique(part.jobs["window"], return_inverse=True, return_counts=True)
        lines_u = np.split(np.argsort(u_b, kind="stable"), np.cumsum(n_u)[:-1])
        fullest, slopes_brf = np.argsort(-n_u, kind="stable"), torch.empty_like(tokens_brf)
        for low in range(0, len(fullest), TOGETHER):  # windows with about as many lines
            some = [lines_u[u] for u in fullest[low : low + TOGETHER]]
            self._slopes_of(part, some, tokens_brf, slopes_brf)
        return slopes_brf

    def _slopes_of(self, part: Part, lines_u: list[np.ndarray], tokens_brf: Tensor, slopes_brf: Tensor) -> None:
        """Write :meth:`shared_slopes` of the lines of some windows."""
        rounds = [np.array([b_n[n] for b_n in lines_u if len(b_n) > n]) for n in range(len(lines_u[0]))]
        together = sum(2 * len(b_n) > len(lines_u) for b_n in rounds)  # fewer are cheaper alone
        if together > 1:
            first_u = rounds[0]
            leaf_urf = tokens_brf[self._tensor(first_u)].detach().requires_grad_()
            windows = part.take(first_u).batch
            with _still(self.net):
                read = self.net.reader(leaf_urf, windows.center_br, windows.pad_br)
                for n, b_n in enumerate(rounds[:together]):
                    at, u_n = self._tensor(b_n), torch.arange(len(b_n), device=leaf_urf.device)
                    value = (read(u_n, part.token_b[at])[:, 0] * part.weight_bo[at]).sum()
                    (slopes_urf,) = torch.autograd.grad(value, leaf_urf, retain_graph=n + 1 < together)
                    slopes_brf[at] = slopes_urf[: len(b_n)]
            rounds = rounds[together:]
        if rounds:
            b_n = np.concatenate(rounds)
            slopes_brf[self._tensor(b_n)] = self.slopes(part.take(b_n), tokens_brf[self._tensor(b_n)])

    def embedded_slopes(self, part: Part, tokens_brf: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`slopes`, and the gradient with respect to the embedding of each region, (b, r, d)."""
        leaf_brf, embedded = tokens_brf.detach().requires_grad_(), []
        hook = self.net.region_embed["embed"].register_forward_hook(lambda _, __, out: embedded.append(out))
        try:
            with _still(self.net):
                value = self.read(part, leaf_brf).sum()
        finally:
            hook.remove()
        by_feature, by_embedding = torch.autograd.grad(value, [leaf_brf, embedded[0]])
        return by_feature, by_embedding

    def other_row(self, part: Part, row: int) -> Tensor:
        """Features of the same windows in another row (position)."""
        return self.source.gather(torch.full_like(part.batch.row_b, row), self._tensor(part.index_br)).tokens_brf

    def moved_motifs(self, part: Part, moved_p: np.ndarray) -> Tensor:
        """Features of the windows, were the motifs of region ``moved_p[p]`` at region p."""
        index_br = self._tensor(np.append(moved_p, -1)[part.index_br])  # -1, where padded, stays
        motif_brm = self.source.gather(part.batch.row_b, index_br).tokens_brf[..., : self.net.config.n_motifs]
        return torch.cat([motif_brm, part.batch.tokens_brf[..., self.net.config.n_motifs :]], dim=-1)

    def motif_features(self, score_bm: np.ndarray | sp.spmatrix, row_b: Tensor) -> Tensor:
        """Motif features of sequences with scores ``score_bm`` (bits) in rows ``row_b`` (positions), (b, m)."""
        motif_bm = self._tensor(self.scaling.scaled_motifs(score_bm))
        return self.source.in_units(motif_bm[:, None], row_b)[:, 0]

    def activity_shares(self, jobs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What a unit of fold accessibility adds by gene activity: line of ``jobs``, region (positions) and log10(CPM + 1).

        Empty where gene activity has no part in predictions. Regions closed in the row are among them.
        """
        if not self.scaling.rules.activity:
            return np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros(0)
        slope_j = np.prod(self.scaling.activity) * self._gene_weights(jobs)
        weights = self._activity_qp[jobs["slot"].to_numpy()].tocoo()
        return weights.row, weights.col, slope_j[weights.row] * weights.data

    @cached_property
    def _activity_qp(self) -> sp.csr_matrix:
        """Weights of regions around promoters: of the whole genome, so laid once and not for each batch."""
        return activity_weights(self.table)

    def output_weights(self) -> np.ndarray:
        """How much each output of the network counts in the gene's prediction, (job, o): its own strand only."""
        weight_jo = np.zeros((len(self.jobs), self.net.config.n_outputs), dtype=np.float32)
        at, strand = np.arange(len(self.jobs)), self.jobs["strand"].to_numpy()
        share_j = 1 / self.jobs["n_promoters"].to_numpy()  # a gene's prediction is the mean over its promoters
        if not self.net.config.deviation:
            weight_jo[at, strand] = share_j
        else:
            unseen_j = np.isnan(self.scaling.expression(self.table.genes))[self.jobs["gene"].to_numpy()]
            weight_jo[at, strand] = np.where(unseen_j, self.scaling.level[1], 0) * share_j
            weight_jo[at, 2 + strand] = (1 - self.scaling.activity[1]) * self._gene_weights(self.jobs)
        return weight_jo

    def _gene_weights(self, jobs: pd.DataFrame) -> np.ndarray:
        """How much a departure at the promoter, in the gene's own scale, counts in its prediction, (job,)."""
        return self.scaling.spread(self.table.genes)[jobs["gene"].to_numpy()] / jobs["n_promoters"].to_numpy()

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.source.center_p.device)


@contextmanager
def _still(net: ExpressionNet) -> Iterator[None]:
    """No gradients of weights inside: with them attention takes a slower path, for the sake of its distance slopes."""
    learnt = [weight for weight in net.parameters() if weight.requires_grad]
    for weight in learnt:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in learnt:
            weight.requires_grad_(True)


def genes_to_explain(table: RegionTable, genes: Sequence[str] | None) -> np.ndarray:
    """Positions of genes that have a promoter region; :class:`InputError` for others."""
    able = np.unique(table.promoters.gene_n)
    gene_g = able if genes is None else positions(table.genes, genes, "gene")
    without = np.setdiff1d(gene_g, able)
    if len(without):
        raise InputError(f"{len(without)} genes have no promoter region, first {first(table.genes[without])}")
    if not len(gene_g):
        raise InputError("genes=[] names no gene; None explains all")
    return gene_g


def _jobs(
    windows: Windows, table: RegionTable, row_k: np.ndarray, gene_g: np.ndarray, *, by_place: bool
) -> pd.DataFrame:
    """One line per row, gene and promoter slot shown: where its prediction is read."""
    window_n, token_n = windows.focus_window_n, windows.focus_token_n
    focus = pd.DataFrame(
        {
            "row": windows.row_w[window_n],
            "region": windows.region_t[windows.start_w[window_n] + token_n],
            "window": window_n,
            "token": token_n,
        }
    )
    pairs = table.promoters
    wanted = np.isin(pairs.gene_n, gene_g)
    slot_n = pairs.slot_n[wanted]
    genes = pd.DataFrame(
        {
            "gene": pairs.gene_n[wanted],
            "slot": slot_n,
            "region": pairs.region_q[slot_n],
            "strand": pairs.strand_q[slot_n],
        }
    )
    jobs = genes.merge(focus[focus["row"].isin(row_k)], on="region")
    row_n, gene_n = (pd.Index(at).get_indexer(jobs[name]) for name, at in (("row", row_k), ("gene", gene_g)))
    place_n = jobs.groupby("gene")["region"].transform("min").to_numpy() if by_place else gene_n
    jobs = jobs.iloc[np.lexsort([jobs["region"], gene_n, place_n, row_n])]
    jobs["n_promoters"] = jobs.groupby(["row", "gene"])["region"].transform("size")
    return jobs.reset_index(drop=True)
