"""Colours that the colour-blind tell apart, and words shared by docstrings."""

from __future__ import annotations

import inspect
from itertools import combinations

import numpy as np
from matplotlib.colors import to_rgb

import scget
from scget.pl import _shared

# Machado, Oliveira and Fernandes 2009, severity 1, for linear RGB.
BLIND = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colour: str, seen_by: str | None) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as someone sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = linear if seen_by is None else np.clip(np.array(BLIND[seen_by]) @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    t = to_xyz @ linear / [0.95047, 1, 1.08883]
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colours: list[str]) -> float:
    """Least distance of two of them, by whomever they are seen."""
    return min(np.linalg.norm(lab(a, who) - lab(b, who)) for a, b in combinations(colours, 2) for who in (None, *BLIND))


def test_colours_stay_apart_for_the_colour_blind():
    tab10 = ["tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown"]
    assert nearest(list(_shared.GROUPS)) > 2 * nearest(tab10)
    assert nearest([_shared.UP, _shared.DOWN]) > 40  # a step of 2 is just seen


def test_groups_beyond_the_colours_get_other_markers():
    seen = [tuple(_shared.look(i).values()) for i in range(36)]
    assert len(set(seen)) == 36 and seen[0] == (_shared.BLUE, "o") and seen[6] == (_shared.BLUE, "s")


def test_shared_words_and_plain_signatures():
    for name in scget.pl.__all__:
        picture = getattr(scget.pl, name)
        assert "As in scanpy: axes to draw on" in picture.__doc__ and "None when shown, else" in picture.__doc__
        assert list(inspect.signature(picture).parameters)[-3:] == ["ax", "show", "return_fig"]
        assert picture.__module__.startswith("scget.pl._") and not hasattr(picture, "__wrapped__")
