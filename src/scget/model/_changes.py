"""What is changed in a perturbation, as a person says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from scget._errors import InputError, first

OF_REGIONS = ("delete", "inactivate", "open")
OF_MOTIFS = ("knockout", "dose")
CONTROL = "control"
KINDS = (*OF_REGIONS, *OF_MOTIFS, CONTROL)
Names = str | Sequence[str] | None


@dataclass(frozen=True)
class Change:
    """One change to the chromatin that a prediction is made from; see :func:`scget.tl.perturb`.

    Parameters
    ----------
    kind
        ``"delete"``: take regions out. Other regions no longer see them; windows keep their place.

        ``"inactivate"`` (published): motif scores and accessibility of regions are 0; the regions stay.

        ``"open"``: set the accessibility of regions.

        ``"knockout"``: scores of motifs are 0. ``"dose"``: they are multiplied by ``value``.

        ``"control"``: nothing; alone in its perturbation. Lines to compare with, where a package asks for them.
    regions
        One or several of ``chr1:100-200``: a region of that name or, where there is none, all regions that overlap
        (0-based, half-open). For motifs None: everywhere.
    motifs
        Names of motif clusters.
    tfs
        Gene symbols of transcription factors, in any case; each stands for all motif clusters that hold one of its
        motifs, as ``atac.uns["motif_tfs"]`` says.
    value
        Of ``"open"``: accessibility, 0 or more, in the unit of the model's input; 1 is a typical open region (preset
        ``"compat"``: the window's most open one). None: 1, where a region is less open than that. Of ``"dose"``: the
        factor, 0 or more; 1 changes nothing.

    Raises
    ------
    InputError
        If these do not fit each other.

    Examples
    --------
    >>> scget.tl.Change("knockout", tfs="GATA1", regions="chrX:48645000-48646000").regions
    ('chrX:48645000-48646000',)
    """

    kind: str
    regions: Names = None
    motifs: Names = None
    tfs: Names = None
    value: float | None = None

    def __post_init__(self) -> None:
        for name in ("regions", "motifs", "tfs"):
            object.__setattr__(self, name, _texts(getattr(self, name), name))
        if self.kind not in KINDS:
            raise InputError(f"no kind of change {self.kind!r}; there are {first(KINDS, len(KINDS))}")
        named = [*(self.motifs or ()), *(self.tfs or ())]
        if self.kind in OF_REGIONS and (not self.regions or named):
            raise InputError(f"{self.kind!r} changes whole regions: name regions=..., and no motifs or tfs")
        if self.kind in OF_MOTIFS and not named:
            raise InputError(f"{self.kind!r} changes motif scores: name motifs=... or tfs=...")
        if self.kind == CONTROL and (self.regions or named):
            raise InputError("'control' changes nothing: name no regions, motifs or tfs")
        object.__setattr__(self, "value", self._number())

    def _number(self) -> float | None:
        if self.value is None or pd.isna(self.value):
            if self.kind == "dose":
                raise InputError("'dose' needs value=..., the factor of motif scores; 0 is a knock-out")
            return None
        if self.kind not in ("open", "dose"):
            raise InputError(f"value={self.value} says nothing for {self.kind!r}; it is for 'open' and 'dose'")
        if not isinstance(self.value, int | float | np.number) or not 0 <= self.value < np.inf:
            raise InputError(f"value={self.value!r} of {self.kind!r}: a number of at least 0 is needed")
        return float(self.value)

    @property
    def target(self) -> str:
        """What is changed, as text."""
        names = ", ".join([*(self.motifs or ()), *(self.tfs or ())])
        places = ", ".join(self.regions or ())
        return f"{names} in {places}" if names and places else names or places


def _texts(value: Any, what: str) -> tuple[str, ...] | None:
    """One text or several, as a tuple; None for what is missing in a table."""
    if value is None or (np.isscalar(value) and pd.isna(value)):
        return None
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, Iterable) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"{what}={value!r}: one text or a list of texts is needed")
    found = tuple(dict.fromkeys(str(text) for text in texts))
    if not found:
        raise InputError(f"{what} is an empty list; leave it out, or name some")
    return found


def read_changes(changes: Mapping[str, Change | Sequence[Change]] | pd.DataFrame) -> dict[str, tuple[Change, ...]]:
    """Name of each perturbation to its changes; from a mapping, or from a table with one change per line."""
    named = _from_table(changes) if isinstance(changes, pd.DataFrame) else changes
    if not isinstance(named, Mapping):
        raise InputError(
            f"changes is a {type(changes).__name__}; a dictionary is needed, such as "
            "{'no enhancer': scget.tl.Change('delete', regions='chr1:100-600')}, or a table with the columns "
            "perturbation and kind"
        )
    if not len(named):
        raise InputError("there is no perturbation in changes; give at least one")
    found = {}
    for name, some in named.items():
        listed = (some,) if isinstance(some, Change) else some
        if not isinstance(listed, Sequence) or not listed or not all(isinstance(one, Change) for one in listed):
            raise InputError(f"perturbation {str(name)!r}: a scget.tl.Change or a list of these is needed")
        if len(listed) > 1 and any(one.kind == CONTROL for one in listed):
            raise InputError(f"perturbation {str(name)!r}: 'control' changes nothing; leave it out of several changes")
        found[str(name)] = tuple(listed)
    if len(found) < len(named):
        raise InputError("two perturbations have the same name as text; rename one")
    return found


def _from_table(table: pd.DataFrame) -> dict[str, list[Change]]:
    """Lines of one perturbation are its changes."""
    fields = ("kind", "regions", "motifs", "tfs", "value")
    missing = [name for name in ("perturbation", "kind") if name not in table]
    unknown = [name for name in table.columns if name not in ("perturbation", *fields)]
    if missing or unknown:
        raise InputError(
            f"table of changes: missing columns {first(missing) or 'none'}, unknown {first(unknown) or 'none'}; known are "
            f"{first(('perturbation', *fields), 9)}"
        )
    if table[["perturbation", "kind"]].isna().to_numpy().any():
        raise InputError("table of changes: a line without perturbation or kind; fill both in")
    found: dict[str, list[Change]] = {}
    for line in table.to_dict("records"):
        change = Change(**{name: line[name] for name in fields if name in line})
        found.setdefault(str(line["perturbation"]), []).append(change)
    return found
