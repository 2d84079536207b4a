"""What scvi-tools registers of a MuData; the only file that knows scvi's fields."""

from __future__ import annotations

from typing import Any

import rich.table
from mudata import MuData
from scvi.data import AnnDataManager
from scvi.data.fields import BaseAnnDataField

from scget import _keys

from ._table import has_expression


class SlotField(BaseAnnDataField):
    """One slot of one modality, required to be there, free in its number of regions or genes.

    scvi's own ``LayerField`` refuses another number of variables on transfer, so no new peak set could be loaded.
    """

    def __init__(self, registry_key: str, mod_key: str, attr_name: str, attr_key: str | None) -> None:
        super().__init__()
        self._registry_key, self._mod_key = registry_key, mod_key
        self._attr_name, self._attr_key = attr_name, attr_key

    @property
    def registry_key(self) -> str:
        return self._registry_key

    @property
    def mod_key(self) -> str:
        return self._mod_key

    @property
    def attr_name(self) -> str:
        return self._attr_name

    @property
    def attr_key(self) -> str | None:
        return self._attr_key

    @property
    def is_empty(self) -> bool:
        return False

    def validate_field(self, mdata: MuData) -> None:
        self.get_field_data(mdata)  # raises where the slot is missing

    def register_field(self, mdata: MuData) -> dict[str, Any]:
        super().register_field(mdata)
        return {"shape": [int(n) for n in self.get_field_data(mdata).shape]}

    def transfer_field(self, state_registry: dict[str, Any], mdata_target: MuData, **kwargs: Any) -> dict[str, Any]:
        super().transfer_field(state_registry, mdata_target, **kwargs)
        return self.register_field(mdata_target)

    def get_summary_stats(self, state_registry: dict[str, Any]) -> dict[str, int]:
        return {f"n_{self.registry_key}": state_registry["shape"][1]} if state_registry else {}

    def view_state_registry(self, state_registry: dict[str, Any]) -> rich.table.Table | None:
        return None


class MuDataManager(AnnDataManager):
    """scvi's manager, which on transfer forgets by which method the data were set up."""

    def _get_setup_method_args(self) -> dict[str, Any]:
        kept = {"setup_method_name": self._registry.get("setup_method_name")}
        return super()._get_setup_method_args() | kept


def setup_manager(mdata: MuData, setup_method_args: dict[str, Any]) -> MuDataManager:
    """Register the slots named in ``setup_method_args``; expression only where the modality is there."""
    args = setup_method_args["setup_args"]
    atac, rna = args["modalities"]["atac_layer"], args["modalities"]["rna_layer"]
    fields = [
        _counts_field("X", atac, args["atac_layer"]),
        SlotField("motifs", atac, "varm", _keys.MOTIF_SCORES),
    ]
    if has_expression(mdata, args):
        fields.append(_counts_field("genes", rna, args["rna_layer"]))
    manager = MuDataManager(fields=fields, setup_method_args=setup_method_args)
    manager.register_fields(mdata)
    return manager


def _counts_field(registry_key: str, mod_key: str, layer: str | None) -> SlotField:
    return SlotField(registry_key, mod_key, "X" if layer is None else "layers", layer)


def default_modalities() -> dict[str, str]:
    """Argument of ``setup_mudata`` to modality name."""
    return {"atac_layer": _keys.ATAC, "rna_layer": _keys.RNA}
