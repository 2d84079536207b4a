"""Where an answer came from, beside every answer."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from scget import _keys
from scget._errors import InputError
from scget._version import scget_version

if TYPE_CHECKING:
    from mudata import MuData

    from scget.model import GET

UNIT = "log10(CPM + 1)"


def write_record(mdata: MuData, model: GET, slots: _keys.Slots) -> dict[str, Any]:
    """Note version, weights, window, hold-outs, motif set and genome in ``mdata.uns``; other entries stay."""
    from scget.model._checkpoint import digest

    scan = mdata[modality(model, "atac_layer")].uns.get(_keys.MOTIF_SCAN, {})
    record = mdata.uns.setdefault(slots.record, {})
    record["scget_version"] = scget_version()
    record["unit"] = UNIT
    record["model"] = digest(model.module.state_dict())
    record["window"] = model.window
    record["motifs_sha256"] = hashlib.sha256("\n".join(map(str, model.motifs)).encode()).hexdigest()
    record["genome"] = str(scan.get("genome", "not recorded"))
    record["holdout_obs"] = list(model.holdout.obs)
    record["holdout_chroms"] = list(model.holdout.chroms)
    return record


def modality(model: GET, argument: str) -> str:
    """Name of the modality that the model reads as ``argument`` (``atac_layer`` or ``rna_layer``)."""
    return model.registry["setup_args"]["modalities"][argument]


def writable(mdata: MuData, copy: bool) -> MuData:
    """The MuData to write into; :class:`InputError` for a view, which would be lost."""
    if copy:
        return mdata.copy()
    if mdata.is_view:
        raise InputError("mdata is a view, so results cannot be written into it; call mdata = mdata.copy() first")
    return mdata
