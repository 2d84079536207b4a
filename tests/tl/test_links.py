"""Links as written into the MuData, and for other programs."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest

import scget
from scget._errors import InputError

ASKED = {"genes": ["G7", "G0"], "rows": ["T5", "T1"]}


def test_links_are_written_and_survive_a_file(trained, toy, tmp_path):
    scget.tl.links(toy, trained, **ASKED, score="published", top=5)
    found = trained.links(**ASKED, score="published", top=5)
    toy.write_h5mu(tmp_path / "x.h5mu")
    for mdata in (toy, mudata.read_h5mu(tmp_path / "x.h5mu")):
        links = mdata.uns["get"]["links"]
        assert links.columns.tolist() == found.columns.tolist() and len(links) == 2 * 2 * 5
        for name in ("row", "gene", "region", "chrom"):
            assert links[name].astype(str).tolist() == found[name].tolist()
        np.testing.assert_allclose(links["score"], found["score"], rtol=1e-4)
        assert mdata.uns["get"]["linked"]["contact"] == "power_law"
    copied = scget.tl.links(toy, trained, genes=["G3"], rows=["T0"], copy=True, key_added="other")
    assert "other" not in toy.uns and set(copied.uns["other"]["links"]["gene"]) == {"G3"}


def test_bedpe_goes_to_the_nearest_tss(trained, toy, tmp_path):
    with pytest.raises(InputError, match="no links in mdata.uns"):
        scget.tl.to_bedpe(toy)
    scget.tl.links(toy, trained, **ASKED)
    table = scget.tl.to_bedpe(toy, tmp_path / "x.bedpe", row="T5")
    links = toy.uns["get"]["links"].query("row == 'T5'").reset_index(drop=True)
    assert table["name"].tolist() == links["gene"].astype(str).tolist()
    np.testing.assert_array_equal(table[["start1", "end1"]], links[["start", "end"]])
    sites = toy["atac"].uns["peak_annotation"]
    for line, region in zip(table.itertuples(), links["region"].astype(str), strict=True):
        mine = sites[sites["gene"] == line.name]
        center = (line.start1 + line.end1) // 2
        assert abs(line.start2 - center) == (mine["tss"] - center).abs().min()
        assert region == f"{line.chrom1}:{line.start1}-{line.end1}" and line.end2 == line.start2 + 1
        assert line.strand2 in set(mine["strand"])
    written = pd.read_csv(tmp_path / "x.bedpe", sep="\t", header=None)
    assert written.shape == (len(table), 11)
    np.testing.assert_allclose(written[10], table["signed"])
    everything = scget.tl.to_bedpe(toy, min_score=0.2)
    assert set(everything["name"].str.split("|").str[1]) <= {"T5", "T1"} and everything["score"].min() >= 0.2
    with pytest.raises(InputError, match="no links of row 'T0'; there are those of 'T5', 'T1'"):
        scget.tl.to_bedpe(toy, row="T0")
    with pytest.raises(InputError, match="no link has a score of at least 2"):
        scget.tl.to_bedpe(toy, min_score=2)


def test_peak_annotation_is_muons_and_leaves_the_promoters(trained, toy):
    before = toy["atac"].uns["peak_annotation"].copy()
    toy["atac"].var_names = [name.replace(":", "-") for name in toy["atac"].var_names]
    toy.update()
    scget.tl.links(toy, trained, **ASKED)
    scget.tl.to_peak_annotation(toy, row="T5", min_score=0.01)
    table = toy["atac"].uns["atac"]["peak_annotation"]
    pd.testing.assert_frame_equal(toy["atac"].uns["peak_annotation"], before)
    assert table["peak"].isin(toy["atac"].var_names).all() and set(table.index) == {"G7", "G0"}
    promoters = table[table["peak_type"] == "promoter"]["peak"].str.replace("-", ":", n=1)
    expected = set(before[before["gene"].isin(["G7", "G0"])]["region"])
    assert set(promoters) <= expected and set(table["peak_type"]) == {"promoter", "distal"}
    toy["atac"].uns["atac"] = "mine"
    with pytest.raises(InputError, match="holds a str; muon keeps a dictionary there"):
        scget.tl.to_peak_annotation(toy, row="T5")


def test_links_of_another_model_are_forgotten_and_cells_get_none(trained, toy):
    scget.tl.links(toy, trained, **ASKED)
    cells = toy.copy()
    scget.tl.predict(toy, trained)
    scget.tl.broadcast(cells, toy, groupby="cell_type", key_added="get")
    assert not {"links", "linked"} & set(cells.uns["get"]) and "links" in toy.uns["get"]
    scget.model.GET.setup_mudata(toy)
    other = scget.model.GET(toy, width=8, n_layers=1, n_heads=2, window=16)
    other.train(1, enable_progress_bar=False, accelerator="cpu")
    scget.tl.predict(toy, other)
    assert not {"links", "linked"} & set(toy.uns["get"])
