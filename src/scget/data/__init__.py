"""A registered MuData to batches of windows.

What loads lightning or scvi-tools (``_datamodule``, ``_fields``) is not here: judging and drawing need neither.
"""

from ._augment import drop_motifs, mix_rows
from ._extra import check_extra
from ._fit import fit_scaling
from ._loader import Batch, TokenSource, WindowBatches
from ._near import activity_weights, gene_activity, near
from ._rules import PRESETS, Rules
from ._scaling import Scaling
from ._similar import Likeness, told_by
from ._table import Promoters, RegionTable, build_table, build_tables, has_expression
from ._windows import Closed, Tokens, Windows, lay_tokens, prediction_windows, sampled_windows, training_windows

__all__ = [
    "PRESETS",
    "Rules",
    "check_extra",
    "Batch",
    "Closed",
    "Likeness",
    "Promoters",
    "RegionTable",
    "Scaling",
    "TokenSource",
    "Tokens",
    "WindowBatches",
    "Windows",
    "activity_weights",
    "build_table",
    "build_tables",
    "drop_motifs",
    "fit_scaling",
    "gene_activity",
    "has_expression",
    "lay_tokens",
    "mix_rows",
    "near",
    "prediction_windows",
    "sampled_windows",
    "told_by",
    "training_windows",
]
