"""Expression imputed by MULTIVI of scvi-tools from the cells that the rows were made of."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scget import _keys as keys
from scget._errors import InputError, first
from scget.pp._checks import check_genes, check_rows, get_modality
from scget.pp._counts import get_counts
from scget.pp._groups import groups_of

from ._task import Task

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def multivi(
    cells: MuData,
    groupby: str | Sequence[str],
    *,
    max_epochs: int = 200,
    seed: int = 0,
    atac_layer: str | None = None,
    rna_layer: str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    train_kwargs: Mapping[str, Any] | None = None,
) -> Callable[[Task], np.ndarray]:
    """Make a baseline of MULTIVI: it learns cells of both modalities and imputes expression from accessibility.

    MULTIVI trains on the cells of training rows with both modalities and on those of all other rows with accessibility
    alone. The expression it gives each cell (fractions of all transcripts) is averaged over the cells of a row. Genes
    on held-out chromosomes are known to it in the training rows, and a training row's own expression too.

    Parameters
    ----------
    cells
        Raw counts in ``atac`` and ``rna``, cells matched by name: the cells from which the rows were summed.
    groupby
        Column of ``obs``, or several, as given to :func:`scget.pp.pseudobulk`; groups that are no row play no part.
    max_epochs
        Passes through the cells.
    seed
        Of weights and order of the cells. The random numbers of the session are left as they are.
    atac_layer, rna_layer
        Layers with raw counts; None for ``X``.
    model_kwargs, train_kwargs
        Given to ``scvi.model.MULTIVI`` and its ``train``.

    Returns
    -------
    A function of a task, as those in ``scget.bm.BASELINES``: rows x genes, log10(CPM + 1).

    Raises
    ------
    InputError
        If cells differ between the modalities, counts are not raw, or labels are missing; and, once a task is given,
        if a row has no cell with accessibility, no training row has expression, or genes are not in the cells.

    Notes
    -----
    Ashuach et al., MultiVI: deep generative model for the integration of multimodal data, Nature Methods 2023.
    MULTIVI pairs cells by position; here modalities are put in one order of names first, and so are genes and regions.
    Cells without a single ATAC count are left out.

    Examples
    --------
    >>> impute = scget.bm.multivi(cells, "cell_type")  # doctest: +SKIP
    >>> scget.bm.compare(model, predictors={"multivi": impute})  # doctest: +SKIP
    """
    get_modality(cells, keys.ATAC, "accessibility")
    check_genes(get_modality(cells, keys.RNA, "expression"))
    check_rows(cells, [keys.ATAC, keys.RNA])
    groups, _ = groups_of(cells, [keys.ATAC, keys.RNA], groupby)
    if isinstance(max_epochs, bool) or not isinstance(max_epochs, int | np.integer) or max_epochs < 1:
        raise InputError(f"max_epochs={max_epochs!r}: a whole number of at least 1 is needed")
    atac, rna = _sorted(cells, keys.ATAC, atac_layer), _sorted(cells, keys.RNA, rna_layer)
    label_c = groups.reindex(atac.obs_names).astype(str)
    open_c = np.asarray(atac.X.sum(axis=1)).ravel() > 0

    def impute(task: Task) -> np.ndarray:
        rows, genes = task.table.rows.astype(str), task.table.genes.astype(str)
        _check_task(rows, genes, label_c[open_c], rna)
        here_c = (open_c & label_c.isin(rows)).to_numpy()
        known_c = label_c[here_c].isin(rows[task.train_k]).to_numpy()
        row_c = pd.Index(rows).get_indexer(label_c[here_c])
        fraction_kg = _imputed(
            atac[here_c], _hidden(rna[here_c], known_c), row_c, max_epochs, seed, model_kwargs or {}, train_kwargs or {}
        )
        return np.log10(fraction_kg[:, rna.var_names.get_indexer(genes)] * 1e6 + 1)

    return impute


def _sorted(cells: MuData, name: str, layer: str | None) -> AnnData:
    """Counts of a modality, each value checked, cells and columns by name."""
    from anndata import AnnData

    adata = cells.mod[name]
    made = AnnData(
        sp.csr_matrix(get_counts(adata, layer, name), dtype=np.float32),
        obs=pd.DataFrame(index=adata.obs_names.astype(str)),
        var=pd.DataFrame(index=adata.var_names.astype(str)),
    )
    return made[np.argsort(made.obs_names), np.argsort(made.var_names)].copy()


def _check_task(rows: np.ndarray, genes: np.ndarray, label_c: pd.Series, rna: AnnData) -> None:
    empty = rows[~np.isin(rows, label_c.unique())]
    if len(empty):
        raise InputError(
            f"{len(empty)} of {len(rows)} rows have no cell with ATAC counts, first {first(empty)}; groups of cells are "
            f"{first(sorted(label_c.unique()))}. Pass the cells and the groupby that the rows were made with."
        )
    absent = genes[rna.var_names.get_indexer(genes) < 0]
    if len(absent):
        raise InputError(
            f"{len(absent):,} of {len(genes):,} genes are not in the RNA of the cells, first {first(absent)}. "
            "Pass the cells that the rows were made of, with the same gene names."
        )


def _hidden(rna: AnnData, known_c: np.ndarray) -> AnnData:
    """Take the counts of all cells but ``known_c`` away: to MULTIVI a cell without counts lacks the modality."""
    rna = rna.copy()
    rna.X = sp.csr_matrix(sp.diags(known_c.astype(np.float32)) @ rna.X)
    rna.X.eliminate_zeros()
    return rna


def _imputed(
    atac: AnnData,
    rna: AnnData,
    row_c: np.ndarray,
    max_epochs: int,
    seed: int,
    model_kwargs: Mapping[str, Any],
    train_kwargs: Mapping[str, Any],
) -> np.ndarray:
    """Share of each gene in the transcripts of a cell, mean over the cells of each row, rows x genes."""
    import torch
    from mudata import MuData
    from scvi.model import MULTIVI

    mdata = MuData({keys.RNA: rna, keys.ATAC: atac.copy()})
    MULTIVI.setup_mudata(mdata, modalities={"rna_layer": keys.RNA, "atac_layer": keys.ATAC})
    # All cells train, in one order, so that only the seed decides; nothing is left to stop early by.
    # The adversary tells batches apart, of which there is one.
    plain = {"train_size": 1.0, "early_stopping": False, "shuffle_set_split": False, "adversarial_mixing": False}
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")  # it has no proteins
        torch.manual_seed(seed)
        model = MULTIVI(mdata, **model_kwargs)
        model.train(max_epochs, **plain | dict(train_kwargs))
        # Row by row: cells x genes may be too large to be held.
        per_row = (np.flatnonzero(row_c == k) for k in range(row_c.max() + 1))
        shares = (model.get_normalized_expression(indices=at, return_numpy=True) for at in per_row)
        return np.stack([share_cg.mean(axis=0, dtype=np.float64) for share_cg in shares])
