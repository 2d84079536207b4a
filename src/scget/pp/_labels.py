"""Labels of cells or rows, as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from scget._errors import InputError, first, warn

if TYPE_CHECKING:
    from mudata import MuData

_MISSING = ("", "nan", "NaN", "None", "<NA>", "NaT")  # what .astype(str) makes of a missing label


def get_labels(mdata: MuData, names: Sequence[str], column: str) -> pd.Series:
    """Return the label of every row as text, from whichever modality holds it.

    Parameters
    ----------
    mdata
        Whose modalities hold the same rows (see :func:`check_rows`).
    names
        Modalities to look into.
    column
        Of their ``obs``.

    Returns
    -------
    Text by row name, in the order of the first modality that holds the column.
    """
    found = {name: mdata.mod[name].obs[column] for name in names if column in mdata.mod[name].obs}
    if not found:
        there = [f"{name}:{key}" for name in names for key in mdata.mod[name].obs.columns]
        copy = f" Copy it: mdata[{names[0]!r}].obs[{column!r}] = mdata.obs[{column!r}]." if column in mdata.obs else ""
        raise InputError(f"no column {column!r} in obs of {first(names)}. Found: {first(there, 8) or 'none'}.{copy}")
    texts = {name: _as_text(values, f"{name}.obs[{column!r}]") for name, values in found.items()}
    (name, labels), *others = texts.items()
    for other_name, other in others:
        other = other.reindex(labels.index)
        differ = labels.index[labels.to_numpy() != other.to_numpy()]
        if len(differ):
            row = differ[0]
            raise InputError(
                f"labels of {column!r} differ for {len(differ):,} rows, first {str(row)!r}: "
                f"{labels[row]!r} in {name!r}, {other[row]!r} in {other_name!r}. Mend one of them."
            )
    return labels


def _as_text(values: pd.Series, where: str) -> pd.Series:
    """Labels as text; missing ones, equal ones of different text and different ones of equal text are refused."""
    values = values.astype(object)
    texts = values.map(str)
    missing = values.isna() | texts.str.strip().isin(_MISSING)
    if missing.any():
        row = missing.to_numpy().argmax()
        as_text = "" if values.isna().iloc[row] else f" (text {texts.iloc[row]!r})"
        raise InputError(
            f"{missing.sum():,} rows have no label in {where}, first {str(values.index[row])!r}{as_text}. "
            "Drop them or label them."
        )
    kinds = pd.DataFrame({"value": pd.factorize(values)[0], "text": texts.to_numpy()}).drop_duplicates()
    for column in kinds:
        same = kinds.index[kinds[column].duplicated(keep=False)]
        if len(same):
            one = same[0]
            other = next(i for i in same[1:] if kinds.loc[i, column] == kinds.loc[one, column])
            raise InputError(
                f"labels {values.iloc[one]!r} and {values.iloc[other]!r} both exist in {where}. Make them one kind."
            )
    return texts


def warn_if_alike(labels: pd.Series, column: str) -> None:
    """Warn of labels that differ in case or blanks alone.

    Parameters
    ----------
    labels
        As text.
    column
        They are of.
    """
    kinds = pd.Series(labels.unique())
    folded = kinds.str.split().str.join(" ").str.lower()
    alike = kinds[folded.duplicated(keep=False)]
    if len(alike):
        groups = [", ".join(map(repr, same)) for _, same in alike.groupby(folded, sort=False)]
        warn(
            f"labels of {column!r} that differ in case or blanks alone make groups of their own: "
            f"{'; '.join(groups[:3])}{'; ...' if len(groups) > 3 else ''}. Are they meant to be one?"
        )
