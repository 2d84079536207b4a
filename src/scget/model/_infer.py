"""A trained network to numbers per promoter and per gene: predictions and gradients, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from scget._errors import InputError, first, warn
from scget.data import Batch, RegionTable, Scaling, TokenSource, WindowBatches, Windows, lay_tokens, prediction_windows
from scget.data._table import positions
from scget.module import ExpressionNet

from ._expression import SlotPrediction, to_expression

if TYPE_CHECKING:
    from ._get import GET

RESIDUAL_BATCH = 64  # windows


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
        With ``baseline="zero"`` there is no such mean, and 0 stands in its place.
    """

    motifs: dict[str, pd.DataFrame]
    links: pd.DataFrame


def prepare(
    model: GET, table: RegionTable, rows: Sequence[str] | None, batch_size: int, *, expression: bool = True
) -> tuple[TokenSource, Windows]:
    """Features on the network's device, and the windows that cover every promoter (or region) of ``rows``."""
    if not model.is_trained_:
        raise RuntimeError("this model has not learnt expression yet: train() or load() first")
    if expression and model.config.task == "accessibility":
        raise InputError("this model predicts accessibility alone: predict_accessibility(), or one of another task")
    if not expression and model.config.task == "expression":
        raise InputError("this model predicts expression alone; make one with task='accessibility' or 'both'")
    regions, genes = model.scaling.share_known(table)
    if regions < 0.5:
        warn(
            f"only {regions:.0%} of the regions are among those of training; for the others the fold over the training "
            "mean is taken as 0. Count fragments in the training regions for better predictions, or use pp.match_regions."
        )
    if genes < 0.5:
        warn(
            f"only {genes:.0%} of the genes are among those of training (here {first(table.genes)}, there "
            f"{first(model.scaling.gene_g)}); the others have no training mean. Name genes as in training."
        )
    row_k = table.row_positions(rows)
    if not len(row_k) or batch_size < 1:
        raise InputError(f"{len(row_k)} rows and batch_size={batch_size}: at least 1 of each is needed")
    every_p = np.ones(len(table.regions), dtype=bool)
    tokens = lay_tokens(table.counts_kp, table.is_promoter_p, table.chrom_p, row_k, every_p, closed=model.closed)
    model.module.eval()
    source = TokenSource(table, model.scaling).to(model.device)
    return source, prediction_windows(tokens, model.window, table.is_promoter_p if expression else every_p)


def predict_all(model: GET, table: RegionTable, rows: Sequence[str] | None, batch_size: int) -> SlotPrediction:
    """Predictions at promoter slots and genes."""
    source, windows = prepare(model, table, rows, batch_size)
    shape_kq = (len(table.rows), len(table.promoters.region_q))
    out_kqo = predict_slots(model.module, source, windows, shape_kq, batch_size)
    return to_expression(out_kqo, table, model.scaling, table.row_positions(rows))


def keep_residuals(model: GET, table: RegionTable) -> None:
    """Take what the network predicts off the expression that is kept of the training rows, so that its errors are left."""
    scaling = model.scaling
    if scaling.similar is None:
        return
    rows = [str(row) for row in scaling.similar.row_j]
    model.scaling = replace(scaling, similar=None)
    network_kg = predict_all(model, table, rows, RESIDUAL_BATCH).genes_kg[table.row_positions(rows)]
    model.scaling = replace(scaling, similar=scaling.similar.less(network_kg - scaling.expression(table.genes)))


@torch.inference_mode()
def predict_slots(
    net: ExpressionNet, source: TokenSource, windows: Windows, shape_kq: tuple[int, int], batch_size: int
) -> np.ndarray:
    """Network outputs at each promoter slot, (k, q, o): o = (level, deviation), or (expression,); NaN: no token.

    ``source`` and ``net`` stand on one device.
    """
    n_out = net.config.n_outputs // 2
    out_kqo = np.full((*shape_kq, n_out), np.nan, dtype=np.float64)
    done = 0
    for row_b, index_br in progress(WindowBatches(windows, batch_size), "predict"):
        low, high = np.searchsorted(windows.focus_window_n, [done, done + len(row_b)])
        which = windows.focus_window_n[low:high] - done
        token = windows.focus_token_n[low:high]
        batch = source.gather(row_b.to(source.center_p.device), index_br.to(source.center_p.device))
        out_bro = net(batch.tokens_brf, batch.center_br, batch.pad_br)
        out_nos = out_bro[which, token].view(len(which), n_out, 2).double().cpu().numpy()
        slot_ns = batch.slot_brs[which, token].cpu().numpy()
        for strand in (0, 1):
            has = slot_ns[:, strand] >= 0
            out_kqo[row_b.numpy()[which[has]], slot_ns[has, strand]] = out_nos[has, :, strand]
        done += len(row_b)
    return out_kqo


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
        {"gene": pairs.gene_n[wanted], "region": pairs.region_q[slot_n], "strand": pairs.strand_q[slot_n]}
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
        weight[at, 2 + strand] = scaling.deviation[0] * share
    return torch.from_numpy(weight)


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


def progress(batches: Any, what: str) -> Any:
    """Batches with a bar where there is more than one."""
    return tqdm(batches, desc=what, leave=False, disable=len(batches) < 2, mininterval=0.5)
