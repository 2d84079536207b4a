"""Raw scores and counts to the features and targets of the network, by numbers fitted on training rows only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scget._errors import InputError

from ._open import log_accessibility, open_rows
from ._rules import Rules
from ._similar import Likeness, SimilarRows
from ._table import RegionTable

_SIMILAR = "similar."
_BLOCK = 1 << 16  # regions whose motif scores are dense in double precision at once
_ENOUGH_KNOWN = 0.5  # share of the training regions, from which ranks are taken among them alone


@dataclass(frozen=True)
class Scaling:
    """What was fitted on the training rows and travels with the model.

    ``motif_m``: mean non-zero score per motif, the unit of motif features. ``quantile_q``: the mean distribution of
    accessibility, to which every row is mapped, so that depth does not matter. ``accessibility_p`` at ``region_p``:
    mean over training rows per region. ``expression_g`` of ``gene_g``: mean log10(CPM + 1) over training rows, NaN
    where the gene was held out. ``level``: centre and scale of these means; ``deviation``: scale of the departures;
    ``spread_g``: scale of each gene's own, NaN where held out. ``activity``: departure, in that scale, per unit of gene
    activity, and the share of that in a predicted departure, the rest being the network's.
    ``extra_e2``: mean and standard deviation of the extra channels. ``similar``: the training rows, where the rules have
    them. ``rules``: how all of it is applied.
    """

    motif_m: np.ndarray
    quantile_q: np.ndarray
    region_p: np.ndarray
    accessibility_p: np.ndarray
    gene_g: np.ndarray
    expression_g: np.ndarray
    spread_g: np.ndarray
    level: np.ndarray
    deviation: np.ndarray
    activity: np.ndarray
    extra_e2: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    similar: SimilarRows | None = None
    rules: Rules = field(default_factory=Rules)

    def motifs(self, table: RegionTable, out_pm: np.ndarray | None = None) -> np.ndarray:
        """Motif features, (p, m) float32, in ``out_pm`` where given: 1 is a typical hit; as they are where each row has a unit."""
        out_pm = np.empty(table.motif_pm.shape, dtype=np.float32) if out_pm is None else out_pm
        for low in range(0, len(out_pm), _BLOCK):
            out_pm[low : low + _BLOCK] = self.scaled_motifs(table.motif_pm[low : low + _BLOCK])
        return out_pm

    def scaled_motifs(self, score_nm: np.ndarray | sp.spmatrix) -> np.ndarray:
        """Scores of any sequences in the unit of :meth:`motifs`, (n, m) float32."""
        unit_m = np.ones(len(self.motif_m)) if self.rules.motif_unit == "row" else self.motif_m.astype(np.float64)
        scaled = score_nm @ sp.diags(1 / unit_m)
        return np.asarray(scaled.toarray() if sp.issparse(scaled) else scaled, dtype=np.float32)

    def motif_units(self, table: RegionTable) -> np.ndarray | None:
        """Greatest score of each motif among the open regions of each row, (k, m) float32; None where not in use."""
        if self.rules.motif_unit != "row":
            return None
        greatest = [table.motif_pm[counts_p > 0].max(axis=0) for counts_p in table.counts_kp]
        unit_km = np.stack([np.asarray(m.todense() if sp.issparse(m) else m).ravel() for m in greatest])
        return np.where(unit_km > 0, unit_km, 1).astype(np.float32)

    def accessibility(self, table: RegionTable, out_kp: np.ndarray | None = None) -> np.ndarray:
        """Accessibility by the rules, (k, p) float32, in ``out_kp`` where given: the first channel."""
        out_kp = np.empty(table.counts_kp.shape, dtype=np.float32) if out_kp is None else out_kp
        among_p = self._rank_among(self._trained_at(table) >= 0)
        for out_p, open_p in zip(out_kp, self._open_rows(table.counts_kp, among_p), strict=True):
            out_p[:] = open_p
        return out_kp

    def mean_accessibility(self, table: RegionTable) -> np.ndarray:
        """Its mean over the training rows, (p,) float32; NaN for a region not known."""
        return np.append(self.accessibility_p, np.nan)[self._trained_at(table)].astype(np.float32)

    def extra(self, table: RegionTable) -> np.ndarray:
        """Extra channels in units of their spread over training rows and regions, (k, p, e) float32."""
        return ((table.extra_kpe - self.extra_e2[:, 0]) / self.extra_e2[:, 1]).astype(np.float32)

    def channels(self, table: RegionTable) -> np.ndarray:
        """Accessibility, its fold over the training mean (0 for a region not known) and extra ones, (k, p, c) float32."""
        open_kp, channels = self.accessibility(table), []
        if self.rules.fold:
            mean_p = self.mean_accessibility(table)
            channels.append(np.where(np.isnan(mean_p), 0, open_kp - mean_p))
        channels += list(np.moveaxis(self.extra(table), 2, 0)) if self.rules.extra else []
        return np.stack([open_kp, *channels], axis=-1)

    def share_known(self, table: RegionTable) -> tuple[float, float]:
        """Share of the regions, and of the genes with a promoter, that are those of training; 1 if those are not known."""
        if not len(self.region_p):
            return 1.0, 1.0
        genes = pd.Index(table.genes[np.unique(table.promoters.gene_n)])  # numpy's isin takes minutes on text
        return float((self._trained_at(table) >= 0).mean()), float(genes.isin(self.gene_g).mean())

    def expression(self, genes: np.ndarray) -> np.ndarray:
        """Training mean of each gene, (g,); NaN for a gene not seen in training."""
        at = pd.Index(self.gene_g).get_indexer(genes)
        return np.append(self.expression_g, np.nan)[at]

    def spread(self, genes: np.ndarray) -> np.ndarray:
        """Scale of each gene's departures, (g,); that of all genes for one not seen in training."""
        at = pd.Index(self.gene_g).get_indexer(genes)
        spread_g = np.append(self.spread_g, np.nan)[at]
        return np.where(np.isfinite(spread_g), spread_g, self.deviation[0])

    def targets(self, table: RegionTable) -> np.ndarray:
        """Level, deviation (both standardised) and log10(CPM + 1) at each promoter slot, (k, q, 3); NaN: not known.

        Deviations are in units of each gene's spread.
        The last is 0 below the cutoff of accessibility, if the rules have one.
        """
        if table.expression_kg is None:
            raise InputError("training needs expression: the MuData has no RNA counts")
        mean_g = self.expression(table.genes)
        level_q = table.promoters.genes_to_slots(mean_g[None])[0]
        deviation_kq = table.promoters.genes_to_slots((table.expression_kg - mean_g) / self.spread(table.genes))
        level_kq = np.broadcast_to((level_q - self.level[0]) / self.level[1], deviation_kq.shape)
        expression_kq = table.promoters.genes_to_slots(table.expression_kg)
        if self.rules.cutoff:
            barely_kq = log_accessibility(table.counts_kp)[:, table.promoters.region_q] < self.rules.cutoff
            expression_kq = np.where(barely_kq & np.isfinite(expression_kq), 0.0, expression_kq)
        return np.stack([level_kq, deviation_kq, expression_kq], axis=-1).astype(np.float32)

    def likeness(self, table: RegionTable, row_k: np.ndarray) -> Likeness | None:
        """How alike the rows ``row_k`` (positions) are to the training rows; None where these are not kept."""
        kept = self.similar
        if kept is None:
            return None
        trained_at = self._trained_at(table)
        known_p, here = trained_at >= 0, np.full(len(self.region_p), -1)
        here[trained_at[known_p]] = np.flatnonzero(known_p)
        at_n, among_p = here[kept.region_n], self._rank_among(known_p)
        open_kn = np.full((len(row_k), len(at_n)), np.nan)
        for out_n, open_p in zip(open_kn, self._open_rows((table.counts_kp[k] for k in row_k), among_p), strict=True):
            out_n[:] = np.where(at_n >= 0, open_p[at_n] - self.accessibility_p[kept.region_n], np.nan)
        return kept.weights(open_kn)

    def said_by(self, like: Likeness | None, genes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Departure of ``genes`` from their training mean as the training rows weighted have it, and its error.

        (k, g) each, log10(CPM + 1); NaN for a gene not seen in training. Without likeness, 0 and NaN.
        """
        if like is None or self.similar is None:
            seen_1g = np.isfinite(self.expression(genes))[None]
            return np.where(seen_1g, 0.0, np.nan), np.full(seen_1g.shape, np.nan)
        at = pd.Index(self.gene_g).get_indexer(genes)
        departure_jg = np.pad(self.similar.departure_jg, ((0, 0), (0, 1)), constant_values=np.nan)[:, at]
        error_g = np.append(self.similar.error_g, np.nan)[at]
        return like.weight_kj @ departure_jg, np.sqrt(like.left_k[:, None] * error_g)

    def _rank_among(self, known_p: np.ndarray) -> np.ndarray:
        """The regions of training, or all where too few of those are here: they would rank the others by chance."""
        return known_p if known_p.sum() >= _ENOUGH_KNOWN * len(self.region_p) else np.ones_like(known_p)

    def _trained_at(self, table: RegionTable) -> np.ndarray:
        """Position of each region among those of training, (p,); -1 where it is none of them."""
        if np.array_equal(table.regions.names, self.region_p):  # an index of text takes a second per million
            return np.arange(len(self.region_p))
        return pd.Index(self.region_p).get_indexer(table.regions.names)

    def _open_rows(self, counts_kp: Iterable[np.ndarray], among_p: np.ndarray) -> Iterator[np.ndarray]:
        return open_rows(counts_kp, self.rules, self.quantile_q, among_p)

    def arrays(self) -> dict[str, np.ndarray]:
        """Field name to array, to be saved; those of the training rows kept as ``similar.<field>``."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("rules", "similar")}
        kept = {} if self.similar is None else self.similar.arrays()
        return own | {f"{_SIMILAR}{name}": array for name, array in kept.items()}

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray], rules: Rules) -> Scaling:
        """What :meth:`arrays` gave."""
        own = {name: array for name, array in arrays.items() if not name.startswith(_SIMILAR)}
        kept = {name.removeprefix(_SIMILAR): array for name, array in arrays.items() if name not in own}
        return cls(**own, similar=SimilarRows(**kept) if kept else None, rules=rules)
