"""What a designed sequence must be like: share of G and C, sites it must not hold, stretches that stay."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scget._errors import InputError, first
from scget.pp._bases import reverse_complement

_IUPAC = {
    **{"A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC"},
    **{"B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT"},
}
_TRIES = 1000  # random sequences drawn before the rules are called too strict


@dataclass(frozen=True)
class SequenceRules:
    """Rules that hold for each designed sequence; checked when made.

    Parameters
    ----------
    gc
        Least and greatest share of G and C, 0 to 1.
    forbidden
        Words in IUPAC letters that occur on neither strand.
    fixed
        Stretches (start, end), 0-based half-open, that are not edited.

    Raises
    ------
    InputError
        If a rule cannot be read.
    """

    gc: tuple[float, float] = (0.0, 1.0)
    forbidden: Sequence[str] = ()
    fixed: Sequence[tuple[int, int]] = ()
    pattern: re.Pattern[str] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        gc = _pair(self.gc, float)
        if gc is None or not 0 <= gc[0] <= gc[1] <= 1:
            raise InputError(
                f"gc={self.gc}: the least and the greatest share of G and C are needed, such as (0.3, 0.7)"
            )
        if isinstance(self.forbidden, str):
            raise InputError(f"forbidden={self.forbidden!r} is one text; give a list of sites: [{self.forbidden!r}]")
        if not isinstance(self.forbidden, Iterable):
            raise InputError(f"forbidden={self.forbidden!r}: a list of sites is needed, () for none")
        sites = tuple(str(site).upper() for site in self.forbidden)
        odd = [site for site in sites if not site or set(site) - set(_IUPAC)]
        if odd:
            raise InputError(f"{len(odd)} of {len(sites)} forbidden sites are no IUPAC words, first {odd[0]!r}")
        spans = list(self.fixed) if isinstance(self.fixed, Iterable) else [self.fixed]
        fixed = tuple(_pair(span, int) or (0, 0) for span in spans)
        wrong = [span for span, (low, high) in zip(spans, fixed, strict=True) if not 0 <= low < high]
        if wrong:
            raise InputError(
                f"fixed: {wrong[0]!r} is no stretch; a list of (start, end) with start < end is needed, 0-based half-open"
            )
        words = sorted({word for site in sites for word in (site, reverse_complement(site))})
        pattern = "|".join("".join(f"[{_IUPAC[letter]}]" for letter in word) for word in words)
        for name, value in (("gc", gc), ("forbidden", sites), ("fixed", fixed)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "pattern", re.compile(pattern) if words else None)

    @property
    def reach(self) -> int:
        """Bases beside an edit within which it can complete a forbidden site."""
        return max((len(site) for site in self.forbidden), default=1) - 1

    def faults(self, sequence: str) -> list[str]:
        """What is wrong with a sequence, in words; empty where nothing is."""
        share, found = gc_share(sequence), []
        if not self.gc[0] <= share <= self.gc[1]:
            found.append(f"its share of G and C is {share:.3f}, not within {self.gc[0]:g} to {self.gc[1]:g}")
        site = self.pattern.search(sequence) if self.pattern else None
        if site:
            found.append(f"it holds {site.group()!r} at {site.start()}, a forbidden site ({first(self.forbidden)})")
        late = [span for span in self.fixed if span[1] > len(sequence)]
        if late:
            found.append(f"it has {len(sequence)} bases, and {late[0]} is fixed")
        return found

    def allows_gc(self, n_gc: np.ndarray, length: int) -> np.ndarray:
        """Whether so many G and C in ``length`` bases are within the rule."""
        share = n_gc / length
        return (share >= self.gc[0]) & (share <= self.gc[1])

    def clean(self, sequence: str, at: int, word: str) -> bool:
        """Whether ``word`` written at ``at`` completes no forbidden site in a sequence that holds none."""
        if self.pattern is None:
            return True
        low, end = max(0, at - self.reach), at + len(word)
        return self.pattern.search(sequence[low:at] + word + sequence[end : end + self.reach]) is None

    def random(self, length: int, rng: np.random.Generator) -> str:
        """Draw bases independently, G and C as often as the middle of ``gc`` says, until the rules hold."""
        share = sum(self.gc) / 2
        chances = np.array([1 - share, share, share, 1 - share]) / 2
        for _ in range(_TRIES):
            drawn = "".join(np.array(list("ACGT"))[rng.choice(4, length, p=chances)])
            faults = self.faults(drawn)
            if not faults:
                return drawn
        raise InputError(
            f"none of {_TRIES:,} random sequences of {length} bases keeps the rules; of the last: {faults[0]}"
        )


def _pair(values: Any, kind: Callable[[Any], Any]) -> tuple[Any, Any] | None:
    """Two numbers; None for all else."""
    try:
        low, high = (kind(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        return None
    return low, high


def gc_share(sequence: str) -> float:
    """Share of G and C."""
    return (sequence.count("G") + sequence.count("C")) / len(sequence)


def design_start(sequence: str, rules: SequenceRules, what: str) -> str:
    """A start in upper case; :class:`InputError` where it does not keep the rules or holds other letters than bases."""
    text = str(sequence).upper()
    odd = sorted(set(text) - set("ACGT"))
    if odd or not text:
        raise InputError(f"{what} is empty or holds other letters than A, C, G and T: {first(odd) or 'no letter'}")
    faults = rules.faults(text)
    if faults:
        raise InputError(f"{what} does not keep the rules: {'; '.join(faults)}. Give another start, or other rules")
    return text
