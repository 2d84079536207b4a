"""Scores of regions and genes: how much a gene's prediction hangs on each region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import torch

from scget._errors import InputError
from scget.data import RegionTable
from scget.pp._kept import Arrays

from ._attribute import How, region_effects
from ._averaging import highest, mean_lines, share_of_members
from ._contact import Contact, check_contact, contacts
from ._gene_windows import PER_WINDOW, GeneWindows, Part, genes_to_explain
from ._kept import Folder, Kept
from ._region_lines import (
    Change,
    activity_effects,
    activity_lines,
    in_order,
    named,
    shares,
    sum_promoters,
    window_lines,
)

if TYPE_CHECKING:
    from mudata import MuData

    from ._ensemble import Ensemble
    from ._get import GET

SCORES = ("published", "gradient", "deletion")
COLUMNS = ["row", "gene", "region", "chrom", "start", "end", "distance", "score", "signed", "contact"]
_BY_GRADIENT = How("gradient", 1, None)


def links(
    self: GET | Ensemble,
    mdata: MuData | None = None,
    *,
    genes: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    score: Literal["published", "gradient", "deletion"] = "gradient",
    contact: Contact = "power_law",
    max_distance: int = 1_000_000,
    top: int | None = None,
    batch_size: int = 32,
    cache: Folder = None,
) -> pd.DataFrame:
    """Score regions as enhancers of genes; see :func:`scget.tl.links`, which also says what the arguments are.

    Returns
    -------
    Table row, gene, region, chrom, start, end, distance, score, signed, contact; rows and genes as asked, regions by score.
    """
    if score not in SCORES:
        raise InputError(f"score={score!r}: 'published', 'gradient' or 'deletion' is needed")
    if not max_distance > 0:
        raise InputError(f"max_distance={max_distance!r}: bp above 0 are needed")
    if top is not None and top < 1:
        raise InputError(f"top={top!r}: at least 1 region, or None for all, is needed")
    check_contact(contact)
    table = self.table(mdata)
    members, share_mg = share_of_members(self, table)
    in_order = _genome_order(table, genes)  # neighbours share windows
    args = (table, in_order, rows, score, max_distance, batch_size, cache)
    found = mean_lines([_member_links(member, *args) for member in members], share_mg, ["signed", "strength", "open"])
    found["contact"] = contacts(found, contact, table.regions)
    size = found["signed"].abs()
    if score == "published":
        size = found["strength"] + found["open"] * found["contact"]
    found["score"] = shares(size, found)
    at, regions = found["at"], table.regions
    found = found.assign(chrom=regions.chrom[at].astype(str), start=regions.start[at], end=regions.end[at])
    asked = {str(gene): i for i, gene in enumerate(table.genes if genes is None else dict.fromkeys(genes))}
    found = found.iloc[np.argsort(found["gene"].map(asked).to_numpy(), kind="stable")]
    row_order = {str(row): i for i, row in enumerate(table.rows[table.row_positions(rows)])}
    found = found.iloc[np.argsort(found["row"].map(row_order).to_numpy(), kind="stable")]
    return highest(found, top)[COLUMNS]


def _genome_order(table: RegionTable, genes: Sequence[str] | None) -> list[str]:
    """Genes by the place of their first promoter."""
    pairs, gene_g = table.promoters, genes_to_explain(table, genes)
    first_g = np.full(len(table.genes), len(table.regions))
    np.minimum.at(first_g, pairs.gene_n, pairs.region_q[pairs.slot_n])
    return table.genes[gene_g[np.argsort(first_g[gene_g], kind="stable")]].astype(str).tolist()


def _member_links(
    model: GET,
    table: RegionTable,
    genes: list[str],
    rows: Sequence[str] | None,
    score: str,
    max_distance: int,
    batch_size: int,
    cache: Folder,
) -> pd.DataFrame:
    """Columns row, gene, region (names), at, promoter (positions), distance, signed, strength, open (accessibility)."""
    where = GeneWindows.of(model, table, genes, rows, batch_size, by_place=True)
    where.check_shown()
    change = _activity_change(where, closing=score == "deletion")
    asked = {"genes": where.gene_g, "rows": where.row_k, "score": score, "max_distance": max_distance}
    kept, args = Kept(cache, model, table, asked="links", **asked), (score, change, max_distance, batch_size)
    found = pd.DataFrame(kept.joined(where.blocks(), lambda block: _link_block(where, block, *args), "blocks of genes"))
    found = in_order(found, where).reset_index(drop=True)
    at, k = found["region"].to_numpy(), found["row"].to_numpy()
    return named(found, table).assign(at=at, open=where.source.channels_at(k, at)[:, 0])


def _link_block(
    where: GeneWindows, block: slice, score: str, change: Change, max_distance: int, batch_size: int
) -> Arrays:
    """Of some lines of ``where.jobs``: regions and their effects, by positions."""
    has_mean, parts = where.net.config.deviation and where.scaling.rules.fold, []
    n_lines = PER_WINDOW * batch_size if score == "gradient" else batch_size
    for part in where.parts(n_lines, f"links by {score}", block):
        if score == "deletion":
            parts.append(window_lines(part, signed=_deletions(where, part, max_distance, batch_size)))
        elif score == "gradient":
            effect_br, _ = region_effects(where, part, _BY_GRADIENT, has_mean=has_mean)
            parts.append(window_lines(part, signed=effect_br.cpu().numpy()))
        else:
            parts.append(_embedded(where, part, has_mean=has_mean))
    if where.scaling.rules.activity:
        jobs = where.jobs.iloc[block]
        parts.append(activity_lines(jobs, activity_effects(where, jobs, change)))
    lines = sum_promoters(pd.concat([lines for lines in parts if len(lines)]), where)
    lines = lines[lines["distance"].abs() <= max_distance]
    return {name: lines[name].to_numpy() for name in lines} | (
        {} if "strength" in lines else {"strength": np.zeros(len(lines))}
    )


def _activity_change(where: GeneWindows, *, closing: bool) -> Change:
    """By how much a region's fold accessibility is more than in the mean row or, for ``closing``, than were it closed."""
    at = where.source.channels_at
    if not closing:
        return lambda row_n, region_n: at(row_n, region_n)[:, 1]
    known_p = pd.Index(where.table.regions.names).isin(where.scaling.region_p)  # others have no fold
    return lambda row_n, region_n: np.where(known_p[region_n], at(row_n, region_n)[:, 0], 0)


