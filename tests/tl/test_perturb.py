"""What perturb and screen take, give and refuse."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

import scget
from scget._errors import InputError
from scget.tl import Change

ROUNDING = 1e-6  # on some machines float32 rounds otherwise at another place in a batch


@pytest.fixture
def with_tfs(toy):
    """The toy data with factors: GATA1 binds clusters A and C, SPI1 binds C alone."""
    lines = [("A", "m1", "GATA1"), ("A", "m2", "TAL1"), ("C", "m3", "GATA1"), ("C", "m4", "SPI1")]
    toy["atac"].uns["motif_tfs"] = pd.DataFrame(lines, columns=["cluster", "motif", "tf"], index=list("0123"))
    return toy


def test_a_factor_is_all_clusters_that_hold_it(trained, with_tfs):
    changes = {
        "tf": Change("knockout", tfs="Gata1"),
        "clusters": Change("knockout", motifs=["C", "A"]),
        "one": Change("dose", tfs=["SPI1"], value=0.5),
        "one cluster": Change("dose", motifs="C", value=0.5),
        "either": Change("knockout", motifs="A", tfs="SPI1"),
    }
    found = scget.tl.perturb(with_tfs, trained, changes, rows=["T5"])
    tf, clusters, one, cluster, either = found.X
    for same, other in ((tf, clusters), (one, cluster), (either, tf)):
        np.testing.assert_allclose(same, other, atol=ROUNDING)
    assert np.abs(tf).max() > 1e-3 and not np.allclose(one, tf, atol=1e-4)


def test_a_table_of_changes_is_the_same_as_a_dictionary(trained, toy):
    names = toy["atac"].var_names
    changes = {
        "two": [Change("delete", names[[20, 21]]), Change("dose", motifs=["A"], value=2)],
        "one": Change("knockout", names[30], motifs="C"),
    }
    table = pd.DataFrame(
        {
            "perturbation": ["two", "two", "one"],
            "kind": ["delete", "dose", "knockout"],
            "regions": [names[[20, 21]].tolist(), None, names[30]],
            "motifs": [np.nan, "A", "C"],
            "value": [np.nan, 2, np.nan],
        }
    )
    one, other = (scget.tl.perturb(toy, trained, some, rows=["T5"]) for some in (changes, table))
    pd.testing.assert_frame_equal(one.obs, other.obs)
    np.testing.assert_array_equal(one.X, other.X)
    assert one.obs["kind"].tolist() == ["delete + dose", "knockout"] and one.obs["n_regions"].tolist() == [120, 1]
    assert one.obs["target"].tolist() == [f"{names[20]}, {names[21]}; A", f"C in {names[30]}"]


def test_intervals_take_the_regions_they_overlap(trained, toy):
    """Half-open: an interval that ends where a region begins does not touch it."""
    var = toy["atac"].var
    on = var[var["chrom"] == "chr2"]
    begin, end = int(on["start"].iloc[10]), int(on["start"].iloc[14])
    wide = Change("inactivate", f"chr2:{begin + 499}-{end}")
    changes = {
        "interval": wide,
        "names": Change("inactivate", on.index[10:14]),
        "more": Change("inactivate", f"chr2-{begin}-{end + 1}"),
    }
    found = scget.tl.perturb(toy, trained, changes, rows=["T0"])
    np.testing.assert_allclose(found["interval in T0"].X, found["names in T0"].X, atol=ROUNDING)
    assert found.obs["n_regions"].tolist() == [4, 4, 5]


def test_a_name_is_that_region_alone_where_others_overlap_it(trained, toy):
    """The region after the 20th, on the same chromosome, is moved so that the two overlap."""
    from scget.model._edits import regions_named

    table = trained.table(toy)
    start = table.regions.start.copy()
    start[21] = table.regions.end[20] - 100
    from dataclasses import replace

    moved = replace(table, regions=type(table.regions)(table.regions.chrom, start, table.regions.end))
    name = str(moved.regions.names[20])
    assert regions_named(moved, [name]).tolist() == [20]
    chrom, span = name.split(":")
    low, high = map(int, span.split("-"))
    assert regions_named(moved, [f"{chrom}:{low}-{high + 1}"]).tolist() == [20, 21]


def test_the_result_is_an_anndata_like_any_other(trained, toy, tmp_path):
    import scanpy as sc

    changes = {name: Change("knockout", motifs=name) for name in ("A", "B/1", "C", "D", "E")}
    before = toy.copy()
    found = scget.tl.perturb(toy, trained, changes)
    assert found.shape == (30, 50) and found.obs_names.is_unique and np.isfinite(found.X).all()
    np.testing.assert_allclose(found.X, found.layers["predicted"] - found.layers["reference"], atol=1e-6)
    assert found.obs["perturbation"].cat.categories.tolist() == list(changes)
    assert toy.uns.keys() == before.uns.keys() and not toy["rna"].layers
    record = found.uns["get"]
    assert record["holdout_obs"] == ["T5"] and record["unit"] == "log10(CPM + 1)" and len(record["model"]) == 16
    found.write_h5ad(tmp_path / "found.h5ad")
    again = anndata.read_h5ad(tmp_path / "found.h5ad")
    pd.testing.assert_frame_equal(again.obs, found.obs)
    np.testing.assert_array_equal(again.X, found.X)
    sc.pp.pca(found, n_comps=3)
    table = sc.get.obs_df(found, ["perturbation", "G3"])
    by_hand = pd.DataFrame(found.X[:, found.var_names.get_loc("G3")]).groupby(np.repeat(list(changes), 6)).mean()[0]
    pd.testing.assert_series_equal(
        table.groupby("perturbation", observed=True)["G3"].mean(), by_hand, check_names=False, check_index=False
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cut", "chr1:1-2"), "no kind of change 'cut'; there are 'delete', 'inactivate'"),
        (("delete",), "'delete' changes whole regions: name regions"),
        (("delete", "chr1:1-2", "A"), "'delete' changes whole regions.*no motifs"),
        (("knockout", "chr1:1-2"), "'knockout' changes motif scores: name motifs"),
        (("dose", None, "A"), "'dose' needs value"),
        (("dose", None, "A", None, -1), "value=-1 of 'dose': a number of at least 0"),
        (("open", "chr1:1-2", None, None, np.inf), "value=inf of 'open'"),
        (("dose", None, "A", None, "2"), "value='2' of 'dose'"),
        (("knockout", None, "A", None, 2), "value=2 says nothing for 'knockout'"),
        (("delete", []), "regions is an empty list"),
        (("knockout", None, [3]), r"motifs=\[3\]: one text or a list of texts"),
    ],
)
def test_a_change_that_makes_no_sense(arguments, message):
    with pytest.raises(InputError, match=message):
        Change(*arguments)


def test_changes_that_the_data_do_not_have(trained, with_tfs, toy):
    out = Change("knockout", motifs="A")
    for changes, message in (
        ({}, "there is no perturbation in changes"),
        ([out], "changes is a list; a dictionary is needed"),
        ({"x": []}, "perturbation 'x': a scget.tl.Change or a list"),
        ({"x": "knockout"}, "perturbation 'x': a scget.tl.Change or a list"),
        ({1: out, "1": out}, "two perturbations have the same name"),
        ({"x": Change("knockout", motifs="Z")}, "no motif 'Z'; there are"),
        ({"x": Change("knockout", tfs="SPI2")}, "no TF 'SPI2'.*Did you mean 'SPI1'"),
        ({"x": Change("delete", "chr7:1-2")}, "'chr7:1-2': no region is on chromosome 'chr7'; there are 'chr1'"),
        ({"x": Change("delete", "1:1-2")}, "no region is on chromosome '1'.*rename_chromosomes"),
        ({"x": Change("delete", "chr1:900000-900001")}, "overlaps none of the 120 regions"),
        ({"x": Change("delete", "chr1:90-9")}, "'chr1:90-9' has no length"),
        ({"x": Change("delete", "enhancer")}, "cannot read 1 of 1 region names, first 'enhancer'"),
        (pd.DataFrame({"perturbation": ["x"], "region": ["chr1:1-2"]}), "missing columns 'kind', unknown 'region'"),
        (pd.DataFrame({"perturbation": ["x"], "kind": [None]}), "a line without perturbation or kind"),
        (pd.DataFrame({"perturbation": [], "kind": []}), "there is no perturbation in changes"),
    ):
        with pytest.raises(InputError, match=message):
            scget.tl.perturb(with_tfs, trained, changes)
    for wrong, message in (
        ({"genes": ["zz"]}, "no gene 'zz'"),
        ({"genes": ["G50"]}, "1 genes have no promoter region, first 'G50'"),
        ({"rows": ["zz"]}, "no row 'zz'"),
        ({"rows": []}, "0 rows and batch_size=64"),
        ({"batch_size": 0}, "batch_size=0"),
    ):
        with pytest.raises(InputError, match=message):
            scget.tl.perturb(toy, trained, {"x": out}, **wrong)
        with pytest.raises(InputError, match=message):
            scget.tl.screen(toy, trained, **wrong)
    for wrong, message in (({"kind": "dose"}, "kind='dose': a region can be"), ({"reach": -1}, "reach=-1")):
        with pytest.raises(InputError, match=message):
            scget.tl.screen(toy, trained, **wrong)
    del with_tfs["atac"].uns["motif_tfs"]
    with pytest.raises(InputError, match="tfs='SPI1': the data do not say which motifs are whose"):
        scget.tl.perturb(with_tfs, trained, {"x": Change("knockout", tfs="SPI1")})
