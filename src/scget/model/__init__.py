"""The object a person holds."""

from ._attribute import Attribution, MotifNull
from ._embed import Embedding
from ._ensemble import Ensemble
from ._get import GET
from ._reporter import Reporter
from ._variants import VariantEffects

__all__ = ["GET", "Attribution", "Embedding", "Ensemble", "MotifNull", "Reporter", "VariantEffects"]