def _embedded(where: GeneWindows, part: Part, *, has_mean: bool) -> pd.DataFrame:
    """Norm of the gradient at each region's embedding x accessibility; signed: gradient x departure from the mean row."""
    tokens_brf, first = part.batch.tokens_brf, where.net.config.n_motifs
    by_feature_brf, by_embedding_brd = where.embedded_slopes(part, tokens_brf)
    strength_br = by_embedding_brd.norm(dim=2) * tokens_brf[..., first]
    if has_mean:
        signed_br = by_feature_brf[..., first : first + 2].sum(2) * tokens_brf[..., first + 1]
    else:
        signed_br = (by_feature_brf * tokens_brf).sum(2)
    return window_lines(part, signed=signed_br.cpu().numpy(), strength=strength_br.cpu().numpy())


@torch.inference_mode()
def _deletions(where: GeneWindows, part: Part, max_distance: int, batch_size: int) -> np.ndarray:
    """Prediction less that without the region, (b, r), of the regions near the promoter: no features, and no token.

    Genes that are read from one window share its forward passes.
    """
    _, first_u, u_b = np.unique(part.jobs["window"], return_index=True, return_inverse=True)
    center_p = where.table.regions.centers
    far_br = np.abs(center_p[part.index_br] - center_p[part.jobs["region"].to_numpy()][:, None])
    wanted_br = (part.index_br >= 0) & (far_br <= max_distance)
    wanted_ur = np.zeros((len(first_u), wanted_br.shape[1]), dtype=bool)
    np.logical_or.at(wanted_ur, u_b, wanted_br)
    windows, (u_n, r_n) = part.take(first_u), np.nonzero(wanted_ur)
    whole_b, effect_br = where.read(part, part.batch.tokens_brf), np.zeros(wanted_br.shape)
    for low in range(0, len(u_n), batch_size):
        n_u, n_r = u_n[low : low + batch_size], r_n[low : low + batch_size]
        out_nro = _without(where, windows.take(n_u), n_r)
        n_i, b_i = np.nonzero(n_u[:, None] == u_b)
        value_i = (out_nro[n_i, part.token_b[b_i]] * part.weight_bo[b_i]).sum(dim=1)
        effect_br[b_i, n_r[n_i]] = (whole_b[b_i] - value_i).cpu().numpy()
    return np.where(wanted_br, effect_br, 0.0)


def _without(where: GeneWindows, windows: Part, r_n: np.ndarray) -> torch.Tensor:
    """Outputs of the network where window n lacks the region at place ``r_n[n]``."""
    batch, n, r = windows.batch, torch.arange(len(r_n)), torch.from_numpy(r_n)
    tokens_nrf = batch.tokens_brf.clone()
    tokens_nrf[n, r] = 0
    pad_nr = torch.zeros(tokens_nrf.shape[:2], dtype=torch.bool, device=tokens_nrf.device)
    pad_nr = pad_nr if batch.pad_br is None else batch.pad_br.clone()
    pad_nr[n, r] = True
    return where.net(tokens_nrf, batch.center_br, pad_nr)
