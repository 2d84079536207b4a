"""What the network makes of rows, regions and genes before it predicts: means of the encoder's output, added up as it comes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scget._errors import InputError, ScgetWarning
from scget.data import Batch, RegionTable
from scget.data._table import positions
from scget.pp._kept import Arrays

from ._infer import at_focus, lay, progress
from ._kept import Folder, Kept
from ._setup import own_or, read_tables

if TYPE_CHECKING:
    from mudata import MuData

    from ._get import GET


@dataclass(frozen=True)
class Embedding:
    """Places of rows, regions and genes in the network's own space of ``d`` (its width) dimensions.

    A region in a row is embedded by the encoder's output at its token, in the window in which it stands most central;
    everything here is a mean of these vectors.

    Parameters
    ----------
    rows
        Rows x d: mean over all regions that the row shows.
    regions
        Regions x d, in the order of the data: mean over rows; NaN for a region that none of them shows.
    genes
        Genes x d: mean over the gene's promoter regions; NaN for a gene without one that is shown.
    """

    rows: pd.DataFrame
    regions: pd.DataFrame
    genes: pd.DataFrame


def embed(
    self: GET,
    mdata: MuData | None = None,
    *,
    rows: Sequence[str] | None = None,
    batch_size: int = 64,
    row_batch: int | None = None,
    cache: Folder = None,
) -> Embedding:
    """Embed rows, regions and genes; a pretrained model will do.

    Parameters
    ----------
    mdata
        Other data with the same motifs; ATAC alone will do. None: the data of the model.
    rows
        Names of the rows over which regions and genes are averaged; a single one for those of that row. None: all.
        Each row is embedded in any case.
    batch_size, row_batch
        Windows and rows at a time; they do not change the result. None: as many rows as make 16 million values.
    cache
        A folder in which sums are kept, see :func:`scget.tl.embed`.

    Raises
    ------
    InputError
        If a row is unknown, or the model is of ``task="accessibility"``, which never sees how open regions are.

    Examples
    --------
    >>> model.embed(pb, rows=["Mono"]).genes.loc["GATA1"].shape
    (16,)
    """
    mdata = own_or(self, mdata)
    if self.scaling is None:
        raise RuntimeError("this model has not learnt anything yet: pretrain(), train() or load() first")
    if self.config.task == "accessibility":
        raise InputError("this model never sees accessibility, so all rows look alike to it; take one of another task")
    tables = read_tables(self, mdata, row_batch, often=cache is not None)
    table = next(tables)
    atac = mdata[self.registry["setup_args"]["modalities"]["atac_layer"]]
    names = np.asarray(atac.obs_names, dtype=object)
    sums = _Sums.of(self.config.width, len(table.regions), np.isin(np.arange(len(names)), _asked(names, rows)))
    sums.add(self, table, batch_size, cache)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScgetWarning)  # said of the first rows
        for later in progress(tables, "rows", -(-len(names) // len(table.rows)) - 1):
            sums.add(self, later, batch_size, cache)
    return sums.means(table, names)


def _asked(names: np.ndarray, rows: Sequence[str] | None) -> np.ndarray:
    asked = np.arange(len(names)) if rows is None else positions(names, rows, "row")
    if not len(asked):
        raise InputError("rows=[] names no row; None averages over all")
    return asked


@dataclass
class _Sums:
    """Running sums over the regions of each row and over the rows of each region, and how many were added.

    ``averaged_k``: rows that count in a region. ``n_done``: rows added.
    """

    row_kd: np.ndarray
    row_k: np.ndarray
    region_pd: np.ndarray
    region_p: np.ndarray
    averaged_k: np.ndarray
    n_done: int = 0

    @classmethod
    def of(cls, d: int, n_regions: int, averaged_k: np.ndarray) -> _Sums:
        n_rows = len(averaged_k)
        return cls(np.zeros((n_rows, d)), np.zeros(n_rows), np.zeros((n_regions, d)), np.zeros(n_regions), averaged_k)

    def add(self, model: GET, table: RegionTable, batch_size: int, cache: Folder) -> None:
        """Add the next rows."""
        rows = slice(self.n_done, self.n_done + len(table.rows))
        kept = Kept(cache, model, table, asked="embed", averaged=self.averaged_k[rows])
        sums = kept.part("rows", partial(_sums, model, table, self.averaged_k[rows], batch_size))
        self.row_kd[rows], self.row_k[rows] = sums["row_kd"], sums["row_k"]
        self.region_pd += sums["region_pd"]
        self.region_p += sums["region_p"]
        self.n_done += len(table.rows)

    def means(self, table: RegionTable, names: np.ndarray) -> Embedding:
        """NaN where nothing was added."""
        row_kd, region_pd = (
            np.divide(total, n[:, None], out=np.full_like(total, np.nan), where=n[:, None] > 0)
            for total, n in ((self.row_kd, self.row_k), (self.region_pd, self.region_p))
        )
        pairs = table.promoters
        own = pd.DataFrame({"gene": pairs.gene_n, "region": pairs.region_q[pairs.slot_n]}).drop_duplicates()
        of_genes = pd.DataFrame(region_pd[own["region"]]).groupby(own["gene"].to_numpy()).mean()
        back_p = np.argsort(table.order_p)
        return Embedding(
            rows=pd.DataFrame(row_kd, index=names),
            regions=pd.DataFrame(region_pd[back_p], index=table.regions.names[back_p]),
            genes=of_genes.reindex(np.arange(len(table.genes))).set_axis(table.genes),
        )


@torch.inference_mode()
def _sums(model: GET, table: RegionTable, averaged_k: np.ndarray, batch_size: int) -> Arrays:
    """Sums of the embeddings of a few rows, by row and by region, and of how many."""
    shapes = {"row": len(table.rows), "region": len(table.regions)}
    total = {name: torch.zeros(n, model.config.width, dtype=torch.float64) for name, n in shapes.items()}
    number = {name: torch.zeros(n, dtype=torch.float64) for name, n in shapes.items()}
    for row_n, region_n, embedded_nd in region_embeddings(model, table, batch_size):
        averaged_n = torch.from_numpy(averaged_k)[row_n].double()
        total["row"].index_add_(0, row_n, embedded_nd)
        number["row"].index_add_(0, row_n, torch.ones_like(averaged_n))
        total["region"].index_add_(0, region_n, embedded_nd * averaged_n[:, None])
        number["region"].index_add_(0, region_n, averaged_n)
    sums = {"row_kd": total["row"], "row_k": number["row"], "region_pd": total["region"], "region_p": number["region"]}
    return {name: values.numpy() for name, values in sums.items()}


def region_embeddings(model: GET, table: RegionTable, batch_size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Rows (n,), regions (n,), both positions, and their embeddings (n, d) float64, on the CPU; each region once per row."""
    source, windows = lay(model, table, None, batch_size, None)
    # pretraining knows no sums over neighbours, whose weights are then still those of chance
    encode = model.module.regions if model.is_trained_ else _unsummed(model)

    def read(batch: Batch) -> Tensor:
        return encode(batch.tokens_brf, batch.center_br, batch.pad_br)

    for row_n, region_n, _, h_nd in at_focus(read, source, windows, batch_size, "embed"):
        yield torch.from_numpy(row_n), torch.from_numpy(region_n), h_nd.double()


def _unsummed(model: GET) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    net = model.module
    return lambda tokens_brf, center_br, pad_br: net.encode(net.embed(tokens_brf), center_br, pad_br)
