"""Effects of regions on the genes around them, each region changed by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scget._errors import InputError, first
from scget.data import RegionTable, near
from scget.data._near import check_reach

from ._changes import OF_REGIONS
from ._edits import Edit, Step
from ._gene_windows import genes_to_explain
from ._kept import Folder
from ._what_if import effects_of_pairs

if TYPE_CHECKING:
    from mudata import MuData

    from ._ensemble import Ensemble
    from ._get import GET


def screen_genes(
    model: GET | Ensemble,
    mdata: MuData,
    genes: Sequence[str] | None,
    rows: Sequence[str] | None,
    *,
    reach: int,
    kind: str,
    batch_size: int,
    cache: Folder = None,
) -> pd.DataFrame:
    """Table of region, gene, row, distance and effect; :func:`scget.tl.screen` says what they are."""
    if kind not in OF_REGIONS:
        raise InputError(f"kind={kind!r}: a region can be changed by {first(OF_REGIONS)}")
    check_reach(reach, "the distance from a promoter")
    table = model.table(mdata)
    row_k, gene_g = table.row_positions(rows), genes_to_explain(table, genes)
    pairs = _pairs(table, gene_g, reach)
    region_e, edit_n = np.unique(pairs["region"], return_inverse=True)
    motif_n = np.arange(len(table.motifs))
    edits = [Edit((Step(kind, region_e[e : e + 1], motif_n, None),)) for e in range(len(region_e))]
    asked = table.genes[gene_g].astype(str).tolist()
    effect_kn = effects_of_pairs(
        model, table, asked, rows, edits=edits, edit_n=edit_n, gene_n=pairs["gene"].to_numpy(), batch_size=batch_size,
        cache=cache,
    )  # fmt: skip
    return _named(table, pairs, row_k, gene_g, np.nan_to_num(effect_kn))


def _pairs(table: RegionTable, gene_g: np.ndarray, reach: int) -> pd.DataFrame:
    """Regions within reach of each gene (its place in ``gene_g``), with the distance from the nearest promoter."""
    promoters = table.promoters
    mine_n = np.flatnonzero(np.isin(promoters.gene_n, gene_g))
    slot_n = promoters.slot_n[mine_n]
    at_n, region_i, _ = near(table, promoters.region_q[slot_n], reach)
    gene_n = pd.Index(gene_g).get_indexer(promoters.gene_n[mine_n])
    center_p, downstream_n = table.regions.centers, np.where(promoters.strand_q[slot_n] == 0, 1, -1)
    distance_i = (center_p[region_i] - center_p[promoters.region_q[slot_n]][at_n]) * downstream_n[at_n]
    pairs = pd.DataFrame({"gene": gene_n[at_n], "region": region_i, "distance": distance_i})
    pairs = pairs.assign(far=pairs["distance"].abs()).sort_values(["gene", "region", "far"], kind="stable")
    return pairs.drop_duplicates(["gene", "region"]).drop(columns="far").reset_index(drop=True)


def _named(
    table: RegionTable, pairs: pd.DataFrame, row_k: np.ndarray, gene_g: np.ndarray, effect_kn: np.ndarray
) -> pd.DataFrame:
    """Rows and genes in the order asked, regions in genome order."""
    n_rows, names = len(row_k), {"region": table.regions.names, "gene": table.genes[gene_g]}
    every = {name: pd.Categorical.from_codes(*_codes(pairs[name], known)) for name, known in names.items()}
    found = pd.concat([pd.DataFrame({**every, "distance": pairs["distance"]})] * n_rows, ignore_index=True)
    rows = pd.Categorical.from_codes(np.repeat(np.arange(n_rows), len(pairs)), table.rows[row_k].astype(str))
    found.insert(2, "row", rows)
    return found.assign(effect=effect_kn.ravel())


def _codes(position_n: pd.Series, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and the names that occur, in their own order."""
    used, code_n = np.unique(position_n, return_inverse=True)
    return code_n, known[used].astype(str)
