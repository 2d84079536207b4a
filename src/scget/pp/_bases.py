"""Bases as letters and as codes: 0..3 = A, C, G, T, 4 = unknown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scget._errors import InputError

OTHER = 4  # code of all that is not A, C, G or T
CODES = np.full(256, OTHER, dtype=np.uint8)  # of each character
CODES[list(b"ACGTacgt")] = [0, 1, 2, 3] * 2
_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)
_COMPLEMENT = str.maketrans("ACGTRYSWKMBDHVN", "TGCAYRSWMKVHDBN")


def encode(sequences: Sequence[str] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sequences end to end as codes (0..3 = A, C, G, T, 4 = N), and where each begins, with the end of the last."""
    if isinstance(sequences, str):  # would be read letter by letter
        raise InputError("sequences are one text; give a list of them")
    texts = [str(s) if isinstance(s, str) else "" for s in sequences]  # NaN would be read as the bases N, A and N
    odd = [i for i, s in enumerate(texts) if not s or s.upper().strip("ACGTN")]
    if odd:
        what = repr(texts[odd[0]][:40])
        raise InputError(
            f"{len(odd):,} of {len(texts):,} sequences are empty or hold other letters than A, C, G, T and N, first "
            f"number {odd[0]}: {what}"
        )
    codes = CODES[np.frombuffer("".join(texts).encode(), dtype=np.uint8)]
    return codes, np.concatenate([[0], np.cumsum([len(s) for s in texts])]).astype(np.int64)


def as_text(codes: Sequence[int] | np.ndarray) -> str:
    """Codes as letters."""
    return _LETTERS[np.asarray(codes, dtype=np.int64)].tobytes().decode()


def reverse_complement(sequence: str) -> str:
    """The other strand of a sequence in IUPAC letters, upper case, read in its own direction."""
    return sequence[::-1].translate(_COMPLEMENT)
