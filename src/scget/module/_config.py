"""Shape of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

STRANDS = 2


@dataclass(frozen=True)
class GETConfig:
    """Shape of the network; the defaults are the published one.

    Parameters
    ----------
    n_motifs
        Motif clusters per region.
    n_channels
        Further features per region, beginning with accessibility.
    n_accessibility
        How many of these tell of accessibility and are hidden where it is to be predicted.
    width, n_layers, n_heads
        Embedding size, transformer blocks, attention heads per block.
    drop_path
        Probability of skipping the last block in training; earlier blocks rise to it linearly from 0.
    dropout
        Share of input features and of hidden units of each MLP dropped in training (published: 0).
    deviation
        Predict a level and a deviation from it per strand (4 outputs, no activation) in place of
        the published expression per strand (2 outputs, softplus).
    distance_bias
        Let attention fall with genomic distance, by a slope learned per head. Off: the published network.
    distance_sums
        Show each region, where expression is predicted, sums over its neighbours. Off: the published network.
    task
        What is predicted: expression, accessibility from motifs, or both by two heads.
    """

    n_motifs: int = 282
    n_channels: int = 1
    width: int = 768
    n_layers: int = 12
    n_heads: int = 12
    drop_path: float = 0.1
    dropout: float = 0.0
    deviation: bool = False
    distance_bias: bool = False
    distance_sums: bool = False
    n_accessibility: int = 1
    task: Literal["expression", "accessibility", "both"] = "expression"

    def __post_init__(self) -> None:
        if min(self.n_motifs + 1, self.n_channels + 1, self.width, self.n_layers, self.n_heads) < 1:
            raise ValueError(f"sizes must be positive, got {self}")
        if self.task not in ("expression", "accessibility", "both"):
            raise ValueError(f"task={self.task!r}: 'expression', 'accessibility' or 'both'")
        if self.width % self.n_heads:
            raise ValueError(f"width {self.width} is not a multiple of n_heads {self.n_heads}")
        if not (0 <= self.drop_path < 1 and 0 <= self.dropout < 1):
            raise ValueError(f"drop_path and dropout must be in [0, 1), got {self.drop_path} and {self.dropout}")

    @property
    def n_features(self) -> int:
        """Features of one region: motifs, then channels."""
        return self.n_motifs + self.n_channels

    @property
    def n_outputs(self) -> int:
        """Numbers predicted per region."""
        return STRANDS * (2 if self.deviation else 1)
