"""The whole network of GET, read top-down: settings, tasks, encoder, block, attention.

Source: Fu et al., "A foundation model of transcription across human cell types", Nature 2025,
doi 10.1038/s41586-024-08391-z. Parameter names are those of the published checkpoints.

Axis letters: b batch, r region in window, f feature, d embedding, h head, o output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LN_EPS = 1e-6
STRANDS = 2
SCALES = (1_000, 5_000, 20_000, 100_000)  # bp
N_CODES = 8


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


class _Trunk(nn.Module):
    """Regions to embeddings; what both tasks share."""

    def __init__(self, config: GETConfig) -> None:
        super().__init__()
        self.config = config
        self.region_embed = nn.ModuleDict({"embed": nn.Linear(config.n_features, config.width)})
        if config.distance_sums:
            self.region_embed["sums"] = _DistanceSums(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.encoder = _Encoder(config)

    def embed(self, tokens_brf: Tensor) -> Tensor:
        return self.region_embed["embed"](F.dropout(tokens_brf, self.config.dropout, self.training))

    def encode(self, h_brd: Tensor, center_br: Tensor | None, pad_br: Tensor | None) -> Tensor:
        """Run the blocks with a CLS token in front, and drop it again."""
        h_btd = torch.cat([self.cls_token.expand(len(h_brd), -1, -1), h_brd], dim=1)
        closeness = _closeness(center_br) if self.config.distance_bias and center_br is not None else None
        hidden = None if pad_br is None else F.pad(pad_br, (1, 0), value=False)[:, None, None, :]
        return self.encoder(h_btd, closeness, hidden)[:, 1:]


class ExpressionNet(_Trunk):
    """Expression at each region and strand of a window, accessibility of each region, or both, as ``config.task`` says.

    At the published size 85,267,202 parameters for expression, 85,266,433 for accessibility.
    """

    def __init__(self, config: GETConfig) -> None:
        super().__init__(config)
        if config.task != "accessibility":
            self.head_exp = nn.ModuleDict({"head": nn.Linear(config.width, config.n_outputs)})
        if config.task != "expression":
            self.head_atac = nn.ModuleDict({"head": nn.Linear(config.width, 1)})
        _init_weights(self)

    def forward(self, tokens_brf: Tensor, center_br: Tensor | None = None, pad_br: Tensor | None = None) -> Tensor:
        """Predict, per region, expression on strand + and - (and, after these, the deviations).

        Parameters
        ----------
        tokens_brf
            Scaled motif scores, then channels; zero where padded.
        center_br
            Region centres in bp (integers), used with ``distance_bias``.
        pad_br
            True where there is no region. None: all are regions.

        Returns
        -------
        (b, r, n_outputs), float32 under autocast too. Without ``deviation``, log10(CPM + 1) after softplus.
        """
        out_bro = self.head_exp["head"](self.regions(tokens_brf, center_br, pad_br)).float()
        return out_bro if self.config.deviation else F.softplus(out_bro)

    def regions(self, tokens_brf: Tensor, center_br: Tensor | None = None, pad_br: Tensor | None = None) -> Tensor:
        """Embed each region in its window, (b, r, d): what expression is read from."""
        h_brd = self.embed(tokens_brf)
        if self.config.distance_sums and center_br is not None:
            h_brd = h_brd + self.region_embed["sums"](tokens_brf, center_br)
        return self.encode(h_brd, center_br, pad_br)

    def accessibility(
        self, tokens_brf: Tensor, center_br: Tensor | None = None, pad_br: Tensor | None = None
    ) -> Tensor:
        """Predict the first channel of each region, (b, r) float32, from all but the accessibility of the window.

        In its place stands 1 for each region, as published, and 0 for its fold.
        """
        first, n = self.config.n_motifs, self.config.n_accessibility
        constant_brc = torch.zeros_like(tokens_brf[..., first : first + n])
        constant_brc[..., 0] = 1
        blind_brf = torch.cat([tokens_brf[..., :first], constant_brc, tokens_brf[..., first + n :]], dim=-1)
        h_brd = self.encode(self.embed(blind_brf), center_br, pad_br)
        return F.softplus(self.head_atac["head"](h_brd)[..., 0].float())


class _DistanceSums(nn.Module):
    """Sums over the window of accessibility, and of it times codes of the motifs, weighted by exp(-distance / scale).

    Attention takes means, and cannot tell one open neighbour from five.
    """

    def __init__(self, config: GETConfig) -> None:
        super().__init__()
        self.n_motifs, self.dropout = config.n_motifs, config.dropout
        self.code = nn.Linear(config.n_motifs, N_CODES, bias=False)
        self.embed = nn.Linear(len(SCALES) * config.n_channels * (1 + N_CODES), config.width)

    def forward(self, tokens_brf: Tensor, center_br: Tensor) -> Tensor:
        value_brv, distance_brr = self.values(tokens_brf), _distance(center_br).to(tokens_brf.dtype)
        return self.of([torch.exp(-distance_brr / scale) @ value_brv for scale in SCALES])

    def values(self, tokens_brf: Tensor) -> Tensor:
        """What is summed, (b, r, v)."""
        motif_brm, channel_brc = tokens_brf[..., : self.n_motifs], tokens_brf[..., self.n_motifs :]
        coded = self.code(motif_brm)[..., None] * channel_brc[..., None, :]
        return torch.cat([channel_brc, coded.flatten(-2)], dim=-1)

    def of(self, sums: list[Tensor]) -> Tensor:
        """Embedding of the sums, of each scale one."""
        return self.embed(F.dropout(torch.asinh(torch.cat(sums, dim=-1)), self.dropout, self.training))


class MaskedNet(nn.Module):
    """Features of hidden regions from those around them (85,484,059 parameters at the published size).

    It trains the trunk of ``net`` in place; its own parts are the mask token and the head.
    """

    def __init__(self, net: _Trunk) -> None:
        super().__init__()
        config = net.config
        self.trunk = net
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.head_mask = nn.Linear(config.width, config.n_features)
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        _init_linear(self.head_mask)

    def forward(
        self, tokens_brf: Tensor, mask_br: Tensor, center_br: Tensor | None = None, pad_br: Tensor | None = None
    ) -> Tensor:
        """Predict the features of the regions where ``mask_br`` is True: (number masked, f), in window order."""
        h_brd = torch.where(mask_br[..., None], self.mask_token.to(tokens_brf.dtype), self.trunk.embed(tokens_brf))
        return self.head_mask(self.trunk.encode(h_brd, center_br, pad_br)[mask_br]).float()


class _Encoder(nn.Module):
    def __init__(self, config: GETConfig) -> None:
        super().__init__()
        rates = [config.drop_path * i / max(config.n_layers - 1, 1) for i in range(config.n_layers)]
        self.blocks = nn.ModuleList(_Block(config, rate) for rate in rates)
        self.norm = nn.LayerNorm(config.width, eps=LN_EPS)

    def forward(self, h_btd: Tensor, closeness: Tensor | None, hidden: Tensor | None) -> Tensor:
        for block in self.blocks:
            h_btd = block(h_btd, closeness, hidden)
        return self.norm(h_btd)


class _Block(nn.Module):
    def __init__(self, config: GETConfig, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=LN_EPS)
        self.attn = _Attention(config)
        self.norm2 = nn.LayerNorm(config.width, eps=LN_EPS)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(config.width, 4 * config.width), "fc2": nn.Linear(4 * config.width, config.width)}
        )
        self.drop_path, self.dropout = drop_path, config.dropout

    def forward(self, h_btd: Tensor, closeness: Tensor | None, hidden: Tensor | None) -> Tensor:
        h_btd = h_btd + self._drop(self.attn(self.norm1(h_btd), closeness, hidden))
        hidden_bte = F.dropout(F.gelu(self.mlp["fc1"](self.norm2(h_btd))), self.dropout, self.training)
        return h_btd + self._drop(self.mlp["fc2"](hidden_bte))

    def _drop(self, branch_btd: Tensor) -> Tensor:
        """Stochastic depth: leave the branch out for some samples, scale the rest to the same mean."""
        if not self.training or self.drop_path == 0:
            return branch_btd
        keep = 1 - self.drop_path
        return branch_btd * branch_btd.new_empty(len(branch_btd), 1, 1).bernoulli_(keep) / keep


class _Attention(nn.Module):
    def __init__(self, config: GETConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(config.width))
        self.v_bias = nn.Parameter(torch.zeros(config.width))  # keys have no bias: softmax would cancel it
        self.proj = nn.Linear(config.width, config.width)
        if config.distance_bias:
            slopes = torch.logspace(-2, 0.5, config.n_heads)  # from nearly everywhere to the neighbours
            self.distance_slope = nn.Parameter(slopes.expm1().log())  # softplus gives the slope back

    def forward(self, h_btd: Tensor, closeness: Tensor | None, hidden: Tensor | None) -> Tensor:
        b, t, d = h_btd.shape
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = F.linear(h_btd, self.qkv.weight, bias).view(b, t, 3, self.n_heads, d // self.n_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (b, h, t, d / h)
        out_bhtd = F.scaled_dot_product_attention(q, k, v, attn_mask=self._mask(closeness, hidden, q.dtype))
        return self.proj(out_bhtd.transpose(1, 2).reshape(b, t, d))

    def _mask(self, closeness: Tensor | None, hidden: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        if closeness is None:
            return None if hidden is None else ~hidden
        bias = (F.softplus(self.distance_slope)[:, None, None] * closeness).to(dtype)
        return bias if hidden is None else bias.masked_fill(hidden, float("-inf"))


def _closeness(center_br: Tensor) -> Tensor:
    """``-log(1 + distance / 1 kb)`` between tokens, (b, 1, t, t); 0 to and from CLS."""
    return F.pad(-torch.log1p(_distance(center_br).float() / 1000), (1, 0, 1, 0))[:, None]


def _distance(center_br: Tensor) -> Tensor:
    """Between all regions of a window, (b, r, r), bp; exact, as centres are integers."""
    return (center_br[:, :, None] - center_br[:, None, :]).abs()


def _init_weights(net: nn.Module) -> None:
    """Xavier uniform for every linear map, biases and tokens 0, as the published network starts."""
    for part in net.modules():
        if isinstance(part, nn.Linear):
            _init_linear(part)


def _init_linear(layer: nn.Linear) -> None:
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
