"""pertpy takes what perturb returns as it is; too heavy for the test extra, see docs/what_if.md for how these were run."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scanpy as sc
from scipy import stats
from scipy.spatial.distance import cdist

import scget
from scget.tl import Change

MOTIFS = ("A", "B/1", "C", "D", "E")


@pytest.fixture(scope="module")
def pt():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pertpy")


@pytest.fixture(scope="module")
def made(trained):
    """Each motif knocked out in each of 6 rows, and the control."""
    changes = {f"no {name}": Change("knockout", motifs=name) for name in MOTIFS}
    return scget.tl.perturb(trained.adata, trained, {"control": Change("control"), **changes})


@pytest.fixture
def found(made):
    """What these packages warn of is not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield made.copy()


def of(found, name, values):
    return values[(found.obs["perturbation"] == name).to_numpy()].astype(float)


def edistance(found, name):
    """Of a perturbation and the control in the space of principal components, as pertpy has it."""
    x, y = (of(found, one, found.obsm["X_pca"]) for one in (name, "control"))
    return 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()


def test_distances(pt, found):
    table = pt.tl.Distance("euclidean", layer_key="predicted").pairwise(
        found, groupby="perturbation", show_progressbar=False, n_jobs=1
    )
    for name in ("no A", "control"):
        means = (of(found, other, found.layers["predicted"]).mean(axis=0) for other in ("no C", name))
        assert table.loc["no C", name] == pytest.approx(np.linalg.norm(np.subtract(*means)), rel=1e-4)
    sc.pp.pca(found, n_comps=4)
    to_control = pt.tl.Distance("edistance").onesided_distances(
        found, groupby="perturbation", selected_group="control", show_progressbar=False, n_jobs=1
    )
    assert to_control["no A"] == pytest.approx(edistance(found, "no A"), rel=1e-4)


def test_permutation_test_of_distances(pt, found):
    sc.pp.pca(found, n_comps=4)
    test = pt.tl.DistanceTest("edistance", n_perms=100)
    table = test(found, groupby="perturbation", contrast="control", show_progressbar=False)
    assert table.loc["no A", "distance"] == pytest.approx(edistance(found, "no A"), rel=1e-4)
    assert table.loc["no A", "pvalue"] < 0.05 and table.loc["control", "pvalue"] == 1


def test_spaces(pt, found):
    space = pt.tl.PseudobulkSpace()
    differences = space.compute_control_diff(found, group_col="row", layer_key="predicted", copy=True)
    np.testing.assert_allclose(differences.layers["control_diff"], found.X, atol=2e-6)
    means = space.compute(found.copy(), mode="mean")
    np.testing.assert_allclose(means["no E"].X[0], of(found, "no E", found.X).mean(axis=0), atol=1e-6)
    both = space.add(means, perturbations=["no A", "no C"], ensure_consistency=False)  # to "control", its default
    np.testing.assert_allclose(both["no A+no C"].X[0], means[["no A", "no C"]].X.sum(axis=0), atol=1e-6)
    sc.pp.pca(found, n_comps=4)
    centroids = pt.tl.CentroidSpace().compute(found, embedding_key="X_pca")
    values = of(found, "no D", found.obsm["X_pca"])
    nearest = values[np.linalg.norm(values - values.mean(axis=0), axis=1).argmin()]
    np.testing.assert_allclose(centroids["no D"].X[0], nearest, rtol=1e-6)


def test_differential_expression_with_rows_as_pairs(pt, found):
    two = found[found.obs["perturbation"].isin(["control", "no A"])].copy()
    table = pt.tl.TTest.compare_groups(
        two, column="perturbation", baseline="control", groups_to_compare="no A", paired_by="row", layer="predicted"
    ).set_index("variable")
    expected = stats.ttest_rel(*(of(two, name, two.layers["predicted"]) for name in ("no A", "control"))).pvalue
    np.testing.assert_allclose(table["p_value"][two.var_names], expected, rtol=1e-2)
    assert np.nanmin(expected) < 0.05
