"""Effects of regions on genes: tables with a line per row, promoter and region, and their sums per row and gene."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pandas as pd

from ._gene_windows import GeneWindows, Part

PARTS = 16  # tables joined before they are summed: of small ones, most of the time is not in the lines


def joined(lines: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """``PARTS`` tables in one."""
    while some := list(islice(lines, PARTS)):
        yield pd.concat(some)


def window_lines(part: Part, **effects_br: np.ndarray) -> pd.DataFrame:
    """A line per region of each window of ``part``, with a column for each of ``effects_br``."""
    b, r = np.nonzero(part.index_br >= 0)
    return _lines(part.jobs, b, part.index_br[b, r], {name: effect_br[b, r] for name, effect_br in effects_br.items()})


def with_activity(
    lines: pd.DataFrame, where: GeneWindows, jobs: pd.DataFrame, change_kp: np.ndarray | None
) -> pd.DataFrame:
    """Add what regions add by gene activity (column signed), if their fold accessibility changes by ``change_kp``."""
    if change_kp is None:
        return lines
    line_n, region_n, share_n = where.activity_shares(jobs)
    effect_n = share_n * change_kp[jobs["row"].to_numpy()[line_n], region_n]
    some = effect_n != 0
    by_activity = _lines(jobs, line_n[some], region_n[some], {"signed": effect_n[some]})
    return pd.concat([lines, by_activity]) if len(by_activity) else lines


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
    """The ``top`` lines of highest score of each row and gene, in the order asked; names in place of positions."""
    table = where.table
    row_n, gene_n = (pd.Index(at).get_indexer(links[n]) for at, n in ((where.row_k, "row"), (where.gene_g, "gene")))
    links = links.iloc[np.lexsort([links["region"], -links["score"], gene_n, row_n])]
    if top is not None:
        links = links.groupby(["row", "gene"], sort=False).head(top)
    named = {
        "row": table.rows[links["row"]].astype(str),
        "gene": table.genes[links["gene"]].astype(str),
        "region": table.regions.names[links["region"]].astype(str),
    }
    return links.assign(**named)


def _lines(jobs: pd.DataFrame, line_n: np.ndarray, region_n: np.ndarray, effects: dict) -> pd.DataFrame:
    job = {name: jobs[name].to_numpy()[line_n] for name in ("row", "gene", "strand")}
    return pd.DataFrame({**job, "promoter": jobs["region"].to_numpy()[line_n], "region": region_n, **effects})
