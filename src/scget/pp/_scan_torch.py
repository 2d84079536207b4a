"""The motif scan on a GPU: a matrix product proposes hits, the float64 sums of the CPU scan decide.

Windows of one-hot bases times log-odds are all scores of a stretch of sequence. A user's settings may let the device round
these products to TF32 or bfloat16, so each score that is less below its threshold than rounding can move it is summed again
in float64, by the same function as on the CPU. Hits and scores are therefore the same, bit for bit, on every device.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from scget._errors import InputError
from scget.pp._scan import Hits, Scanner, confirm_hits

ROUNDING = 2.0**-7  # of the sum of absolute log-odds: bfloat16 keeps 8 bits of each factor, and as much again to spare
TILE = 1 << 18  # positions scored at once
ROWS = 256  # motifs x strands scored at once; TILE x ROWS x 4 bytes = 256 MiB


def check_device(device: str) -> None:
    """Refuse, with :class:`InputError`, a device that torch does not have here."""
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"device='{device}' cannot be used: {str(error).splitlines()[0]}. 'cpu', or a GPU that torch sees here, such as "
            "'cuda' or 'mps', is needed."
        ) from error


def finder(
    scanner: Scanner, device: str, dtype: torch.dtype = torch.float32
) -> Callable[[np.ndarray, np.ndarray], Hits]:
    """Make a function of codes and offsets that finds on the device what ``_scan.find_hits`` finds."""
    groups = _weights(scanner, device, dtype)
    beyond = np.full(scanner.width.max(initial=1), 4, dtype=np.uint8)  # the widest motif may look past the end

    def find(codes: np.ndarray, offsets: np.ndarray) -> Hits:
        part = np.concatenate([codes[offsets[0] : offsets[-1]], beyond])
        at, row = _propose(torch.from_numpy(part).to(device), groups, len(part) - len(beyond))
        return confirm_hits(scanner, codes, offsets, at + offsets[0], row)

    return find


def _weights(scanner: Scanner, device: str, dtype: torch.dtype) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Log-odds ``(4 x w, rows)`` of each ``ROWS`` rows, and the scores ``(rows,)`` from which they may be hits.

    If p and n are the sums of a hit's positive and negative log-odds, p - n >= limit and p <= best, so the p + n that is
    rounded is at most 2 best - limit. An unknown base counts 0 here, which only proposes more.
    """
    groups = []
    for first in range(0, len(scanner.limit), ROWS):
        rows = slice(first, first + ROWS)
        scores = scanner.scores[rows, : scanner.width[rows].max(), :4]
        best = scores.max(axis=2).clip(0).sum(axis=1)
        floor = scanner.limit[rows] - ROUNDING * (2 * best - scanner.limit[rows])
        weights = torch.from_numpy(scores.transpose(2, 1, 0).reshape(-1, len(scores)).astype(np.float32))
        groups.append((weights.to(device, dtype), torch.from_numpy(floor.astype(np.float32)).to(device)))
    return groups


def _propose(part: torch.Tensor, groups: list, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions below n, and rows, where a hit may begin."""
    bases = torch.arange(4, device=part.device)
    none = np.empty(0, dtype=np.int64)
    at, row = [none], [none]
    for begin in range(0, n, TILE):
        end = min(begin + TILE, n)
        first = 0
        for weights, floor in groups:
            width = len(weights) // 4
            hot = (part[begin : end + width - 1, None] == bases).to(weights.dtype)
            windows = hot.unfold(0, width, 1).reshape(end - begin, 4 * width)
            pairs = torch.nonzero((windows @ weights).float() >= floor).cpu().numpy()
            at.append(pairs[:, 0] + begin)
            row.append(pairs[:, 1] + first)
            first += len(floor)
    return np.concatenate(at), np.concatenate(row)
