"""Where an answer may be written: slots that are free, and tables as they can be kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from scget import _keys
from scget._errors import InputError, first
from scget.pp._checks import check_writable

if TYPE_CHECKING:
    from mudata import MuData

    from scget.model import GET, Ensemble


def modality(model: GET | Ensemble, argument: str) -> str:
    """Name of the modality that the model reads as ``argument`` (``atac_layer`` or ``rna_layer``)."""
    return model.registry["setup_args"]["modalities"][argument]


def writable(mdata: MuData, model: GET | Ensemble, slots: _keys.Slots, copy: bool) -> MuData:
    """The MuData to write into; :class:`InputError` for a view, or a key whose slots hold something else."""
    setup = model.registry["setup_args"]
    check_free(mdata, slots, (setup["atac_layer"], setup["rna_layer"]))
    if not copy:
        check_writable(mdata, *mdata.mod)
    return mdata.copy() if copy else mdata


def check_free(mdata: MuData, slots: _keys.Slots, layers: Sequence[str | None] = ()) -> None:
    """Refuse a key that cannot be written, whose slots hold something else, or that is one of ``layers``."""
    key = slots.key
    if not key or "/" in key:
        raise InputError(f"key_added={key!r} cannot name slots on disk; choose one without '/'")
    own = isinstance(mdata.uns.get(key), dict) and "scget_version" in mdata.uns[key]
    taken = [f"{name}.layers" for name in mdata.mod if key in mdata[name].layers and not own]
    taken += [] if own or key not in mdata.uns else ["uns"]
    if taken or key in layers:
        raise InputError(f"key_added={key!r} would overwrite {first(taken) or 'raw counts'}; choose another")


def without_slashes(table: pd.DataFrame) -> pd.DataFrame:
    """A slash in a column cannot be written to disk; a name that then occurs twice keeps its number too."""
    names = pd.Index([gene.replace("/", "_") for gene in table.columns])
    twice = names.duplicated(keep=False)
    return table.set_axis([f"{n}_{i}" if t else n for i, (n, t) in enumerate(zip(names, twice, strict=True))], axis=1)


def with_categories(lines: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Names as categories: a million links stay small in memory and on disk."""
    return lines.assign(**{column: lines[column].astype("category") for column in columns})
