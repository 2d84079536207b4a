"""What predictions rest on: gradients of the network, gene by gene, and accessibility around promoters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scget._errors import InputError
from scget.data import RegionTable
from scget.pp._kept import Arrays

from ._gene_windows import PER_WINDOW, GeneWindows, Part
from ._kept import Folder, Kept
from ._region_lines import (
    Change,
    activity_effects,
    activity_lines,
    in_order,
    named,
    shares,
    strongest,
    sum_promoters,
    window_lines,
)

if TYPE_CHECKING:
    from ._get import GET

METHODS = ("gradient", "integrated")
LINKS = ["row", "gene", "region", "distance", "score", "signed"]


@dataclass(frozen=True)
class Attribution:
    """What predictions rest on, by the gradient of each gene's own prediction, averaged over its promoters.

    With p(x) the part of a gene's prediction that depends on features x, both tables hold ``(x - x0) * mean gradient of p
    between x0 and x``: all but the bound at 0 and what was missed in similar rows. ``method="integrated"`` takes the mean
    along the straight line (integrated gradients, Sundararajan et al. 2017) at ``steps`` Gauss-Legendre nodes;
    ``"gradient"`` takes one node, for regions half-way and for motifs at x itself, which is gradient x input.

    Parameters
    ----------
    motifs
        Row name to a genes x motifs table: x0 has no motif scores and the accessibility of x. Summed over the window,
        signed, log10(CPM + 1). With ``against=`` another row: this row's less the other's, each in its own windows.
    links
        Table row, gene, region, distance (bp from the promoter region's centre, negative upstream), signed (log10(CPM
        + 1)) and score (share of the gene's total absolute value, 0 to 1), strongest first. ``signed`` is what the
        region's being more or less open than in x0 adds to the prediction, x0 being the same window with the
        accessibility of the mean training row or, with ``against=``, of another row; a gene's regions sum to about the
        difference in prediction. With ``baseline="zero"`` there is no mean, and 0 stands in the place of all
        features. Where gene activity is part of the predicted departure, each region's share of it is in here.
    gap
        With ``method="integrated"``: table row, gene, of ("motifs" or "regions"), difference (of predictions at x and x0)
        and gap (difference less the sum of attributions, before ``top``), log10(CPM + 1). It goes to 0 with ``steps``.
    null
        With ``n_shuffles``: what the motif attributions are beside those of shuffled motifs, see :class:`MotifNull`.
    """

    motifs: dict[str, pd.DataFrame]
    links: pd.DataFrame
    gap: pd.DataFrame | None = None
    null: MotifNull | None = None


@dataclass(frozen=True)
class MotifNull:
    """Motif attributions beside those with shuffled motifs: each region has the motif scores of another, windows stay.

    Parameters
    ----------
    z
        Row name to a genes x motifs table: attribution less its mean over shuffles, by their standard deviation (ddof
        1); NaN where they do not vary.
    fdr
        The same with false discovery rates (Benjamini and Hochberg 1995) over the genes and motifs of a row, of the
        two-sided probability of ``z / sqrt(1 + 1/n)`` under Student's t with n - 1 degrees of freedom, for n shuffles.
    motifs
        Table row, motif, mean (over genes, absolute attribution), shuffled (its mean over shuffles), z, fdr (one-sided:
        more than shuffled; over the motifs of a row).
    """

    z: dict[str, pd.DataFrame]
    fdr: dict[str, pd.DataFrame]
    motifs: pd.DataFrame


@dataclass(frozen=True)
class How:
    """How to attribute, see :meth:`GET.attribute`; ``against`` is a row position."""

    method: Literal["gradient", "integrated"]
    steps: int
    against: int | None

    @classmethod
    def of(cls, table: RegionTable, method: Any, steps: int, against: str | None) -> How:
        """Checked."""
        if method not in METHODS:
            raise InputError(f"method={method!r}: 'gradient' or 'integrated' is needed")
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
            raise InputError(f"steps={steps!r}: a whole number of at least 1 is needed")
        row = None if against is None else int(table.row_positions([against])[0])
        return cls(method, int(steps), row)

    def nodes(self, single: float) -> tuple[np.ndarray, np.ndarray]:
        """Where along the line from 0 to 1 gradients are taken, and their weights; ``single``: where there is one."""
        if self.method == "gradient":
            return np.array([single]), np.ones(1)
        at, weight = np.polynomial.legendre.leggauss(self.steps)
        return (at + 1) / 2, weight / 2


def attribute_genes(
    model: GET,
    table: RegionTable,
    genes: Sequence[str] | None,
    rows: Sequence[str] | None,
    how: How,
    *,
    batch_size: int,
    top: int | None,
    cache: Folder = None,
) -> Attribution:
    """See :class:`Attribution`; the windows are those the predictions are read from."""
    where = GeneWindows.of(model, table, genes, rows, batch_size, by_place=True)
    where.check_shown()
    kept = Kept(cache, model, table, asked="attribute", genes=where.gene_g, rows=where.row_k, how=how, top=top)
    found = kept.joined(
        where.blocks(), lambda block: _attribute_block(where, block, how, batch_size, top), "blocks of genes"
    )
    links = named(in_order(pd.DataFrame({name: found[name] for name in LINKS}), where).reset_index(drop=True), table)
    motifs = _motif_tables(where, found["motif_jm"])
    gaps = [_gaps(where.jobs, of, found[f"{of}_gap_j2"]) for of in ("motifs", "regions")]
    other = _windows_against(model, table, genes, how, batch_size)
    if other is not None:
        motifs, gap = _less(motifs, *_motif_pass(other, how, batch_size))
        gaps += [gap.assign(row=row) for row in where.row_k]
    return Attribution(motifs, links, _sum_gaps(where, gaps) if how.method == "integrated" else None)


def _attribute_block(where: GeneWindows, block: slice, how: How, batch_size: int, top: int | None) -> Arrays:
    """Of some lines of ``where.jobs``: motif attributions and gaps of each, and links of their genes, by positions."""
    has_mean, change = where.net.config.deviation and where.scaling.rules.fold, _fold_change(where, how)
    motifs, gaps, lines = [], [], []
    for part in where.parts(PER_WINDOW * batch_size, "attribute", block):
        by_motif, motif_gap = motif_effects(where, part, part.batch.tokens_brf, how)
        by_region, region_gap = region_effects(where, part, how, has_mean=has_mean)
        motifs.append(by_motif.cpu().numpy())
        gaps.append(np.concatenate([motif_gap.cpu().numpy(), region_gap.cpu().numpy()], axis=1))
        lines.append(window_lines(part, signed=by_region.cpu().numpy()))
    jobs, gap_j4 = where.jobs.iloc[block], np.concatenate(gaps).astype(np.float64)
    if where.scaling.rules.activity:  # linear: what it adds to the difference, its attributions add to the sum
        line_n, _, effect_n = effects = activity_effects(where, jobs, change)
        lines.append(activity_lines(jobs, effects))
        gap_j4[:, 2] += np.bincount(line_n, effect_n, len(jobs))
    links = sum_promoters(pd.concat([some for some in lines if len(some)]), where)
    links = strongest(links.assign(score=shares(links["signed"].abs(), links)), where, top)
    arrays = {name: links[name].to_numpy() for name in LINKS}
    return {
        **arrays,
        "motif_jm": np.concatenate(motifs),
        "motifs_gap_j2": gap_j4[:, :2],
        "regions_gap_j2": gap_j4[:, 2:],
    }


def _fold_change(where: GeneWindows, how: How) -> Change:
    """Fold accessibility beyond that of the reference, of rows and regions."""

    def change(row_n: np.ndarray, region_n: np.ndarray) -> np.ndarray:
        fold_n = where.source.channels_at(row_n, region_n)[:, 1]
        return fold_n if how.against is None else fold_n - where.source.channels_at(how.against, region_n)[:, 1]

    return change


def motifs_by(
    model: GET,
    table: RegionTable,
    genes: Sequence[str] | None,
    rows: Sequence[str] | None,
    how: How,
    batch_size: int,
) -> Callable[[np.ndarray], dict[str, pd.DataFrame]]:
    """``motifs`` of :class:`Attribution` as a function of ``moved_p``: region p has the motif scores of ``moved_p[p]``."""
    where = GeneWindows.of(model, table, genes, rows, batch_size, by_place=True)
    other = _windows_against(model, table, genes, how, batch_size)

    def moved(moved_p: np.ndarray) -> dict[str, pd.DataFrame]:
        motifs, _ = _motif_pass(where, how, batch_size, moved_p)
        return motifs if other is None else _less(motifs, *_motif_pass(other, how, batch_size, moved_p))[0]

    return moved


def _windows_against(
    model: GET, table: RegionTable, genes: Sequence[str] | None, how: How, batch_size: int
) -> GeneWindows | None:
    """Windows of the row compared with; None for the mean row."""
    row = how.against
    return (
        None if row is None else GeneWindows.of(model, table, genes, [str(table.rows[row])], batch_size, by_place=True)
    )


def _motif_pass(
    where: GeneWindows, how: How, batch_size: int, moved_p: np.ndarray | None = None
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Motif attributions alone, and gaps of promoters."""
    motifs, gaps = [], []
    for part in where.parts(PER_WINDOW * batch_size, "motifs"):
        tokens_brf = part.batch.tokens_brf if moved_p is None else where.moved_motifs(part, moved_p)
        by_motif, gap = motif_effects(where, part, tokens_brf, how)
        motifs.append(by_motif.cpu().numpy())
        gaps.append(gap.cpu().numpy())
    return _motif_tables(where, np.concatenate(motifs)), _gaps(where.jobs, "motifs", np.concatenate(gaps))


def _less(
    motifs: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame], gap: pd.DataFrame
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Less those of the one row in ``other``, and its gaps with the sign they then have."""
    (of_other,) = other.values()
    turned = gap.assign(difference=-gap["difference"], gap=-gap["gap"])
    return {row: table - of_other for row, table in motifs.items()}, turned


def motif_effects(where: GeneWindows, part: Part, tokens_brf: Tensor, how: How) -> tuple[Tensor, Tensor]:
    """Effects (b, m) of the motifs in ``tokens_brf`` and, to be summed, the difference they explain and the gap (b, 2)."""
    n_motifs = where.net.config.n_motifs
    departure_brf = tokens_brf.clone()
    departure_brf[..., n_motifs:] = 0
    effect_brf, gap_b2 = _along(where, part, tokens_brf, departure_brf, how, single=1.0)
    return effect_brf[..., :n_motifs].sum(1), gap_b2


def region_effects(where: GeneWindows, part: Part, how: How, *, has_mean: bool) -> tuple[Tensor, Tensor]:
    """As :func:`motif_effects`, of the regions of each window, (b, r)."""
    tokens_brf = part.batch.tokens_brf
    if how.against is not None:
        departure_brf = tokens_brf - where.other_row(part, how.against)
    elif has_mean:  # the mean row differs in accessibility alone: by the fold in both channels
        departure_brf, first = torch.zeros_like(tokens_brf), where.net.config.n_motifs
        departure_brf[..., first : first + 2] = tokens_brf[..., first + 1 : first + 2]
    else:
        departure_brf = tokens_brf
    effect_brf, gap_b2 = _along(where, part, tokens_brf, departure_brf, how, single=0.5)
    return effect_brf.sum(2), gap_b2


def _along(
    where: GeneWindows, part: Part, tokens_brf: Tensor, departure_brf: Tensor, how: How, *, single: float
) -> tuple[Tensor, Tensor]:
    """Mean gradient from ``tokens - departure`` to ``tokens``, times the departure; difference of values, and gap."""
    start_brf = tokens_brf - departure_brf
    slopes = (
        where.shared_slopes(part, torch.add(start_brf, departure_brf, alpha=float(at))).mul_(float(weight))
        for at, weight in zip(*how.nodes(single), strict=True)
    )
    effect_brf = reduce(Tensor.add_, slopes).mul_(departure_brf)
    if how.method == "gradient":
        return effect_brf, tokens_brf.new_zeros((len(tokens_brf), 2))
    with torch.inference_mode():
        difference_b = (where.read(part, tokens_brf) - where.read(part, start_brf)).double()
    return effect_brf, torch.stack([difference_b, difference_b - effect_brf.double().sum((1, 2))], dim=1)


def _gaps(jobs: pd.DataFrame, of: str, gap_j2: np.ndarray) -> pd.DataFrame:
    """A line per promoter."""
    return jobs[["row", "gene"]].assign(of=of, difference=gap_j2[:, 0], gap=gap_j2[:, 1])


def _sum_gaps(where: GeneWindows, gaps: list[pd.DataFrame]) -> pd.DataFrame:
    """Sum over promoters, by name, in the order asked."""
    table = where.table
    by_promoter = in_order(pd.concat(gaps), where).groupby(["of", "row", "gene"], sort=False)
    gap = by_promoter[["difference", "gap"]].sum().reset_index()
    gap = gap.assign(row=table.rows[gap["row"]].astype(str), gene=table.genes[gap["gene"]].astype(str))
    gap = gap.sort_values("of", kind="stable", ignore_index=True)
    return gap[["row", "gene", "of", "difference", "gap"]]


def _motif_tables(where: GeneWindows, motifs_jm: np.ndarray) -> dict[str, pd.DataFrame]:
    """Sum over the promoters of a gene, a genes x motifs table per row."""
    table, motifs = where.table, {}
    for row in where.row_k:
        mine = (where.jobs["row"] == row).to_numpy()
        by_gene = pd.DataFrame(motifs_jm[mine], columns=table.motifs)
        by_gene = by_gene.groupby(table.genes[where.jobs["gene"][mine]]).sum()
        motifs[str(table.rows[row])] = by_gene.reindex(table.genes[where.gene_g])
    return motifs
