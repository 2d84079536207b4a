"""The object a person holds."""

from ._ensemble import Ensemble
from ._get import GET
from ._infer import Attribution

__all__ = ["GET", "Attribution", "Ensemble"]
