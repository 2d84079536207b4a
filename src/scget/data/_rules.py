"""How counts and scores become what the network sees and must predict; saved with every model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ._windows import Closed

MOST_SPAN = 5_000_000  # bp between the first and last start of a published training window


@dataclass(frozen=True)
class Rules:
    """Normalisation, label and window rules; the values here are those of the preset ``default``.

    ``window``: regions per window. ``closed``: which regions without counts are shown. ``max_span``: training windows
    of more bp are left out. ``motif_unit``: what a motif score is divided by, the mean hit in the training regions or,
    per row, the greatest score among its open regions. ``accessibility``: the rank of a region's count mapped to the
    mean distribution of the training rows; log10(count / total * 1e5 + 1) over the row's greatest; or 1 where open.
    ``fold``: whether its departure from the training mean is a second channel. ``per_window``: whether accessibility is
    divided by the greatest of each window. ``cutoff``: log-accessibility over the row's greatest, below which
    expression counts as 0 in training. ``activity``: whether accessibility around the promoter is part of a predicted
    departure by itself. ``similar``: whether the training rows themselves, weighted by likeness, are part
    of a prediction. ``extra``: names of further channels.
    """

    window: int = 200
    closed: Closed = "promoters"
    max_span: int | None = None
    motif_unit: Literal["training", "row"] = "training"
    accessibility: Literal["rank", "log_cpm", "binary"] = "rank"
    fold: bool = True
    per_window: bool = False
    cutoff: float = 0.0
    activity: bool = True
    similar: bool = True
    extra: tuple[str, ...] = ()

    @property
    def n_channels(self) -> int:
        """Features of a region beside its motifs: accessibility first, then its fold, then the extra ones."""
        return 1 + self.fold + len(self.extra)

    def asdict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, for JSON."""
        return asdict(self) | {"extra": list(self.extra)}

    @classmethod
    def of(cls, record: dict[str, Any]) -> Rules:
        """The rules that :meth:`asdict` gave."""
        return cls(**{**record, "extra": tuple(record["extra"])})


PRESETS = {
    "default": Rules(),
    "compat": Rules(
        closed="drop",
        max_span=MOST_SPAN,
        motif_unit="row",
        accessibility="log_cpm",
        fold=False,
        per_window=True,
        cutoff=0.05,
        activity=False,
        similar=False,
    ),
}
