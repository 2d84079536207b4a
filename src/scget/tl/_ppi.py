"""Known interactions of proteins, beside pairs of motifs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from scget import _keys
from scget._errors import InputError, first


def with_ppi(pairs: pd.DataFrame, columns: tuple[str, str], ppi: pd.DataFrame, tfs: Any) -> pd.DataFrame:
    """Add ``ppi``, the best score of a factor of the one motif with one of the other (NaN: none known), and ``ppi_tfs``.

    Parameters
    ----------
    pairs
        Pairs of motifs.
    columns
        Where their names stand.
    ppi
        Table of tf_a, tf_b and perhaps score (else 1); of symbols in any case, in either order.
    tfs
        ``atac.uns["motif_tfs"]``: cluster, tf. None: motifs are named by their factor.
    """
    check_ppi(ppi)
    score_n = ppi["score"].to_numpy(dtype=np.float64) if "score" in ppi else np.ones(len(ppi))
    a_n, b_n = (ppi[name].astype(str).str.upper() for name in ("tf_a", "tf_b"))
    known = pd.DataFrame({"tf_a": a_n, "tf_b": b_n, "ppi": score_n})
    known = pd.concat([known, known.rename(columns={"tf_a": "tf_b", "tf_b": "tf_a"})], ignore_index=True)
    names = pd.unique(pd.concat([pairs[column].astype(str) for column in columns]))
    if tfs is None or not len(tfs):
        binds = pd.DataFrame({"motif": names, "tf": pd.Series(names, dtype=object).str.upper()})
    else:
        binds = pd.DataFrame({"motif": tfs["cluster"].astype(str), "tf": tfs["tf"].astype(str).str.upper()})
        binds = binds[binds["motif"].isin(names)].drop_duplicates()
    for side, column in zip("ab", columns, strict=True):
        known = known.merge(binds.rename(columns={"motif": column, "tf": f"tf_{side}"}), on=f"tf_{side}")
    known["ppi_tfs"] = known["tf_a"] + "-" + known["tf_b"]
    known = known.sort_values(["ppi", "ppi_tfs"], ascending=[False, True]).drop_duplicates([*columns])
    text = pairs.assign(**{column: pairs[column].astype(str) for column in columns})
    found = text[[*columns]].merge(known[[*columns, "ppi", "ppi_tfs"]], on=[*columns], how="left")
    return pairs.assign(ppi=found["ppi"].to_numpy(), ppi_tfs=found["ppi_tfs"].fillna("").astype(str).to_numpy())


def check_ppi(ppi: Any) -> None:
    """Refuse what is no table of pairs of factors."""
    if not isinstance(ppi, pd.DataFrame) or not {"tf_a", "tf_b"} <= set(ppi.columns):
        found = f"columns {first(ppi.columns)}" if isinstance(ppi, pd.DataFrame) else f"a {type(ppi).__name__}"
        raise InputError(f"ppi has {found}; a table with the columns tf_a, tf_b and perhaps score is needed")


def tfs_of(mdata: Any) -> Any:
    """The table of factors of motifs, from the modality that has one."""
    return next((adata.uns[_keys.MOTIF_TFS] for adata in mdata.mod.values() if _keys.MOTIF_TFS in adata.uns), None)
