"""Genes by any form of their name, and the factors of motif clusters with their expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scget import _keys
from scget._errors import InputError, first
from scget.pp._checks import check_genes, get_counts, get_modality, only_predicted

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

SYMBOLS = (  # columns of rna.var, in any case, in which other programs keep gene symbols
    *("gene_symbol", "gene_symbols", "gene_name", "gene_names", "symbol", "symbols", "feature_name"),
    *("hgnc_symbol", "mgi_symbol", "external_gene_name"),
)

MIN_EXPRESSION = 0.7  # log10(CPM + 1), 4 CPM: factors of blood cell types have least often about so much


def places(rna: AnnData, names: Sequence[str]) -> pd.DataFrame:
    """Table wanted (position in ``names``), gene (position in ``rna``): a line for each match.

    A name is looked for in ``rna.var_names`` as it is, then in any case, without the version of an Ensembl id, and among
    symbols in :data:`SYMBOLS`; the first form with a match decides. A symbol that several genes share gives them all.
    """
    check_genes(rna)
    own = pd.Series(rna.var_names.astype(str))
    columns = [rna.var[column] for column in rna.var if str(column).lower() in SYMBOLS]
    symbols = [column.astype(str).where(column.notna(), "") for column in columns]
    todo = pd.Series(list(names), dtype=object).astype(str)
    found = [_matches(todo, own)]
    for form in (own, own.str.replace(r"\.[0-9]+$", "", regex=True), *symbols):
        todo = todo.drop(found[-1]["wanted"].unique())
        found.append(_matches(todo.str.upper(), form.str.upper()))
    return pd.concat(found).sort_values(["wanted", "gene"], ignore_index=True)


def _matches(todo: pd.Series, form: pd.Series) -> pd.DataFrame:
    wanted = pd.DataFrame({"name": todo, "wanted": todo.index})
    return wanted.merge(pd.DataFrame({"name": form.to_numpy(), "gene": np.arange(len(form))}), on="name")[
        ["wanted", "gene"]
    ]


def factors_of(atac: AnnData, motifs: np.ndarray) -> pd.DataFrame:
    """Table motif (position in ``motifs``), tf (None where no factor is known): a line per cluster and factor."""
    table = atac.uns.get(_keys.MOTIF_TFS)
    place = pd.Series(np.arange(len(motifs)), index=motifs)
    if table is None or not len(table):
        return pd.DataFrame({"motif": place.to_numpy(), "tf": None})
    missing = [column for column in ("cluster", "tf") if column not in table]
    pairs = None if missing else table[["cluster", "tf"]].astype(str).drop_duplicates()
    if pairs is None or not pairs["cluster"].isin(motifs).any():
        what = f"lacks {first(missing)}" if missing else f"has none of the {len(motifs):,} motifs attributed to"
        raise InputError(
            f"atac.uns[{_keys.MOTIF_TFS!r}] {what}, first {first(motifs)}; the columns cluster and tf are needed, as "
            "scget.pp.motif_scores writes them"
        )
    pairs = pd.DataFrame({"motif": pairs["cluster"].map(place), "tf": pairs["tf"]}).dropna()
    bare = np.setdiff1d(place.to_numpy(), pairs["motif"])
    pairs = pd.concat([pairs, pd.DataFrame({"motif": bare, "tf": [None] * len(bare)}, dtype=object)])
    return pairs.astype({"motif": np.int64}).sort_values(["motif", "tf"], ignore_index=True)


def expression_of(
    mdata: MuData, names: Sequence[str], *, rna: str, rna_layer: str | None, layer: str
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted (in ``layer``) and observed expression, each rows x names, log10(CPM + 1); NaN where not known."""
    adata = get_modality(mdata, rna, "expression")
    where = places(adata, names)
    gene_n, wanted_n = where["gene"].to_numpy(), where["wanted"].to_numpy()
    blank = np.full((adata.n_obs, len(names)), np.nan)
    predicted = observed = blank
    if layer in adata.layers:
        predicted = _highest(np.asarray(adata.layers[layer])[:, gene_n], wanted_n, len(names))
    if not only_predicted(mdata, rna_layer):
        counts = get_counts(adata, rna_layer, rna)
        total_k = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()[:, None]
        some = counts[:, gene_n]
        some = some.toarray() if hasattr(some, "toarray") else np.asarray(some)
        share = np.divide(some, total_k, out=np.full(some.shape, np.nan), where=total_k > 0)
        observed = _highest(np.log10(share * 1e6 + 1), wanted_n, len(names))
    return predicted, observed


def _highest(values_kn: np.ndarray, wanted_n: np.ndarray, n: int) -> np.ndarray:
    """Of genes that share a name, the most expressed."""
    return pd.DataFrame(values_kn.T).astype(np.float64).groupby(wanted_n).max().reindex(range(n)).to_numpy().T
