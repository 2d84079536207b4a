"""Pictures show the numbers they are made of."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import scget
from scget._errors import InputError, ScgetWarning

mpl.use("agg")


@pytest.fixture
def answered(trained, toy):
    scget.tl.predict(toy, trained)
    scget.tl.attribute(toy, trained, genes=["G7"], rows=["T5"], top=1000)
    yield toy
    mpl.pyplot.close("all")


def test_predicted_shows_genes_and_their_correlation(answered, trained):
    counts = answered["rna"].X.toarray().astype(float)
    observed = np.log10(1e6 * counts / counts.sum(1, keepdims=True) + 1)
    predicted = answered["rna"].layers["get"]
    able = np.isfinite(predicted[5])
    pairs = answered["atac"].uns["peak_annotation"]
    unseen = pairs[pairs["region"].str.startswith("chr10:")]["gene"].unique()
    seen = pairs[~pairs["region"].str.startswith("chr10:")]["gene"].unique()
    apart = np.isin(answered["rna"].var_names, np.setdiff1d(unseen, seen))
    ax = scget.pl.predicted(answered, "T5", show=False)
    both = np.column_stack([observed[5], predicted[5]])
    for points, genes in zip(ax.collections, (able & ~apart, able & apart), strict=True):
        np.testing.assert_allclose(points.get_offsets(), both[genes], rtol=1e-5)
    r, r_apart = (np.corrcoef(both[genes].T)[0, 1] for genes in (able & ~apart, able & apart))
    assert f"r = {r:.2f}, {(able & ~apart).sum()} genes" in ax.get_title()
    (label,) = ax.get_legend().get_texts()
    assert label.get_text() == f"chromosomes not trained on:\nr = {r_apart:.2f}, {apart.sum()} genes"
    ax = scget.pl.predicted(answered, "T5", genes=answered["rna"].var_names[apart].tolist(), show=False)
    assert len(ax.collections) == 1 and ax.get_legend() is None

    mean = observed[:5].mean(axis=0)
    ax = scget.pl.predicted(
        answered,
        "T5",
        training_rows=trained.holdout.seen_obs,
        genes=answered["rna"].var_names[~apart][1:4].tolist(),
        show=False,
    )
    points = ax.collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 0], (observed[5] - mean)[~apart][1:4], atol=1e-5)
    np.testing.assert_allclose(points[:, 1], (predicted[5] - mean)[~apart][1:4], atol=1e-5)
    assert "delta r" in ax.get_title() and "3 genes" in ax.get_title()


def test_genes_that_were_only_watched_are_not_said_to_be_known(answered):
    record = answered.uns["get"]
    assert list(record["watched_chroms"]) == [] and list(record["holdout_chroms"]) == ["chr10"]
    record["watched_chroms"] = ["chr2"]
    ax = scget.pl.predicted(answered, "T5", show=False)
    pairs = answered["atac"].uns["peak_annotation"]
    chroms = pairs["region"].str.split(":").str[0].groupby(pairs["gene"]).agg(set)
    assert len(ax.collections[1].get_offsets()) == sum("chr1" not in chrom for chrom in chroms) > 20
    del record["watched_chroms"]  # written by an earlier version
    older = scget.pl.predicted(answered, "T5", show=False).collections[1].get_offsets()
    assert len(older) == sum(chrom == {"chr10"} for chrom in chroms)


def test_baselines_stand_beside_on_the_same_genes(answered, trained):
    names = ["training_mean", "ridge"]
    tables = scget.bm.predictions(trained, answered, predictors=names)
    tables["ridge"].iloc[:, 3] = np.nan  # this gene is then drawn for none
    drawn = scget.pl.predicted(answered, "T5", baselines=tables, show=False)
    observed = np.log10(1e6 * (x := answered["rna"].X.toarray().astype(float)) / x.sum(1, keepdims=True) + 1)
    both = {"GET": answered["rna"].layers["get"][5]} | {name: table.loc["T5"] for name, table in tables.items()}
    able = np.isfinite(list(both.values())).all(axis=0)
    assert not able[3] and able.sum() > 40
    for ax, (name, y) in zip(drawn, both.items(), strict=True):
        at = np.concatenate([points.get_offsets() for points in ax.collections])
        order = np.lexsort(np.round(np.column_stack([observed[5], y])[able].T, 4))
        np.testing.assert_allclose(
            at[np.lexsort(np.round(at.T, 4))], np.column_stack([observed[5], y])[able][order], rtol=1e-5
        )
        assert ax.get_title().split("\n")[0] == {"GET": "T5, GET"}.get(name, name.replace("_", " "))
    said = [ax.get_legend().get_texts()[0].get_text() for ax in drawn]
    assert ["known to it" in text for text in said] == [False, True, False]
    change = scget.pl.predicted(
        answered, "T5", baselines=tables, training_rows=trained.holdout.seen_obs, ax=mpl.pyplot.subplots(1, 3)[1]
    )
    flat = np.concatenate([points.get_offsets() for points in change[1].collections])
    assert (flat[:, 1] == 0).all() and "no delta r" in change[1].get_title()  # the mean says nothing of change
    assert scget.pl.predicted(answered, "T5", baselines=tables, return_fig=True).axes[0].get_ylabel().startswith("pred")


def test_baselines_that_cannot_stand_beside(answered, trained):
    tables = scget.bm.predictions(trained, answered, predictors=["training_mean"])
    with pytest.raises(InputError, match="'training_mean' of the baselines is no table with row 'T0'"):
        scget.pl.predicted(answered, "T0", baselines=tables)
    with pytest.raises(InputError, match="ax holds 1 axes; 2 are drawn on"):
        scget.pl.predicted(answered, "T5", baselines=tables, ax=mpl.pyplot.subplots()[1])


def test_attribution_shows_regions_where_they_are(answered):
    links = answered.uns["get"]["links"]
    ax = scget.pl.attribution(answered, "G7", "T5", show=False)
    points = ax.collections[1].get_offsets()
    var = answered["atac"].var.loc[links["region"].astype(str)]
    np.testing.assert_allclose(points[:, 0] * 1000, (var["start"] + var["end"]) // 2)
    np.testing.assert_allclose(points[:, 1], links["signed"], rtol=1e-5)
    tss = answered["atac"].uns["peak_annotation"].set_index("gene").loc["G7", "tss"]
    near = scget.pl.attribution(answered, "G7", "T5", flank=20_000, show=False).collections[1].get_offsets()
    assert 0 < len(near) < len(points) and (np.abs(near[:, 0] * 1000 - tss) <= 20_000).all()


def test_axes_and_figures_as_in_scanpy(answered):
    ax = mpl.pyplot.subplots()[1]
    assert scget.pl.predicted(answered, "T5", ax=ax) is ax
    figure = scget.pl.attribution(answered, "G7", "T5", return_fig=True)
    assert isinstance(figure, mpl.figure.Figure)


def test_names_that_are_not_there(answered):
    for wrong, message in (
        ({"row": "nope"}, "no row 'nope'"),
        ({"row": "T5", "genes": ["zz"]}, "no gene 'zz'"),
        ({"row": "T5", "genes": "G1"}, "'G1' is one text"),
        ({"row": "T5", "training_rows": "T0"}, "'T0' is one text"),
        ({"row": "T5", "genes": ["G50"]}, "no promoter region"),
    ):
        with pytest.raises(InputError, match=message):
            scget.pl.predicted(answered, **wrong, show=False)


def test_missing_answers_say_what_to_run(toy, answered):
    with pytest.raises(InputError, match=r"no links of 'G1' in 'T5' \(genes there: 'G7'\)"):
        scget.pl.attribution(answered, "G1", "T5")
    del toy["rna"].layers["get"]
    with pytest.raises(InputError, match="run scget.tl.predict"):
        scget.pl.predicted(toy, "T5")


def test_arcs_of_links_above_accessibility(toy):
    names = toy["atac"].var_names
    table = pd.DataFrame(
        {"row": "T1", "gene": "G0", "region": names[[3, 5, 9]], "score": [0.2, 0.5, 0.3], "signed": [-1.0, 2.0, 0.5]}
    )
    own = toy["atac"].uns["peak_annotation"]
    own = own[own["gene"] == "G0"]  # two promoters, two TSS
    table["region"] = names[np.array([3, 5, 9]) + 40 * (names.get_loc(own["region"].iloc[0]) // 40)]
    toy.uns["get"] = {"links": table}
    ax = scget.pl.links(toy, "G0", "T1", rows=["T1", "T5"], top=2, show=False)
    curves, var = ax.collections[0], toy["atac"].var
    assert [tuple(colour[:3]) for colour in curves.get_colors()] == [
        mpl.colors.to_rgb("#D55E00")
    ] * 2  # the two highest
    for curve, (_, link) in zip(curves.get_segments(), table.iloc[[1, 2]].iterrows(), strict=True):
        centre = (var.loc[link["region"], "start"] + var.loc[link["region"], "end"]) / 2
        tss = own["tss"].iloc[np.abs(own["tss"].to_numpy() - centre).argmin()]
        np.testing.assert_allclose(sorted([curve[0, 0], curve[-1, 0]]), sorted([centre / 1e3, tss / 1e3]))
        np.testing.assert_allclose(curve[:, 1].max(), link["score"], rtol=2e-3)
    low, high = (x * 1e3 for x in ax.get_xlim())
    here = (
        (var["chrom"] == var.loc[table["region"][0], "chrom"]) & (var["end"] > low) & (var["start"] < high)
    ).to_numpy()
    counts = toy["atac"].to_df().loc[["T1", "T5"]]
    cpm = counts.div(counts.sum(axis=1), axis=0).loc[:, here].to_numpy().ravel()
    bars = np.array([bar.get_height() for bar in ax.patches])
    np.testing.assert_allclose(bars / bars.max(), cpm / cpm.max(), rtol=1e-6)
    assert [label.get_text() for label in ax.get_yticklabels()][-2:] == ["T1", "T5"]
    near = scget.pl.links(toy, "G0", "T1", flank=1, show=False)
    assert len(near.collections[0].get_segments()) == 0  # no link so near
    with pytest.raises(InputError, match=r"no row 'T9'|'T9'"):
        scget.pl.links(toy, "G0", "T1", rows=["T9"], show=False)
    with pytest.raises(InputError, match="no links of 'G1'"):
        scget.pl.links(toy, "G1", "T1", show=False)


@pytest.fixture
def on_two(toy):
    """A gene that starts on chr1 and chr2, with links on both, the strongest on chr2."""
    var = toy["atac"].var
    regions = [*var.index[var["chrom"] == "chr1"][:3], *var.index[var["chrom"] == "chr2"][:4]]
    promoters = pd.DataFrame({"region": [regions[0], regions[3]], "gene": "PAR", "strand": "+", "distance": 0})
    promoters["tss"] = var.loc[promoters["region"], "start"].to_numpy() + 100
    toy["atac"].uns["peak_annotation"] = promoters.set_index(pd.Index(["0", "1"]))
    score = [0.1, 0.05, 0.05, 0.1, 0.4, 0.2, 0.1]
    links = pd.DataFrame({"row": "T1", "gene": "PAR", "region": regions, "score": score, "signed": score})
    toy.uns["get"] = {"links": links}
    yield toy
    mpl.pyplot.close("all")


@pytest.mark.parametrize("picture", ["links", "attribution"])
def test_one_chromosome_of_a_gene_on_two(on_two, picture):
    with pytest.warns(ScgetWarning, match="'PAR' starts on 'chr1', 'chr2': drawn are links on 'chr2'"):
        ax = getattr(scget.pl, picture)(on_two, "PAR", "T1", show=False)
    assert ax.get_xlabel().startswith("chr2, kb")
    links = on_two.uns["get"]["links"]
    var = on_two["atac"].var.loc[links["region"][3:]]
    centres = sorted((var["start"] + var["end"]) // 2)
    if picture == "links":
        curves = ax.collections[0].get_segments()
        tss = on_two["atac"].uns["peak_annotation"]["tss"].iloc[1]
        ends = [max(curve[[0, -1], 0], key=lambda x: abs(x * 1000 - tss)) * 1000 for curve in curves]
    else:
        ends = ax.collections[1].get_offsets()[:, 0] * 1000
    np.testing.assert_allclose(sorted(ends), centres, rtol=1e-6)


def test_a_row_without_counts_leaves_the_others_their_bars(on_two):
    atac = on_two["atac"]
    atac.X = atac.X.toarray()
    atac.X[0] = 0
    on_two["atac"].uns["peak_annotation"] = atac.uns["peak_annotation"].iloc[[1]]
    kwargs = {"flank": 10**6, "show": False}
    alone = [bar.get_height() for bar in scget.pl.links(on_two, "PAR", "T1", rows=["T1"], **kwargs).patches]
    both = [bar.get_height() for bar in scget.pl.links(on_two, "PAR", "T1", rows=["T0", "T1"], **kwargs).patches]
    assert max(alone) > 0
    np.testing.assert_allclose(both, [0] * len(alone) + alone)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"rows": []}, r"rows=\[\]"),
        ({"flank": 0}, "flank=0"),
        ({"atac": "peaks"}, "no modality 'peaks'"),
        ({"layer": "raw"}, "no layer 'raw' in 'atac'; there are none"),
    ],
)
def test_links_that_cannot_be_drawn(on_two, asked, said):
    with pytest.raises(InputError, match=said):
        scget.pl.links(on_two, "PAR", "T1", show=False, **asked)
