"""What the network knows of genomic distance: attention that falls with it, and sums over neighbours.

Axis letters: b batch, r region in window, t token (CLS, then regions), m motif, c channel, v value summed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SCALES = (1_000, 5_000, 20_000, 100_000)  # bp
N_CODES = 8


class DistanceSums(nn.Module):
    """Sums over the window of accessibility, and of it times codes of the motifs, weighted by exp(-distance / scale).

    Attention takes means, and cannot tell one open neighbour from five.
    """

    def __init__(self, n_motifs: int, n_channels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.n_motifs, self.dropout = n_motifs, dropout
        self.code = nn.Linear(n_motifs, N_CODES, bias=False)
        self.embed = nn.Linear(len(SCALES) * n_channels * (1 + N_CODES), width)

    def forward(self, tokens_brf: Tensor, center_br: Tensor) -> Tensor:
        value_brv, distance_brr = self.values(tokens_brf), distances(center_br).to(tokens_brf.dtype)
        return self.of([(distance_brr * (-1 / scale)).exp_() @ value_brv for scale in SCALES])

    def values(self, tokens_brf: Tensor) -> Tensor:
        """What is summed, (b, r, v)."""
        motif_brm, channel_brc = tokens_brf[..., : self.n_motifs], tokens_brf[..., self.n_motifs :]
        coded = self.code(motif_brm)[..., None] * channel_brc[..., None, :]
        return torch.cat([channel_brc, coded.flatten(-2)], dim=-1)

    def of(self, sums: list[Tensor]) -> Tensor:
        """Embedding of the sums, of each scale one."""
        return self.embed(F.dropout(torch.asinh(torch.cat(sums, dim=-1)), self.dropout, self.training))


def closeness(center_br: Tensor) -> Tensor:
    """``-log(1 + distance / 1 kb)`` between tokens, (b, 1, t, t); 0 to and from CLS."""
    return F.pad(-torch.log1p(distances(center_br).float() / 1000), (1, 0, 1, 0))[:, None]


def distances(center_br: Tensor) -> Tensor:
    """Between all regions of a window, (b, r, r), bp; exact, as centres are integers."""
    return (center_br[:, :, None] - center_br[:, None, :]).abs()
