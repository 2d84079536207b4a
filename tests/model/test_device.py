"""Which device is taken is said; one that is not there is refused."""

from __future__ import annotations

import logging

import pytest
import torch

import scget
from scget._errors import InputError
from scget.model import _run

SAID = "lightning.pytorch.utilities.rank_zero"


def test_auto_says_once_which_device_and_why(saved, caplog, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    _run._say_once.cache_clear()
    with caplog.at_level(logging.INFO, logger=SAID):
        scget.model.GET.load(saved)
        scget.model.GET.load(saved)
        scget.model.GET.load(saved, accelerator="cpu")
    said = [record.getMessage() for record in caplog.records if "accelerator=" in record.getMessage()]
    assert said == [f"accelerator='auto': cpu, no CUDA or MPS device was found (torch {torch.__version__})"]


def test_a_device_that_is_not_there_is_refused_before_any_work(saved, toy):
    with pytest.raises(InputError, match="accelerator='tpu', devices='auto' cannot be had: .* Use accelerator='auto'"):
        scget.model.GET.load(saved, accelerator="tpu")
    scget.model.GET.setup_mudata(toy)
    model = scget.model.GET(toy, width=16, n_layers=1, n_heads=2, window=16)
    with pytest.raises(InputError, match="accelerator='abacus', devices='auto' cannot be had"):
        model.train(1, accelerator="abacus")
    assert model.scaling is None
