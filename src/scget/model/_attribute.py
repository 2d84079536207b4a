"""What predictions rest on: gradients of the network, gene by gene, and accessibility around promoters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scget.data import RegionTable
from scget.module import GETConfig

from ._gene_windows import GeneWindows, Part

if TYPE_CHECKING:
    from ._get import GET


@dataclass(frozen=True)
class Attribution:
    """What predictions rest on, by the gradient of each gene's own prediction, averaged over its promoters.

    Parameters
    ----------
    motifs
        Row name to a genes x motifs table: gradient x motif score, summed over the window, signed, log10(CPM + 1).
    links
        Table row, gene, region, distance (bp from the promoter region's centre, negative upstream), signed (log10(CPM
        + 1)) and score (share of the gene's total absolute value, 0 to 1), strongest first. ``signed`` is what the
        region's being more or less open than on average in the training rows adds to the prediction: features less
        their training mean, times the gradient half-way between the two (one step of integrated gradients by the
        midpoint rule, Sundararajan et al. 2017), so that a gene's regions sum to about the difference in prediction.
        With ``baseline="zero"`` there is no such mean, and 0 stands in its place. Where gene activity is part of the
        predicted departure, each region's share of it is in here.
    """

    motifs: dict[str, pd.DataFrame]
    links: pd.DataFrame


def attribute_genes(
    model: GET,
    table: RegionTable,
    genes: Sequence[str] | None,
    rows: Sequence[str] | None,
    *,
    batch_size: int,
    top: int,
) -> Attribution:
    """See :class:`Attribution`; the windows are those the predictions are read from."""
    where, n_motifs = GeneWindows.of(model, table, genes, rows, batch_size), model.config.n_motifs
    fold_kp = where.source.fold_kp() if model.rules.activity else None
    motifs_jm, links = [], []
    for part in where.parts(batch_size, "attribute"):
        tokens_brf = part.batch.tokens_brf
        by_motif = (where.slopes(part, tokens_brf) * tokens_brf)[..., :n_motifs].sum(1)
        departure_brf = _departure(model.config, tokens_brf, model.rules.fold)
        by_region = (where.slopes(part, tokens_brf - departure_brf / 2) * departure_brf).sum(2)
        motifs_jm.append(by_motif.cpu().numpy())
        found = [_links(by_region.cpu().numpy(), part)]
        if fold_kp is not None:
            found.append(_activity_links(where, part.jobs, fold_kp))
        links.append(_strongest(pd.concat(found), where, top))
    return Attribution(_by_gene(where, np.concatenate(motifs_jm)), pd.concat(links, ignore_index=True))


def _departure(config: GETConfig, tokens_brf: Tensor, has_fold: bool) -> Tensor:
    """What a region's gradient is multiplied by: its features less those it has, on average, in the training rows.

    The average row differs in accessibility alone: by the fold in both channels. A network that predicts expression
    itself, or sees no fold, has no such reference, and the features are taken as they are.
    """
    if not config.deviation or not has_fold:
        return tokens_brf
    departure_brf, first = torch.zeros_like(tokens_brf), config.n_motifs
    departure_brf[..., first : first + 2] = tokens_brf[..., first + 1 : first + 2]
    return departure_brf


def _links(effect_br: np.ndarray, part: Part) -> pd.DataFrame:
    """A line per region of each window."""
    b, r = np.nonzero(part.index_br >= 0)
    return _lines(part.jobs, b, part.index_br[b, r], effect_br[b, r])


def _activity_links(where: GeneWindows, jobs: pd.DataFrame, fold_kp: np.ndarray) -> pd.DataFrame:
    """What each region adds by gene activity, those that are closed in the row too."""
    line_n, region_n, share_n = where.activity_shares(jobs)
    effect_n = share_n * fold_kp[jobs["row"].to_numpy()[line_n], region_n]
    some = effect_n != 0
    return _lines(jobs, line_n[some], region_n[some], effect_n[some])


def _lines(jobs: pd.DataFrame, line_n: np.ndarray, region_n: np.ndarray, signed_n: np.ndarray) -> pd.DataFrame:
    job = {name: jobs[name].to_numpy()[line_n] for name in ("row", "gene", "strand")}
    return pd.DataFrame({**job, "promoter": jobs["region"].to_numpy()[line_n], "region": region_n, "signed": signed_n})


def _by_gene(where: GeneWindows, motifs_jm: np.ndarray) -> dict[str, pd.DataFrame]:
    """Sum over the promoters of a gene, a genes x motifs table per row."""
    table, motifs = where.table, {}
    for row in where.row_k:
        mine = (where.jobs["row"] == row).to_numpy()
        by_gene = pd.DataFrame(motifs_jm[mine], columns=table.motifs)
        by_gene = by_gene.groupby(table.genes[where.jobs["gene"][mine]]).sum()
        motifs[str(table.rows[row])] = by_gene.reindex(table.genes[where.gene_g])
    return motifs


def _strongest(links: pd.DataFrame, where: GeneWindows, top: int) -> pd.DataFrame:
    """Sum over the promoters of a gene, the ``top`` strongest regions of each, by name; in the order asked."""
    table, center_p = where.table, where.table.regions.centers
    downstream = np.where(links["strand"] == 0, 1, -1)
    links["distance"] = (center_p[links["region"]] - center_p[links["promoter"]]) * downstream
    nearest = links.assign(far=links["distance"].abs()).sort_values("far")
    links = nearest.groupby(["row", "gene", "region"], sort=False).agg(
        signed=("signed", "sum"), distance=("distance", "first")
    )
    links = links.reset_index()
    size = links["signed"].abs()
    total = size.groupby([links["row"], links["gene"]]).transform("sum")
    links["score"] = np.where(total > 0, size / total.where(total > 0, 1), 0.0)
    row_n, gene_n = (pd.Index(at).get_indexer(links[n]) for at, n in ((where.row_k, "row"), (where.gene_g, "gene")))
    order = np.lexsort([-links["score"], gene_n, row_n])
    links = links.iloc[order].groupby(["row", "gene"], sort=False).head(top)
    named = {
        "row": table.rows[links["row"]].astype(str),
        "gene": table.genes[links["gene"]].astype(str),
        "region": table.regions.names[links["region"]].astype(str),
    }
    return links.assign(**named)[["row", "gene", "region", "distance", "score", "signed"]]
