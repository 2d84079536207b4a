"""What baselines may learn from, and the regions near the promoters of each gene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from scget.data import RegionTable, Scaling, near

REACH = 100_000  # bp around a promoter that features may take in
DECAY = 5_000  # bp over which the weight of a region falls by e
DECAYS = (1_000, 5_000, 20_000, 100_000)
BINS = (0, 1_000, 3_000, 10_000, 30_000, REACH)  # upper ends in bp; 0 is the promoter region itself


@dataclass(frozen=True)
class Near:
    """Regions within 100 kb of a promoter of a gene, by their centres: pairs ``i`` of ``gene_i`` and ``region_i``.

    ``distance_i`` in bp; ``share_i`` is 1 over the number of promoters of the gene, over which sums are averaged.
    """

    gene_i: np.ndarray
    region_i: np.ndarray
    distance_i: np.ndarray
    share_i: np.ndarray
    shape: tuple[int, int]

    def weights(self, weigh: Callable[[np.ndarray], np.ndarray]) -> sp.csr_matrix:
        """Genes x regions, with ``weigh(distance)`` averaged over the promoters of each gene."""
        value_i = weigh(self.distance_i) * self.share_i
        return sp.csr_matrix((value_i, (self.gene_i, self.region_i)), self.shape)


@dataclass(frozen=True)
class Task:
    """What a baseline may learn from, and features of it that several share, each computed once.

    In names of arrays ``a`` is a gene with a promoter, in the order of the table.

    Attributes
    ----------
    table
        Regions, accessibility, motifs, promoters and expression, rows of training and held-out ones.
    scaling
        Depth-free accessibility and units of motifs, fitted on the training rows.
    row_k
        Positions of the training rows.
    seen_g
        True for genes on training chromosomes, (g,).
    """

    table: RegionTable
    scaling: Scaling
    row_k: np.ndarray
    seen_g: np.ndarray

    @cached_property
    def train_k(self) -> np.ndarray:
        """Training rows by name, so that the order of rows in the data plays no part in what is learnt."""
        return self.row_k[np.argsort(self.table.rows[self.row_k].astype(str))]

    @cached_property
    def able_g(self) -> np.ndarray:
        """True for genes with a promoter region, the only ones that features tell of."""
        able_g = np.zeros(len(self.table.genes), dtype=bool)
        able_g[self.table.promoters.gene_n] = True
        return able_g

    @cached_property
    def learn_a(self) -> np.ndarray:
        """Positions of the seen genes among those with a promoter, by name of gene."""
        at_a = np.flatnonzero(self.able_g & self.seen_g)
        at_a = at_a[np.argsort(self.table.genes[at_a].astype(str))]
        return np.searchsorted(np.flatnonzero(self.able_g), at_a)

    @property
    def mean_g(self) -> np.ndarray:
        """Mean expression over the training rows, of all genes."""
        return self.table.expression_kg[self.train_k].mean(axis=0, dtype=np.float64)

    @cached_property
    def accessibility_kp(self) -> np.ndarray:
        """Accessibility free of depth, as the model reads it."""
        return self.scaling.accessibility(self.table).astype(np.float64)

    @cached_property
    def near(self) -> Near:
        """Pairs of genes and regions within reach."""
        return _near(self.table)

    @cached_property
    def weights_gp(self) -> sp.csr_matrix:
        """``exp(-distance / 5 kb)`` of the regions within 100 kb of each gene's promoters, genes x regions."""
        return self.near.weights(lambda distance: np.exp(-distance / DECAY))

    @cached_property
    def decayed_kaf(self) -> np.ndarray:
        """Accessibility at the promoter and weighted by ``exp(-distance / d)``, d = 1, 5, 20 and 100 kb."""
        return self._sums([lambda distance: distance == 0, *(_fall(decay) for decay in DECAYS)])

    @cached_property
    def binned_kaf(self) -> np.ndarray:
        """Accessibility beyond the promoter summed in bins that end at 1, 3, 10, 30 and 100 kb."""
        return self._sums([_between(*ends) for ends in zip(BINS[:-1], BINS[1:], strict=True)])

    @cached_property
    def motifs_kam(self) -> np.ndarray:
        """Accessibility x motif summed with the weights of ``weights_gp``, rows x genes with a promoter x motifs."""
        weights_ap, motif_pm = self.weights_gp[np.flatnonzero(self.able_g)], self.table.motif_pm
        unit_m = self.scaling.motif_m.astype(np.float64)
        out_kam = np.empty((len(self.table.rows), weights_ap.shape[0], len(unit_m)), dtype=np.float32)
        for out_am, accessibility_p in zip(out_kam, self.accessibility_kp, strict=True):
            sums_am = (weights_ap @ sp.diags(accessibility_p)) @ motif_pm
            out_am[:] = (sums_am.toarray() if sp.issparse(sums_am) else sums_am) / unit_m
        return out_kam

    def _sums(self, weighings: list[Callable[[np.ndarray], np.ndarray]]) -> np.ndarray:
        able = np.flatnonzero(self.able_g)
        sums = [self.near.weights(weigh)[able] @ self.accessibility_kp.T for weigh in weighings]
        return np.stack([sums_ak.T for sums_ak in sums], axis=-1)


def _fall(decay: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda distance: np.exp(-distance / decay)


def _between(low: int, high: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda distance: (distance > low) & (distance <= high)


def _near(table: RegionTable) -> Near:
    """Pairs of each gene and the regions around its promoters."""
    pairs = table.promoters
    n_i, region_i, distance_i = near(table, pairs.region_q[pairs.slot_n], REACH)
    gene_i = pairs.gene_n[n_i]
    return Near(
        gene_i=gene_i,
        region_i=region_i,
        distance_i=distance_i,
        share_i=1 / np.bincount(pairs.gene_n, minlength=pairs.n_genes)[gene_i],
        shape=(pairs.n_genes, len(table.regions)),
    )
