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

from ._distance import DistanceSums, closeness

LN_EPS = 1e-6
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


class _Trunk(nn.Module):
    """Regions to embeddings; what both tasks share."""

    def __init__(self, config: GETConfig) -> None:
        super().__init__()
        self.config = config
        self.region_embed = nn.ModuleDict({"embed": nn.Linear(config.n_features, config.width)})
        if config.distance_sums:
            self.region_embed["sums"] = DistanceSums(config.n_motifs, config.n_channels, config.width, config.dropout)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.encoder = _Encoder(config)

    def embed(self, tokens_brf: Tensor) -> Tensor:
        return self.region_embed["embed"](F.dropout(tokens_brf, self.config.dropout, self.training))

    def encode(
        self, h_brd: Tensor, center_br: Tensor | None, pad_br: Tensor | None, at_b: Tensor | None = None
    ) -> Tensor:
        """Run the blocks with a CLS token in front, and drop it again; ``at_b``: the one region wanted, (b, 1, d) then."""
        h_btd = torch.cat([self.cls_token.expand(len(h_brd), -1, -1), h_brd], dim=1)
        near = closeness(center_br) if self.config.distance_bias and center_br is not None else None
        hidden = None if pad_br is None else F.pad(pad_br, (1, 0), value=False)[:, None, None, :]
        h_btd = self.encoder(h_btd, near, hidden, None if at_b is None else at_b + 1)
        return h_btd[:, 1:] if at_b is None else h_btd


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

    def forward(
        self,
        tokens_brf: Tensor,
        center_br: Tensor | None = None,
        pad_br: Tensor | None = None,
        at_b: Tensor | None = None,
    ) -> Tensor:
        """Predict, per region, expression on strand + and - (and, after these, the deviations).

        Parameters
        ----------
        tokens_brf
            Scaled motif scores, then channels; zero where padded.
        center_br
            Region centres in bp (integers), used with ``distance_bias``.
        pad_br
            True where there is no region. None: all are regions.
        at_b
            Place of the one region wanted of each window; the last block is then computed for it alone. None: all.

        Returns
        -------
        (b, r, n_outputs), or (b, 1, n_outputs) with ``at_b``; float32 under autocast too. Without ``deviation``, log10(CPM + 1) after softplus.
        """
        out_bro = self.head_exp["head"](self.regions(tokens_brf, center_br, pad_br, at_b)).float()
        return out_bro if self.config.deviation else F.softplus(out_bro)

    def regions(
        self,
        tokens_brf: Tensor,
        center_br: Tensor | None = None,
        pad_br: Tensor | None = None,
        at_b: Tensor | None = None,
    ) -> Tensor:
        """Embed each region in its window, (b, r, d), or the one at ``at_b``: what expression is read from."""
        h_brd = self.embed(tokens_brf)
        if self.config.distance_sums and center_br is not None:
            h_brd = h_brd + self.region_embed["sums"](tokens_brf, center_br)
        return self.encode(h_brd, center_br, pad_br, at_b)

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

    def forward(self, h_btd: Tensor, near: Tensor | None, hidden: Tensor | None, at_b: Tensor | None = None) -> Tensor:
        *before, last = self.blocks
        for block in before:
            h_btd = block(h_btd, near, hidden)
        return self.norm(last(h_btd, near, hidden, at_b))


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

    def forward(self, h_btd: Tensor, near: Tensor | None, hidden: Tensor | None, at_b: Tensor | None = None) -> Tensor:
        """All tokens, or the one at ``at_b``, (b, 1, d)."""
        h_btd = _only(h_btd, at_b) + self._drop(self.attn(self.norm1(h_btd), near, hidden, at_b))
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

    def forward(self, h_btd: Tensor, near: Tensor | None, hidden: Tensor | None, at_b: Tensor | None = None) -> Tensor:
        d, weight = h_btd.shape[2], self.qkv.weight
        if at_b is None:
            bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
            q, k, v = (self._heads(x) for x in F.linear(h_btd, weight, bias).split(d, dim=2))
        else:
            near = None if near is None else _only(near[:, 0], at_b)[:, None]
            q = self._heads(F.linear(_only(h_btd, at_b), weight[:d], self.q_bias))
            bias = torch.cat([torch.zeros_like(self.v_bias), self.v_bias])
            k, v = (self._heads(x) for x in F.linear(h_btd, weight[d:], bias).split(d, dim=2))
        out_bhtd = F.scaled_dot_product_attention(q, k, v, attn_mask=self._mask(near, hidden, q.dtype))
        return self.proj(out_bhtd.transpose(1, 2).flatten(2))

    def _heads(self, x_btd: Tensor) -> Tensor:
        """(b, h, t, d / h)."""
        return x_btd.unflatten(2, (self.n_heads, -1)).transpose(1, 2)

    def _mask(self, near: Tensor | None, hidden: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        if near is None:
            return None if hidden is None else ~hidden
        bias = (F.softplus(self.distance_slope)[:, None, None] * near).to(dtype)
        return bias if hidden is None else bias.masked_fill(hidden, float("-inf"))


def _only(x_bt: Tensor, at_b: Tensor | None) -> Tensor:
    """What stands at ``at_b`` of each second axis, kept as one of length 1; None: everything."""
    return x_bt if at_b is None else x_bt[torch.arange(len(at_b), device=at_b.device), at_b][:, None]


def _init_weights(net: nn.Module) -> None:
    """Xavier uniform for every linear map, biases and tokens 0, as the published network starts."""
    for part in net.modules():
        if isinstance(part, nn.Linear):
            _init_linear(part)


def _init_linear(layer: nn.Linear) -> None:
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
