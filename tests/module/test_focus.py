"""One token of a window in many forms gives what whole windows give."""

from __future__ import annotations

import pytest
import torch

from scget.module import ExpressionNet, GETConfig, _lora
from scget.module._focus import focus_embeddings, focus_outputs


@pytest.fixture
def window():
    """A window of 20 regions, and five forms of one of them."""
    generator = torch.Generator().manual_seed(0)
    center_r = torch.sort(torch.randint(0, 100_000, (20,), generator=generator))[0]
    tokens_rf, focus_bf = (torch.rand(n, 9, generator=generator, dtype=torch.float64) for n in (20, 5))
    return tokens_rf, center_r, focus_bf


def make(**settings) -> ExpressionNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        sizes = {"n_motifs": 7, "n_channels": 2, "width": 16, "n_heads": 2}
        net = ExpressionNet(GETConfig(**sizes, **settings)).double().eval()
        for parameter in net.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)  # biases and CLS start at 0
    return net


@pytest.mark.parametrize("at", [0, 11, 19])
@pytest.mark.parametrize(
    "settings",
    [
        {"n_layers": 1},
        {"n_layers": 3, "deviation": True, "distance_bias": True, "distance_sums": True},
        {"n_layers": 2, "distance_bias": True},
        {"n_layers": 2, "deviation": True, "distance_sums": True},
    ],
)
def test_outputs_and_gradients_of_whole_windows(window, settings, at):
    tokens_rf, center_r, focus_bf = window
    net = make(**settings)
    tokens_brf = tokens_rf.repeat(len(focus_bf), 1, 1)
    tokens_brf[:, at] = focus_bf
    whole_bd = net.regions(tokens_brf, center_r.expand(5, -1))[:, at]
    one_bd = focus_embeddings(net, tokens_rf, center_r, focus_bf, at)
    torch.testing.assert_close(one_bd, whole_bd, rtol=1e-12, atol=1e-12)
    outputs = focus_outputs(net, tokens_rf, center_r, focus_bf, at)
    torch.testing.assert_close(outputs, net(tokens_brf, center_r.expand(5, -1))[:, at])
    assert len({*outputs[:, 0].tolist()}) == 5
    learnt = [parameter for name, parameter in net.named_parameters() if not name.startswith("head")]
    slopes = [torch.autograd.grad((out**2).sum(), learnt) for out in (whole_bd, one_bd)]
    for whole, one in zip(*slopes, strict=True):
        torch.testing.assert_close(one, whole, rtol=1e-9, atol=1e-9)


def test_adapters_are_seen(window):
    tokens_rf, center_r, focus_bf = window
    net = make(n_layers=2, distance_sums=True, deviation=True)
    before = focus_outputs(net, tokens_rf, center_r, focus_bf, 3)
    _lora.add(net, _lora.targets(net, ["embed", "encoder"]), rank=2, alpha=1.0)
    for adapter in _lora.adapters(net).values():
        adapter.lora_B.data += 0.1
    tokens_brf = tokens_rf.repeat(len(focus_bf), 1, 1)
    tokens_brf[:, 3] = focus_bf
    after = focus_outputs(net, tokens_rf, center_r, focus_bf, 3)
    torch.testing.assert_close(after, net(tokens_brf, center_r.expand(5, -1))[:, 3])
    assert (after - before).abs().max() > 1e-2
