"""Adapters: nothing at first, as many numbers as said, the same after merging, and the base beneath untouched."""

from __future__ import annotations

import pytest
import torch

from scget.module import ExpressionNet, GETConfig, _lora

LINEAR = {  # (in, out) of each linear map by hand, at width 8, 5 + 2 features
    "region_embed.embed": (7, 8),
    **{f"encoder.blocks.{i}.attn.qkv": (8, 24) for i in (0, 1)},
    **{f"encoder.blocks.{i}.attn.proj": (8, 8) for i in (0, 1)},
    **{f"encoder.blocks.{i}.mlp.fc1": (8, 32) for i in (0, 1)},
    **{f"encoder.blocks.{i}.mlp.fc2": (32, 8) for i in (0, 1)},
}
HEAD = 8 * 4 + 4


@pytest.fixture
def net():
    torch.manual_seed(0)
    return ExpressionNet(GETConfig(5, 2, 8, 2, 2, deviation=True, distance_bias=True)).eval()


@pytest.fixture
def window():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(3, 9, 7, generator=generator), torch.arange(27).view(3, 9) * 1000


@torch.no_grad()  # with gradients, another kernel of attention is chosen where the slopes learn
def outputs(net, window):
    return net(*window)


def moved(net, names):
    """Adapters with numbers in B, as after training."""
    _lora.add(net, names, rank=3, alpha=2.0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for adapter in _lora.adapters(net).values():
            adapter.lora_B.copy_(0.2 * torch.randn(adapter.lora_B.shape, generator=generator))


@pytest.mark.parametrize(
    ("layers", "marks"),
    [
        (["embed", "encoder"], [""]),
        (["embed"], ["embed"]),
        (["encoder"], ["encoder"]),
        (["attention"], ["attn"]),
        (["embed", "mlp"], ["embed", "mlp"]),
    ],
)
def test_count_of_what_learns(net, layers, marks):
    names = _lora.targets(net, layers)
    chosen = {n: size for n, size in LINEAR.items() if any(mark in n for mark in marks)}
    assert sorted(names) == sorted(chosen)
    before = sum(p.numel() for p in net.parameters())
    _lora.add(net, names, rank=3, alpha=1.0)
    learns = sum(p.numel() for p in net.parameters() if p.requires_grad)
    assert learns == 3 * sum(i + o for i, o in chosen.values()) + HEAD
    assert sum(p.numel() for p in net.parameters()) == before + learns - HEAD
    assert {n for n, p in net.named_parameters() if p.requires_grad and "lora" not in n} == {
        "head_exp.head.weight",
        "head_exp.head.bias",
    }


def test_count_and_names_at_the_published_size():
    with torch.device("meta"):
        net = ExpressionNet(GETConfig())
        names = _lora.targets(net, ["embed", "encoder"])
        _lora.add(net, names, rank=8, alpha=1.0)
    by_hand = 8 * (283 + 768) + 12 * 8 * ((768 + 2304) + (768 + 768) + 2 * (768 + 3072))
    assert sum(a.lora_A.numel() + a.lora_B.numel() for a in _lora.adapters(net).values()) == by_hand == 1_188_056
    assert sum(p.numel() for p in net.parameters()) == 85_267_202 + by_hand
    state = net.state_dict()
    one = "encoder.blocks.11.attn.qkv.parametrizations.weight."
    assert state[one + "0.lora_A"].shape == (8, 768) and state[one + "0.lora_B"].shape == (2304, 8)
    assert state[one + "original"].shape == (2304, 768) and len(names) == 49


def test_nothing_changes_at_first_and_all_does_later(net, window):
    plain = outputs(net, window)
    _lora.add(net, _lora.targets(net, ["embed", "encoder"]), rank=3, alpha=1.0)
    assert torch.equal(outputs(net, window), plain)
    for name, adapter in _lora.adapters(net).items():  # each one acts
        with torch.no_grad():
            adapter.lora_B.normal_()
            assert (outputs(net, window) - plain).abs().max() > 1e-4, name
            adapter.lora_B.zero_()


def test_adapted_weight_by_hand(net):
    weight = net.encoder.blocks[0].mlp["fc1"].weight.detach().clone()
    moved(net, ["encoder.blocks.0.mlp.fc1"])
    linear = net.encoder.blocks[0].mlp["fc1"]
    a, b = (_lora.adapters(net)["encoder.blocks.0.mlp.fc1"].get_parameter(n).double() for n in ("lora_A", "lora_B"))
    expected = weight.double() + 2 / 3 * torch.einsum("or,ri->oi", b, a)
    torch.testing.assert_close(linear.weight.double(), expected, rtol=1e-5, atol=1e-6)


def test_merging_keeps_outputs_and_plain_names(net, window):
    names = list(net.state_dict())
    moved(net, _lora.targets(net, ["embed", "encoder"]))
    adapted, merged = outputs(net, window), _lora.merged_state(net)
    other = ExpressionNet(net.config).eval()
    other.load_state_dict(merged, strict=True)
    assert (outputs(other, window) - adapted).abs().max() < 1e-6
    _lora.take_off(net, merge=True)
    assert (outputs(net, window) - adapted).abs().max() < 1e-6
    assert all(
        torch.equal(tensor, merged[name]) for name, tensor in net.state_dict().items()
    )  # so one digest names both
    assert set(net.state_dict()) == set(names) and not _lora.adapters(net)
    assert all(p.requires_grad for p in net.parameters())


def test_a_step_moves_adapters_and_head_alone_and_dropping_them_gives_the_base_back(net, window):
    start = {n: t.clone() for n, t in net.state_dict().items()}
    plain = outputs(net, window)
    moved(net, _lora.targets(net, ["embed", "encoder"]))
    before = {n: t.clone() for n, t in net.state_dict().items()}
    optimiser = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(*window).square().sum().backward()
    optimiser.step()
    changed = {n for n, t in net.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == set(_lora.learnt_state(net)) and len(changed) == 2 * len(LINEAR) + 2
    for name, tensor in _lora.base_state(net).items():
        assert torch.equal(tensor, start[name]), name
    _lora.take_off(net, merge=False)
    net.load_state_dict({n: t for n, t in start.items() if n.startswith("head")}, strict=False)
    assert torch.equal(outputs(net, window), plain)


def test_expected_shapes_are_those_there(net):
    names = _lora.targets(net, ["attention"])
    expected = _lora.learnt_shapes(net, names, 3)
    _lora.add(net, names, rank=3, alpha=1.0)
    assert expected == {n: tuple(t.shape) for n, t in _lora.learnt_state(net).items()}
    assert expected == _lora.learnt_shapes(net, names, 3)  # with adapters on as well
