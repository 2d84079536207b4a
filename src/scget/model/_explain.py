"""The verb ``attribute``: of one network, or the mean over the members of an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from ._attribute import Attribution, How, attribute_genes, motifs_by
from ._averaging import by_member, highest, mean_lines, share_of_members
from ._choices import check_seed
from ._kept import Folder
from ._motif_null import check_shuffles, motif_null
from ._region_lines import shares

if TYPE_CHECKING:
    from mudata import MuData

    from ._ensemble import Ensemble
    from ._get import GET

EVERY = 2**31 - 1  # regions: more than any window has


def attribute(
    self: GET | Ensemble,
    mdata: MuData | None = None,
    *,
    genes: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    method: Literal["gradient", "integrated"] = "gradient",
    steps: int = 16,
    against: str | None = None,
    n_shuffles: int = 0,
    seed: int = 0,
    batch_size: int = 32,
    top: int = 50,
    cache: Folder = None,
) -> Attribution:
    """Say which motifs and regions predictions rest on; see :class:`Attribution`.

    Of an ensemble, the average over the members that :meth:`predict` asks: what their mean prediction rests on.

    Parameters
    ----------
    mdata, rows, batch_size
        As for :meth:`predict`.
    genes
        Names of genes. None: all that have a promoter region.
    method
        Where gradients are taken: at one place, or averaged along the way from a reference.
    steps
        Places along the way with ``"integrated"``; each costs as much as ``"gradient"``.
    against
        Name of a row to compare each row with. None: the mean training row.
    n_shuffles
        Shuffles of motifs among regions, each region with all its scores, to compare motif attributions with; each costs
        half of an attribution. 20 do well; 0: none.
    seed
        Of the shuffles.
    top
        Regions kept per row and gene, the strongest.
    cache
        Folder where parts of the answer are kept as they are made, so that a killed run goes on when called again in the
        same way. Shuffles are not kept.

    Raises
    ------
    InputError
        If a gene has no promoter region, a name is unknown or a number is out of range.
    """
    table = self.table(mdata)
    how = How.of(table, method, steps, against)
    check_shuffles(n_shuffles)
    check_seed(seed)
    members, share_mg = share_of_members(self, table)
    keep = top if len(members) == 1 else EVERY
    found = (attribute_genes(m, table, genes, rows, how, batch_size=batch_size, top=keep, cache=cache) for m in members)
    mean = _mean(found, share_mg, top)
    if not n_shuffles:
        return mean
    of_members = [motifs_by(member, table, genes, rows, how, batch_size) for member in members]
    motifs = _mean_of(of_members, share_mg)
    return replace(mean, null=motif_null(motifs, mean.motifs, len(table.regions), n_shuffles, seed))


def _mean_of(
    of_members: list[Callable[[np.ndarray], dict[str, pd.DataFrame]]], share_mg: pd.DataFrame
) -> Callable[[np.ndarray], dict[str, pd.DataFrame]]:
    return lambda moved_p: _mean_motifs((motifs(moved_p) for motifs in of_members), share_mg)


def _mean(found: Iterable[Attribution], share_mg: pd.DataFrame, top: int) -> Attribution:
    """Average of the members' attributions, by the weights of :func:`share_of_members`."""
    parts = list(found)
    if len(parts) == 1:
        return parts[0]
    motifs = _mean_motifs((part.motifs for part in parts), share_mg)
    links = mean_lines([part.links for part in parts], share_mg, ["signed"])
    links["score"] = shares(links["signed"].abs(), links)
    gaps = [part.gap for part in parts if part.gap is not None]
    gap = _mean_gap(gaps, share_mg) if gaps else None
    return Attribution(motifs, highest(links, top)[list(parts[0].links)], gap)


def _mean_gap(gaps: list[pd.DataFrame], share_mg: pd.DataFrame) -> pd.DataFrame:
    """Lines are the same in all."""
    numbers = ["difference", "gap"]
    weighed = [g[numbers].mul(g["gene"].map(share), axis=0) for g, share in zip(gaps, by_member(share_mg), strict=True)]
    return gaps[0].assign(**sum(weighed[1:], weighed[0]))


def _mean_motifs(found: Iterable[dict[str, pd.DataFrame]], share_mg: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Weighted sum of genes x motifs tables by row."""
    total: dict[str, pd.DataFrame] = {}
    for part, share in zip(found, by_member(share_mg), strict=True):
        for row, table in part.items():
            weighed = table.mul(share.reindex(table.index.astype(str)).to_numpy(), axis=0)
            total[row] = total[row] + weighed if row in total else weighed
    return total
