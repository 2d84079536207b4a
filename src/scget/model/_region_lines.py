"""Effects of regions on genes: tables with a line per row, promoter and region, and their sums per row and gene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from scget.data import RegionTable

from ._gene_windows import GeneWindows, Part

Change = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of fold accessibility, of positions of rows and regions


def window_lines(part: Part, **effects_br: np.ndarray) -> pd.DataFrame:
    """A line per region of each window of ``part``, with a column for each of ``effects_br``."""
    b, r = np.nonzero(part.index_br >= 0)
    return _lines(part.jobs, b, part.index_br[b, r], {name: effect_br[b, r] for name, effect_br in effects_br.items()})


def activity_lines(jobs: pd.DataFrame, effects: tuple[np.ndarray, np.ndarray, np.ndarray]) -> pd.DataFrame:
    """A line per effect of :func:`activity_effects` that is not 0: column signed."""
    line_n, region_n, effect_n = effects
    some = effect_n != 0
    return _lines(jobs, line_n[some], region_n[some], {"signed": effect_n[some]})


def activity_effects(
    where: GeneWindows, jobs: pd.DataFrame, change: Change
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each region adds by gene activity, if its fold accessibility has changed by ``change``: lines of ``jobs``, regions, effects."""
    line_n, region_n, share_n = where.activity_shares(jobs)
    return line_n, region_n, share_n * change(jobs["row"].to_numpy()[line_n], region_n)


def sum_promoters(lines: pd.DataFrame, where: GeneWindows) -> pd.DataFrame:
    """Sum each effect over the promoters of a gene: a line per row, gene and region (positions).

    ``distance``: bp from the nearest promoter region's centre, negative upstream; ``promoter``: that region's position.
    """
    center_p = where.table.regions.centers
    downstream = np.where(lines["strand"] == 0, 1, -1)
    distance = (center_p[lines["region"]] - center_p[lines["promoter"]]) * downstream
    effects = [name for name in lines if name not in ("row", "gene", "strand", "promoter", "region")]
    nearest = lines.assign(distance=distance, far=np.abs(distance)).sort_values(["far", "promoter"], kind="stable")
    sums = nearest.groupby(["row", "gene", "region"], sort=False).agg(
        {**dict.fromkeys(effects, "sum"), "distance": "first", "promoter": "first"}
    )
    return sums.reset_index()


def shares(size: pd.Series, links: pd.DataFrame) -> np.ndarray:
    """``size`` over its sum in the row and gene; 0 where that is 0."""
    total = size.groupby([links["row"], links["gene"]]).transform("sum")
    return np.where(total > 0, size / total.where(total > 0, 1), 0.0)


def strongest(links: pd.DataFrame, where: GeneWindows, top: int | None) -> pd.DataFrame:
    """The ``top`` lines of highest score of each row and gene, in the order asked."""
    links = in_order(links.iloc[np.lexsort([links["region"], -links["score"]])], where)
    return links if top is None else links.groupby(["row", "gene"], sort=False).head(top)


def in_order(links: pd.DataFrame, where: GeneWindows) -> pd.DataFrame:
    """Rows and genes in the order asked; lines of the same row and gene stay as they are."""
    row_n, gene_n = (pd.Index(at).get_indexer(links[n]) for at, n in ((where.row_k, "row"), (where.gene_g, "gene")))
    return links.iloc[np.lexsort([gene_n, row_n])]


def named(links: pd.DataFrame, table: RegionTable) -> pd.DataFrame:
    """Names in place of positions of rows, genes and regions."""
    names = {
        "row": table.rows[links["row"]].astype(str),
        "gene": table.genes[links["gene"]].astype(str),
        "region": table.regions.names[links["region"]].astype(str),
    }
    return links.assign(**names)


def _lines(jobs: pd.DataFrame, line_n: np.ndarray, region_n: np.ndarray, effects: dict) -> pd.DataFrame:
    job = {name: jobs[name].to_numpy()[line_n] for name in ("row", "gene", "strand")}
    return pd.DataFrame({**job, "promoter": jobs["region"].to_numpy()[line_n], "region": region_n, **effects})
