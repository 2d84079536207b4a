"""Motif attributions of a row as a net of factors and genes, for decoupler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from scget import _keys
from scget._errors import InputError
from scget.pp._checks import get_modality

from ._factors import MIN_EXPRESSION, expression_of, factors_of
from ._motif_effects import MotifEffects

if TYPE_CHECKING:
    from mudata import MuData

NET = ["source", "target", "weight"]


def to_net(
    mdata: MuData,
    *,
    row: str | None = None,
    source: Literal["tf", "motif"] = "tf",
    top: int | None = 100,
    min_expression: float | None = MIN_EXPRESSION,
    rna_layer: str | None = None,
    key: str = "get",
    atac: str = _keys.ATAC,
    rna: str = _keys.RNA,
) -> pd.DataFrame:
    """Make a net of transcription factors and their targets from motif attributions, as decoupler takes it.

    The weight of a factor on a gene is the gene's attribution to the factor's motif clusters, added up: about how
    much less would be predicted were these motifs nowhere. Factors of the same clusters have the same targets and weights, so a
    method that fits all factors at once (``mlm``) needs ``source="motif"``.

    Parameters
    ----------
    mdata
        After ``scget.tl.attribute``.
    row
        Row whose attributions are weights. None: their mean over the rows in which a gene is attributed.
    source
        ``"tf"``: a source is a factor. ``"motif"``: it is a motif cluster.
    top
        Targets kept per source, those of greatest absolute weight. None: all whose weight is not 0.
    min_expression
        log10(CPM + 1), observed or else predicted, below which a factor is left out: in the row or, without ``row``, in
        all that are attributed. Factors whose expression is unknown stay. None: all factors.
    rna_layer
        Layer of ``rna`` with raw counts; None for ``X``.
    key
        ``key_added`` of the attribution.
    atac, rna
        Names of the modalities.

    Returns
    -------
    Table of source, target (as in ``rna.var_names``) and weight (log10(CPM + 1), signed), each pair once, sources in
    alphabetical order, strongest targets first.

    Raises
    ------
    InputError
        If the row is not attributed, no factor is known or expressed, or a choice is unknown.

    Examples
    --------
    >>> scget.tl.attribute(pb, model)
    >>> net = scget.tl.to_net(pb, row="Mono", source="motif", top=20)
    >>> net.columns.tolist(), int(net["source"].value_counts().max())
    (['source', 'target', 'weight'], 20)
    >>> import decoupler  # doctest: +SKIP
    >>> decoupler.mt.ulm(cells["rna"], net)  # doctest: +SKIP
    """
    if source not in ("tf", "motif"):
        raise InputError(f"source={source!r}: 'tf' or 'motif' is needed")
    if top is not None and top < 1:
        raise InputError(f"top={top}: at least 1 target per source is needed, or None for all")
    effects = MotifEffects.of(mdata, key, rna)
    rows = effects.asked(None if row is None else [row])
    values_gm = effects.mean_over_rows()[0] if row is None else effects.table(rows[0])[0]
    factors = factors_of(get_modality(mdata, atac, "accessibility"), effects.motifs)
    if source == "motif":
        factors = pd.DataFrame({"motif": np.arange(len(effects.motifs)), "tf": effects.motifs})
    factors = factors.dropna()
    tfs = factors["tf"].unique()
    if source == "tf" and min_expression is not None:
        found = expression_of(mdata, tfs, rna=rna, rna_layer=rna_layer, layer=effects.slots.expression)
        predicted_kt, observed_kt = (values_kt[effects.rna.obs_names.get_indexer(rows)] for values_kt in found)
        known_kt = np.where(np.isfinite(observed_kt), observed_kt, predicted_kt)
        absent_t = (known_kt < min_expression).all(axis=0)
        factors = factors[~factors["tf"].isin(tfs[absent_t])]
    if not len(factors):
        raise InputError(
            f"none of the {len(tfs):,} factors of atac.uns[{_keys.MOTIF_TFS!r}] is known and expressed at "
            f"min_expression={min_expression}; lower it, or ask for source='motif'"
        )
    return _net(values_gm, effects.rna.var_names.astype(str).to_numpy(), factors, top)


def _net(values_gm: np.ndarray, genes: np.ndarray, factors: pd.DataFrame, top: int | None) -> pd.DataFrame:
    """The strongest targets of each factor."""
    lines = []
    for tf, motif_n in factors.groupby("tf")["motif"]:
        weight_g = values_gm[:, motif_n.to_numpy()].sum(axis=1)
        strongest = np.argsort(-np.abs(weight_g), kind="stable")[:top]
        strongest = strongest[weight_g[strongest] != 0]
        lines.append(pd.DataFrame({"source": tf, "target": genes[strongest], "weight": weight_g[strongest]}))
    return pd.concat(lines, ignore_index=True)[NET]
