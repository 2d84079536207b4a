"""The whole network of GET, read top-down: tasks, encoder, block, attention.

Source: Fu et al., "A foundation model of transcription across human cell types", Nature 2025,
doi 10.1038/s41586-024-08391-z. Parameter names are those of the published checkpoints.

Axis letters: b batch, r region in window, f feature, d embedding, h head, o output.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._config import GETConfig
from ._distance import DistanceSums, closeness

LN_EPS = 1e-6


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
        h_btd = self.encoder(*self._tokens(h_brd, center_br, pad_br), None if at_b is None else at_b + 1)
        return h_btd[:, 1:] if at_b is None else h_btd

    def _tokens(
        self, h_brd: Tensor, center_br: Tensor | None, pad_br: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """CLS and regions, how near they are to each other, and which are hidden."""
        h_btd = torch.cat([self.cls_token.expand(len(h_brd), -1, -1), h_brd], dim=1)
        near = closeness(center_br) if self.config.distance_bias and center_br is not None else None
        return h_btd, near, None if pad_br is None else F.pad(pad_br, (1, 0), value=False)[:, None, None, :]


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
        return self._expression(self.regions(tokens_brf, center_br, pad_br, at_b))

    def reader(
        self, tokens_brf: Tensor, center_br: Tensor | None = None, pad_br: Tensor | None = None
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """As :meth:`forward` of many regions of each window, all blocks but the last computed once.

        Returns
        -------
        A function of windows (n,) and places in them (n,): outputs there, (n, 1, n_outputs).
        """
        *before, last = self.encoder.blocks
        h_btd, near, hidden = self._tokens(self._summed(tokens_brf, center_br), center_br, pad_br)
        for block in before:
            h_btd = block(h_btd, near, hidden)

        def read(window_n: Tensor, at_n: Tensor) -> Tensor:
            asked = (None if x is None else x[window_n] for x in (h_btd, near, hidden))
            return self._expression(self.encoder.norm(last(*asked, at_n + 1)))

        return read

    def regions(
        self,
        tokens_brf: Tensor,
        center_br: Tensor | None = None,
        pad_br: Tensor | None = None,
        at_b: Tensor | None = None,
    ) -> Tensor:
        """Embed each region in its window, (b, r, d), or the one at ``at_b``: what expression is read from."""
        return self.encode(self._summed(tokens_brf, center_br), center_br, pad_br, at_b)

    def _summed(self, tokens_brf: Tensor, center_br: Tensor | None) -> Tensor:
        """Embedding of each region with the sums over its neighbours."""
        h_brd = self.embed(tokens_brf)
        if self.config.distance_sums and center_br is not None:
            h_brd = h_brd + self.region_embed["sums"](tokens_brf, center_br)
        return h_brd

    def _expression(self, h_brd: Tensor) -> Tensor:
        out_bro = self.head_exp["head"](h_brd).float()
        return out_bro if self.config.deviation else F.softplus(out_bro)

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
