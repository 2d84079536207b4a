"""What predictions rest on: gradients of the network, gene by gene, and accessibility around promoters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scget._errors import InputError, first
from scget.data import Batch, RegionTable, Scaling, Windows, activity_weights
from scget.data._table import positions
from scget.module import ExpressionNet

from ._infer import prepare, progress

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
        With ``baseline="zero"`` there is no such mean, and 0 stands in its place. Where gene activity is half of the
        predicted departure, each region's share of it is in here.
    """

    motifs: dict[str, pd.DataFrame]
    links: pd.DataFrame


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
    source, windows = prepare(model, table, rows, batch_size)
    gene_g, row_k, net = genes_to_explain(table, genes), table.row_positions(rows), model.module
    jobs = _jobs(windows, table, row_k, gene_g)
    weight_jo = _output_weights(net, table, model.scaling, jobs).to(source.center_p.device)
    motifs_jm, links = [], []
    for part in progress(np.array_split(np.arange(len(jobs)), max(-(-len(jobs) // batch_size), 1)), "attribute"):
        job = jobs.iloc[part]
        index_br = windows.regions(job["window"].to_numpy())
        row_b, index = (torch.from_numpy(a).to(weight_jo.device) for a in (job["row"].to_numpy(), index_br))
        batch = source.gather(row_b, index)
        explain = (net, batch, job["token"].to_numpy(), weight_jo[part[0] : part[-1] + 1])
        by_motif = (_slopes(*explain, batch.tokens_brf) * batch.tokens_brf)[..., : net.config.n_motifs].sum(1)
        departure_brf = _departure(net, batch.tokens_brf, model.rules.fold)
        by_region = (_slopes(*explain, batch.tokens_brf - departure_brf / 2) * departure_brf).sum(2)
        motifs_jm.append(by_motif.cpu().numpy())
        links.append(_links(by_region.cpu().numpy(), index_br, job))
    if model.rules.activity:
        links.append(_activity_links(jobs, table, model.scaling, source.fold_kp()))
    return _collect(jobs, np.concatenate(motifs_jm), pd.concat(links), table, row_k, gene_g, top)


def _slopes(net: ExpressionNet, batch: Batch, token: np.ndarray, weight_bo: Tensor, tokens_brf: Tensor) -> Tensor:
    """Gradient of each gene's prediction with respect to its window's features, at ``tokens_brf``."""
    leaf_brf = tokens_brf.detach().requires_grad_()
    out_bo = net(leaf_brf, batch.center_br, batch.pad_br)[np.arange(len(token)), token]
    return torch.autograd.grad((out_bo * weight_bo).sum(), leaf_brf)[0]


def _departure(net: ExpressionNet, tokens_brf: Tensor, has_fold: bool) -> Tensor:
    """What a region's gradient is multiplied by: its features less those it has, on average, in the training rows.

    The average row differs in accessibility alone: by the fold in both channels. A network that predicts expression
    itself, or sees no fold, has no such reference, and the features are taken as they are.
    """
    if not net.config.deviation or not has_fold:
        return tokens_brf
    departure_brf, first = torch.zeros_like(tokens_brf), net.config.n_motifs
    departure_brf[..., first : first + 2] = tokens_brf[..., first + 1 : first + 2]
    return departure_brf


def _jobs(windows: Windows, table: RegionTable, row_k: np.ndarray, gene_g: np.ndarray) -> pd.DataFrame:
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
    jobs = genes.merge(focus[focus["row"].isin(row_k)], on="region").sort_values(["row", "gene", "region"])
    jobs["n_promoters"] = jobs.groupby(["row", "gene"])["region"].transform("size")
    return jobs.reset_index(drop=True)


def _output_weights(net: ExpressionNet, table: RegionTable, scaling: Scaling, jobs: pd.DataFrame) -> Tensor:
    """How much each output of the network counts in the gene's prediction, (job, o): its own strand only."""
    weight = np.zeros((len(jobs), net.config.n_outputs), dtype=np.float32)
    at, strand = np.arange(len(jobs)), jobs["strand"].to_numpy()
    share = 1 / jobs["n_promoters"].to_numpy()  # a gene's prediction is the mean over its promoters
    if not net.config.deviation:
        weight[at, strand] = share
    else:
        unseen = np.isnan(scaling.expression(table.genes))[jobs["gene"].to_numpy()]
        weight[at, strand] = np.where(unseen, scaling.level[1], 0) * share
        weight[at, 2 + strand] = _departure_weights(table, scaling, jobs)
    return torch.from_numpy(weight)


def _departure_weights(table: RegionTable, scaling: Scaling, jobs: pd.DataFrame) -> np.ndarray:
    """How much a departure at the promoter counts, (job,): with gene activity there are two, each counts half."""
    spread_j = scaling.spread(table.genes)[jobs["gene"].to_numpy()]
    return spread_j / jobs["n_promoters"].to_numpy() / (2 if scaling.rules.activity else 1)


def _activity_links(jobs: pd.DataFrame, table: RegionTable, scaling: Scaling, fold_kp: np.ndarray) -> pd.DataFrame:
    """What each region adds by gene activity, those that are closed in the row too."""
    slope_j = scaling.activity[0] * _departure_weights(table, scaling, jobs)
    weights = activity_weights(table)[jobs["slot"].to_numpy()].tocoo()
    job = jobs.iloc[weights.row]
    effect_n = slope_j[weights.row] * weights.data * fold_kp[job["row"].to_numpy(), weights.col]
    links = job[["row", "gene", "strand"]].assign(promoter=job["region"], region=weights.col, signed=effect_n)
    return links[links["signed"] != 0]


def _links(effect_br: np.ndarray, index_br: np.ndarray, job: pd.DataFrame) -> pd.DataFrame:
    b, r = np.nonzero(index_br >= 0)
    return pd.DataFrame(
        {
            "row": job["row"].to_numpy()[b],
            "gene": job["gene"].to_numpy()[b],
            "region": index_br[b, r],
            "promoter": job["region"].to_numpy()[b],
            "strand": job["strand"].to_numpy()[b],
            "signed": effect_br[b, r],
        }
    )


def _collect(
    jobs: pd.DataFrame, motifs_jm: np.ndarray, links: pd.DataFrame, table: RegionTable, row_k: np.ndarray,
    gene_g: np.ndarray, top: int,
) -> Attribution:  # fmt: skip
    """Sum over the promoters of a gene; name rows, genes and regions."""
    motifs = {}
    names_g = table.genes[gene_g]
    for row in row_k:
        mine = (jobs["row"] == row).to_numpy()
        by_gene = pd.DataFrame(motifs_jm[mine], columns=table.motifs).groupby(table.genes[jobs["gene"][mine]]).sum()
        motifs[str(table.rows[row])] = by_gene.reindex(names_g)
    center_p = table.regions.centers
    links["distance"] = (center_p[links["region"]] - center_p[links["promoter"]]) * np.where(
        links["strand"] == 0, 1, -1
    )
    nearest = links.assign(far=links["distance"].abs()).sort_values("far")
    links = nearest.groupby(["row", "gene", "region"], sort=False).agg(
        signed=("signed", "sum"), distance=("distance", "first")
    )
    links = links.reset_index()
    size = links["signed"].abs()
    total = size.groupby([links["row"], links["gene"]]).transform("sum")
    links["score"] = np.where(total > 0, size / total.where(total > 0, 1), 0.0)
    asked = pd.DataFrame(
        {"row": pd.Index(row_k).get_indexer(links["row"]), "gene": pd.Index(gene_g).get_indexer(links["gene"])}
    )
    order = np.lexsort([-links["score"], asked["gene"], asked["row"]])
    links = links.iloc[order].groupby(["row", "gene"], sort=False).head(top).reset_index(drop=True)
    named = {
        "row": table.rows[links["row"]].astype(str),
        "gene": table.genes[links["gene"]].astype(str),
        "region": table.regions.names[links["region"]].astype(str),
    }
    return Attribution(motifs, links.assign(**named)[["row", "gene", "region", "distance", "score", "signed"]])
