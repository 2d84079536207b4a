"""Sequences of reporter assays: without their adaptors, and one name for both orientations of an element."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from scget._errors import InputError
from scget.pp._bases import reverse_complement


def inserts(sequences: Sequence[str], adaptor: int) -> np.ndarray:
    """Sequences in capitals without ``adaptor`` bases at each end; refuse what is no DNA or too short."""
    if isinstance(adaptor, bool) or not isinstance(adaptor, int | np.integer) or adaptor < 0:
        raise InputError(f"adaptor is {adaptor!r}; a number of bases is needed, 0 for none.")
    if isinstance(sequences, str):  # would be read letter by letter
        raise InputError("sequences are one text; a list of them is needed.")
    given = list(sequences) if isinstance(sequences, Iterable) else [sequences]
    missing = [i for i, s in enumerate(given) if not isinstance(s, str)]
    if missing:  # NaN would be read as the bases N, A and N
        raise InputError(
            f"{len(missing):,} of {len(given):,} sequences are no text, first number {missing[0]}: {given[missing[0]]!r}."
        )
    whole = [str(s).upper() for s in given]
    cut = np.array([s[adaptor : len(s) - adaptor] for s in whole], dtype=object)
    short = [s for s, c in zip(whole, cut, strict=True) if len(s) <= 2 * adaptor or not c]
    if short:
        raise InputError(f"{len(short):,} sequences have no base between adaptors of {adaptor}, first {short[0]!r}.")
    odd = [s for s in cut if set(s) - set("ACGTN")]
    if odd:
        raise InputError(f"{len(odd):,} sequences hold other letters than A, C, G, T and N, first {odd[0][:40]!r}.")
    return cut


def check_once(cut: np.ndarray) -> None:
    """Refuse sequences that are there twice, as measurements of one would be."""
    _, at, times = np.unique(cut, return_index=True, return_counts=True)
    if (times > 1).any():
        one = cut[at[times > 1][0]]
        raise InputError(
            f"{int((times > 1).sum()):,} sequences occur more than once, first {one[:40]!r}. Give each one line, "
            "the mean of its activities."
        )


def element_keys(sequences: np.ndarray) -> np.ndarray:
    """One name for a sequence and its reverse complement: the first of the two in the alphabet."""
    return np.array([min(s, reverse_complement(s)) for s in sequences], dtype=object)
