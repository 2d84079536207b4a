"""What training never sees and what it saw: chosen, kept apart from what an earlier training saw, and put on record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scget._errors import InputError, first
from scget.data import RegionTable


@dataclass(frozen=True)
class HoldOut:
    """What training never saw, and what it did see: names of rows and chromosomes.

    ``imported``: where weights come from whose file does not say what they saw, and what the user states of it
    (``holdout_obs``, ``holdout_chroms``). None: all that was seen is on record.
    """

    obs: list[str]
    chroms: list[str]
    seen_obs: list[str]
    seen_chroms: list[str]
    imported: dict[str, Any] | None = None

    def asdict(self) -> dict[str, Any]:
        """Plain lists, for JSON and ``uns``."""
        return asdict(self)


def split(
    table: RegionTable, obs: Sequence[str] | None, chroms: Sequence[str] | None, before: HoldOut | None
) -> tuple[np.ndarray, np.ndarray, HoldOut]:
    """Rows (positions) and regions (flags) to train on, and the record of it.

    ``before`` is what an earlier training of the same network held out: it is taken over where ``obs`` or ``chroms``
    is None, as far as these data have it, and nothing it saw may be held out now.
    """
    taken_over = before or HoldOut([], [], [], [])
    obs = names_of(holdout_obs=_those_in(table.rows, taken_over.obs) if obs is None else obs)
    chroms = names_of(holdout_chroms=_those_in(table.chroms, taken_over.chroms) if chroms is None else chroms)
    held_k = table.row_positions(obs)
    row_k = np.setdiff1d(np.arange(len(table.rows)), held_k)
    row_k = row_k[np.argsort(table.rows[row_k].astype(str))]  # so that the order of rows does not matter
    region_p = ~table.on_chroms(chroms)
    if not len(row_k) or not region_p.any():
        raise InputError(
            f"held out everything: {len(row_k)} rows and {region_p.sum()} regions are left to train on. Hold out less."
        )
    seen_chroms = [c for c in map(str, table.chroms) if c not in set(chroms)]
    record = HoldOut(obs, chroms, [*map(str, table.rows[row_k])], seen_chroms)
    if before is not None:
        seen = sorted(set(before.seen_obs) & set(record.obs)) + sorted(set(before.seen_chroms) & set(record.chroms))
        if seen:
            raise InputError(
                f"{first(seen)} cannot be held out now: this model was already (pre)trained on them. Give pretrain() "
                "the same holdout_obs and holdout_chroms, or start from a new model."
            )
    return row_k, region_p, record


def merge(before: HoldOut | None, now: HoldOut) -> HoldOut:
    """What neither training saw is held out; what either saw is seen."""
    if before is None:
        return now
    seen_obs = sorted({*before.seen_obs, *now.seen_obs})
    seen_chroms = sorted({*before.seen_chroms, *now.seen_chroms})
    held_obs = [n for n in dict.fromkeys([*before.obs, *now.obs]) if n not in seen_obs]
    held_chroms = [n for n in dict.fromkeys([*before.chroms, *now.chroms]) if n not in seen_chroms]
    return HoldOut(held_obs, held_chroms, seen_obs, seen_chroms, before.imported)


def _those_in(known: np.ndarray, names: list[str]) -> list[str]:
    return [n for n in names if n in set(map(str, known))]


def names_of(**argument: Sequence[str]) -> list[str]:
    """The one argument as a list; a bare text would be read letter by letter."""
    ((name, value),) = argument.items()
    if isinstance(value, str):
        raise InputError(f"{name}={value!r} is one text; a list is needed: {name}=[{value!r}]")
    return [str(v) for v in value]
