"""A saved model that was changed in any way is refused by name, or gives the same numbers."""

from __future__ import annotations

import copy
import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load, save

from scget._errors import CheckpointError, InputError
from scget.model import GET, _get
from scget.model._files import sealed

WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"
FOREIGN = [
    b"",
    b"<!DOCTYPE html><html>404</html>",
    b"\x80\x04\x95.",
    b"PK\x03\x04" + bytes(60),
    b"{}",
    b"\x89HDF\r\n\x1a\n",
]
OTHER = [None, True, -1, 0, 1, 10**9, 2**64, 10**30, 0.5, float("nan"), "", "x", "1", [], [1], ["T0"], {}, {"a": 1}]


def flip(rng, content):
    at = int(rng.integers(len(content)))
    return content[:at] + bytes([content[at] ^ 1 << int(rng.integers(8))]) + content[at + 1 :]


def cut(rng, content):
    return content[: int(rng.integers(len(content)))]


def append(rng, content):
    return content + rng.bytes(int(rng.integers(1, 100)))


def zero(rng, content):
    start, end = sorted(int(x) for x in rng.integers(len(content) + 1, size=2))
    return content[:start] + bytes(end - start) + content[end:]


def drop(rng, content):
    start = int(rng.integers(len(content)))
    return content[:start] + content[start + int(rng.integers(1, 64)) :]


def foreign(rng, content):
    return FOREIGN[int(rng.integers(len(FOREIGN)))]


