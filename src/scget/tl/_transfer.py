"""Labels of annotated rows for rows that have none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scget import _keys
from scget._errors import InputError
from scget.pp._checks import check_writable, get_modality
from scget.pp._labels import get_labels

if TYPE_CHECKING:
    from mudata import MuData


def transfer_labels(
    mdata: MuData,
    reference: MuData,
    label: str,
    *,
    n_neighbors: int = 15,
    key_added: str = "get",
    copy: bool = False,
) -> MuData | None:
    """Give rows the label of the annotated rows that are nearest in the embedding of :func:`scget.tl.embed`.

    The nearest by Euclidean distance vote, each with a weight of 1 / distance (a row at the same place outvotes all
    others; Dudani 1976, :class:`sklearn.neighbors.KNeighborsClassifier`).

    Parameters
    ----------
    mdata
        Rows to label, embedded; ATAC alone will do.
    reference
        Annotated rows, embedded by the same model.
    label
        Column of ``reference["atac"].obs`` (or of ``rna``'s) with the labels, such as ``"cell_type"``.
    n_neighbors
        Rows that vote, at most all of ``reference``.
    key_added
        As it was given to ``embed``, for both.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    None, or the copy. Written: ``atac.obs["get_<label>"]`` (categorical) and ``atac.obs["get_<label>_confidence"]``,
    the share of the votes for it, 0 to 1. It is no probability: a type that ``reference`` lacks gets a label too.

    Raises
    ------
    InputError
        If rows are not embedded, or by another model, labels are missing, or a slot holds something else.

    Examples
    --------
    >>> scget.tl.embed(pb, model)
    >>> new = pb.copy()  # stands in for rows without labels
    >>> scget.tl.transfer_labels(new, pb, "cell_type", n_neighbors=3)
    >>> new["atac"].obs["get_cell_type"].tolist() == pb["atac"].obs["cell_type"].tolist()
    True
    """
    from sklearn.neighbors import KNeighborsClassifier

    slots = _keys.Slots(key_added)
    own_kd, other_kd = _embedded(mdata, "mdata", slots), _embedded(reference, "reference", slots)
    _check_one_model(mdata, reference, slots, (own_kd.shape[1], other_kd.shape[1]))
    if type(n_neighbors) is not int or n_neighbors < 1:
        raise InputError(f"n_neighbors={n_neighbors!r}: a whole number of at least 1 is needed")
    if not copy:
        check_writable(mdata, _keys.ATAC)
    labels = get_labels(reference, [name for name in (_keys.ATAC, _keys.RNA) if name in reference.mod], label)
    labels = labels.reindex(reference[_keys.ATAC].obs_names)
    vote = KNeighborsClassifier(min(n_neighbors, len(labels)), weights="distance")
    share_kl = vote.fit(other_kd, labels.to_numpy(dtype=str)).predict_proba(own_kd)
    mdata = mdata.copy() if copy else mdata
    named, sure = slots.label(label)
    obs = mdata[_keys.ATAC].obs
    obs[named] = pd.Categorical.from_codes(share_kl.argmax(axis=1), categories=vote.classes_.astype(object))
    obs[sure] = share_kl.max(axis=1)
    return mdata if copy else None


def _embedded(mdata: MuData, called: str, slots: _keys.Slots) -> np.ndarray:
    """Embedding of the rows, (k, d) float64."""
    atac = get_modality(mdata, _keys.ATAC, "accessibility")
    if slots.embedding not in atac.obsm:
        raise InputError(
            f"no embedding {slots.embedding!r} in the obsm of {called}['atac']; run scget.tl.embed({called}, model) first"
        )
    return np.asarray(atac.obsm[slots.embedding], dtype=np.float64)


def _check_one_model(mdata: MuData, reference: MuData, slots: _keys.Slots, widths: tuple[int, int]) -> None:
    own, other = (data.uns.get(slots.record, {}).get("model", "not recorded") for data in (mdata, reference))
    if own != other or widths[0] != widths[1]:
        raise InputError(
            f"mdata is embedded by model {own!r} ({widths[0]} dimensions), the reference by {other!r} ({widths[1]}); "
            "distances mean something within one embedding alone. Embed both by one model: scget.tl.embed"
        )