def places(value, path=()):
    """Where the entries of nested JSON are."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*path, key)
        yield from places(item, (*path, key))


def edited(rng, description):
    """A description with one entry replaced by another type or number, deleted, or added."""
    description = copy.deepcopy(description)
    options = list(places(description))
    *path, key = options[int(rng.integers(len(options)))]
    parent = description
    for step in path:
        parent = parent[step]
    how, old = rng.integers(4), parent[key]
    if how == 0:
        del parent[key]
    elif how == 1 and isinstance(parent, dict):
        parent["unknown"] = OTHER[int(rng.integers(len(OTHER)))]
    elif how == 2 and isinstance(old, int | float):
        parent[key] = old + 1
    else:
        parent[key] = OTHER[int(rng.integers(len(OTHER)))]
    return description


def edit(rng, content):
    return json.dumps(edited(rng, json.loads(content))).encode()


def reformat(rng, content):
    """Other white space and another order of entries: the same description."""
    entries = list(json.loads(content).items())
    text = json.dumps(dict([entries[i] for i in rng.permutation(len(entries))]))
    return (text if rng.integers(2) else text.replace(", ", " ,\n\t")).encode()


BYTES = [flip, cut, append, zero, drop, foreign]


@pytest.fixture
def files(saved):
    return {name: (saved / name).read_bytes() for name in (WEIGHTS, DESCRIPTION)}


@pytest.fixture
def other(trained, tmp_path):
    """Files of another model of the same sizes."""
    mdata = trained.adata.copy()
    GET.setup_mudata(mdata)
    model = GET(mdata, width=16, n_layers=1, n_heads=2, window=16, seed=1)
    model.pretrain(1, accelerator="cpu", enable_progress_bar=False)
    model.save(tmp_path / "other")
    return {name: (tmp_path / "other" / name).read_bytes() for name in (WEIGHTS, DESCRIPTION)}


def mutated(rng, files, other):
    """The two files with one change, and its name."""
    name = (WEIGHTS, DESCRIPTION)[int(rng.integers(2))]
    how = int(rng.integers(10))
    if how == 0:  # the file of the other name, or of another model
        source = files[DESCRIPTION if name == WEIGHTS else WEIGHTS] if rng.integers(2) else other[name]
        return "swap", files | {name: source}
    if how < 4:
        do = (edit, edit, reformat)[how - 1]
        return do.__name__, files | {DESCRIPTION: do(rng, files[DESCRIPTION])}
    do = BYTES[int(rng.integers(len(BYTES)))]
    return do.__name__, files | {name: do(rng, files[name])}


def put(folder, files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_thousand_changes(files, other, trained, toy, tmp_path):
    plain, counts = trained.predict(), {}
    for seed in range(1000):
        how, changed = mutated(np.random.default_rng(seed), files, other)
        folder = put(tmp_path / "model", changed)
        refused = counts.setdefault(how, [0, 0])
        try:
            model = GET.load(folder, accelerator="cpu")
        except CheckpointError as error:
            refused[0] += 1
            assert len(str(error)) > 40 and str(error).isprintable(), (seed, how, error)
            continue
        refused[1] += 1
        assert (
            how == "reformat" or changed == files or json.loads(changed[DESCRIPTION]) == json.loads(files[DESCRIPTION])
        )
        pd.testing.assert_frame_equal(model.predict(toy), plain, check_exact=True, obj=f"seed {seed}, {how}")
        assert model.holdout == trained.holdout and model.rules == trained.rules
    assert sum(map(sum, counts.values())) == 1000 and len(counts) == 9 and min(map(sum, counts.values())) > 30
    assert counts["reformat"][0] == 0 and counts["reformat"][1] > 50  # white space and order mean nothing
    assert sum(refused for refused, _ in counts.values()) > 850


def resealed(files, description, weights=None):
    """Files as one who knows the format could write them."""
    weights = files[WEIGHTS] if weights is None else weights
    description = sealed(description | {"weights_sha256": hashlib.sha256(weights).hexdigest()})
    return {WEIGHTS: weights, DESCRIPTION: json.dumps(description).encode()}


def test_what_is_sealed_anew_is_refused_or_works(files, toy, tmp_path):
    description, loaded = json.loads(files[DESCRIPTION]), 0
    size = int.from_bytes(files[WEIGHTS][:8], "little")
    header, tensors = files[WEIGHTS][8 : 8 + size], files[WEIGHTS][8 + size :]
    for seed in range(400):
        rng = np.random.default_rng(seed)
        if seed % 4:
            changed = resealed(files, edited(rng, description))
        else:
            text = edit(rng, header) if seed % 8 else flip(rng, header)
            changed = resealed(files, description, len(text).to_bytes(8, "little") + text + tensors)
        try:
            model = GET.load(put(tmp_path / "model", changed), toy if seed % 3 == 0 else None, accelerator="cpu")
            loaded += 1
            if seed % 5 == 0:
                assert model.predict(toy).loc["T5", "G0"] > 0
        except (CheckpointError, InputError):  # the second where it names modalities or layers that toy lacks
            continue
    assert 100 < loaded < 300


@pytest.mark.parametrize(
    ("part", "name", "message"),
    [
        ("init", "width", "tells of width and layers .1000000000, 1. and 5 motifs, the tensors are of .16, 1. and 7"),
        (
            "init",
            "n_layers",
            "tells of width and layers .16, 1000000000. and 5 motifs, the tensors are of .16, 1. and 7",
        ),
        (None, "n_motifs", "motifs is missing or of another kind"),
    ],
)
def test_absurd_sizes_are_refused_before_anything_is_built(files, tmp_path, monkeypatch, part, name, message):
    def built(config):
        raise AssertionError(f"a network was built: {config}")

    monkeypatch.setattr(_get, "ExpressionNet", built)
    description = json.loads(files[DESCRIPTION])
    (description if part is None else description[part])[name] = 10**9
    with pytest.raises(CheckpointError, match=message):
        GET.load(put(tmp_path / "model", resealed(files, description)))
    if name == "n_motifs":  # a pretrained or new model may have no names
        description |= {"motifs": None, "trained": False}
        with pytest.raises(CheckpointError, match="and 1000000000 motifs, the tensors are of .* 7 features"):
            GET.load(put(tmp_path / "model", resealed(files, description)))


@pytest.mark.parametrize("name", ["motif_m", "expression_g", "accessibility_p", "level", "deviation", "extra_e2"])
def test_scales_that_do_not_fit_are_refused(files, tmp_path, name):
    tensors = load(files[WEIGHTS])
    whole = tensors[f"scaling.{name}"]
    for wrong in (whole.new_ones(len(whole) + 1, *whole.shape[1:]), whole.long()):
        weights = save(tensors | {f"scaling.{name}": wrong})
        with pytest.raises(CheckpointError, match=f"do not fit each other or the motifs: '{name}'"):
            GET.load(put(tmp_path / "model", resealed(files, json.loads(files[DESCRIPTION]), weights)))


@pytest.mark.parametrize("depth", [900, 100_000])
def test_deep_nesting_is_refused(files, tmp_path, depth):
    text = files[DESCRIPTION].replace(b'"finetuned": {}', b'"finetuned": ' + b'{"a":' * depth + b"1" + b"}" * depth)
    with pytest.raises(CheckpointError, match="is not JSON|is not the one it names"):
        GET.load(put(tmp_path / "model", files | {DESCRIPTION: text}))


@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION])
def test_a_folder_or_nothing_in_place_of_a_file(files, tmp_path, name):
    folder = put(tmp_path / "model", files)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=rf"{name} cannot be read \(No such file.*is this a folder that save"):
        GET.load(folder)
    (folder / name).mkdir()
    with pytest.raises(CheckpointError, match=rf"{name} cannot be read"):
        GET.load(folder)


def test_a_file_in_place_of_the_folder(tmp_path):
    import torch

    torch.save({"state_dict": {"weight": torch.ones(3)}}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="cannot be read .Not a directory.*is this a folder that save"):
        GET.load(tmp_path / "model.pt")
