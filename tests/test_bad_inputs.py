"""Every broken input is refused, warned of, or made right, with a message that says what was found and what to do.

A case is a kind of broken input: how the data are broken, what is then done, and what must come of it: an error, a
warning, or (None) numbers equal to those of the unbroken data, which ``do`` returns as a pair.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse

import scget
from scget._errors import CheckpointError, GenomeError, InputError, ScgetWarning, TrainingError
from scget.model import GET
from scget.model._files import sealed
from scget.pp import _checks

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL = {"width": 16, "n_layers": 1, "n_heads": 2, "window": 16}


@dataclass
class Kit:
    """Files and models that fit the unbroken data."""

    cells: MuData  # as they were
    toy: MuData
    trained: GET
    saved: Path  # a copy of the trained model's folder
    genome: Path
    tss: pd.DataFrame
    folder: Path


@pytest.fixture
def kit(cells, toy, trained, saved, tmp_path):
    rng = np.random.default_rng(1)
    lines = [f">{c}\n{''.join(rng.choice(list('ACGT'), 4000))}\n" for c in ("chr2", "chr10", "chrX", "chrM")]
    (tmp_path / "genome.fa").write_text("".join(lines))
    chroms = ["chr2", "chr10", "chr10", "chrX", "chrX", "chrX"]
    at = [300, 1300, 1400, 300, 1300, 2300]
    tss = pd.DataFrame({"gene": [f"G{i}" for i in range(6)], "chrom": chroms, "tss": at, "strand": list("++-+-+")})
    copy = Path(shutil.copytree(saved, tmp_path / "saved"))
    return Kit(cells.copy(), toy, trained, copy, tmp_path / "genome.fa", tss, tmp_path)


# What is done with the broken data


def check(kit, mdata):
    """All that preparing and setting up demand of a MuData."""
    _checks.check_mudata(mdata, motifs=True, promoters=True)
    scget.pp.pseudobulk(mdata, "cell_type", min_cells=8)


def pool(kit, mdata, **kwargs):
    return scget.pp.pseudobulk(mdata, "cell_type", **kwargs)


def pooled(kit, mdata):
    """Sums by name, from the broken and from the unbroken cells."""
    made, wanted = pool(kit, mdata), pool(kit, kit.cells)
    return [[pb[n].to_df().loc[wanted.obs_names] for n in ("rna", "atac")] for pb in (made, wanted)]


def scan(kit, mdata):
    motif = np.full((5, 4), 0.02) + 0.92 * np.eye(4)[[0, 1, 2, 3, 0]]
    return scget.pp.motif_scores(mdata, kit.genome, motifs={"M": motif}, pvalue=0.01)


def annotate(kit, mdata):
    return scget.pp.promoters(mdata, kit.tss)


def new_model(mdata, **kwargs):
    GET.setup_mudata(mdata)
    return GET(mdata, **SMALL | kwargs)


def train(kit, mdata, **kwargs):
    new_model(mdata).train(1, **QUIET | kwargs)


def load(kit, mdata):
    return GET.load(kit.saved, mdata=mdata, accelerator="cpu")


# How data are broken


def put(name, matrix_of):
    """Replace X of a modality by a function of it, as a dense float64 array."""

    def break_it(mdata):
        mdata[name].X = matrix_of(mdata[name].X.toarray().astype(np.float64))
        return mdata

    return break_it


def at(row, column, value):
    def change(x):
        x[row, column] = value
        return x

    return change


def change(function):
    """Apply ``function`` to the MuData in place."""

    def break_it(mdata):
        function(mdata)
        return mdata

    return break_it


def rebuilt(**functions):
    """A MuData of modalities changed by ``functions``."""

    def break_it(mdata):
        return MuData({name: functions.get(name, lambda a: a)(mdata[name].copy()) for name in mdata.mod})

    return break_it


def renamed(adata, names):
    adata.obs_names = names
    return adata


def with_regions(mdata, table):
    """Other coordinates: names follow, in the table of promoters too."""
    atac = mdata["atac"]
    table.index = [f"{c}:{s}-{e}" for c, s, e in table[["chrom", "start", "end"]].itertuples(index=False)]
    names = dict(zip(atac.var_names, table.index, strict=True))
    made = AnnData(atac.X, obs=atac.obs, var=table, varm=dict(atac.varm), uns=dict(atac.uns))
    promoters = atac.uns["peak_annotation"]
    made.uns["peak_annotation"] = promoters.assign(region=promoters["region"].map(names))
    return MuData({"rna": mdata["rna"], "atac": made})


def coordinates(function):
    return lambda mdata: with_regions(mdata, function(mdata["atac"].var.copy()))


def start_beside_name(mdata):
    mdata["atac"].var["start"] += 1
    return mdata


def one(column, row, value):
    def set_it(var):
        var[column] = var[column].astype(object)
        var.iloc[row, list(var.columns).index(column)] = value
        return var

    return coordinates(set_it)


def label(name, index, value):
    def break_it(mdata):
        labels = mdata[name].obs["cell_type"].astype(object)
        labels.iloc[index] = value
        mdata[name].obs["cell_type"] = labels
        return mdata

    return break_it


def label_both(index, value):
    return lambda mdata: label("rna", index, value)(label("atac", index, value)(mdata))


def log_layer(mdata):
    mdata["rna"].layers["counts"] = mdata["rna"].X.copy()
    mdata["rna"].X = np.log1p(mdata["rna"].X)
    return mdata


def both_twice(adata):
    names = adata.obs_names.tolist()
    return renamed(adata, [names[0], names[0], *names[2:]])


def without_column(mdata):
    del mdata["rna"].obs["cell_type"], mdata["atac"].obs["cell_type"]
    return mdata


def same(mdata):
    return mdata


def file(name, content):
    """Overwrite a file of the saved model."""
    return lambda kit, mdata: ((kit.saved / name).write_bytes(content), load(kit, kit.toy))


def described(**entries):
    """Change entries of the saved model's description."""

    def do(kit, mdata):
        path = kit.saved / "model.json"
        path.write_text(json.dumps(sealed(json.loads(path.read_text()) | entries)))
        return load(kit, kit.toy)

    return do


def motif(value):
    return change(lambda m: m["atac"].varm.__setitem__("motif_scores", value(m["atac"].varm["motif_scores"])))


def uns(key, value):
    return change(lambda m: m["atac"].uns.__setitem__(key, value))


def shuffled(mdata):
    """Rows of RNA in another order than those of ATAC."""
    order = np.random.default_rng(3).permutation(mdata["rna"].n_obs)
    return MuData({"rna": mdata["rna"][order].copy(), "atac": mdata["atac"].copy()})


def as_type(container, dtype):
    def break_it(mdata):
        for name in ("rna", "atac"):
            mdata[name].X = container(mdata[name].X.toarray().astype(dtype))
        return mdata

    return break_it


def with_unused_category(mdata):
    for name in ("rna", "atac"):
        mdata[name].obs["cell_type"] = pd.Categorical(
            mdata[name].obs["cell_type"], categories=["B", "NK", "T", "never"]
        )
    return mdata


def on_disk(kit, mdata):
    mdata.copy().write(kit.folder / "cells.h5mu")
    return mudata.read_h5mu(kit.folder / "cells.h5mu", backed="r")


def scores_of(kit, mdata):
    scan(kit, mdata)
    return mdata["atac"].varm["motif_scores"].toarray()


PROMOTER = pd.DataFrame({"region": ["chr9:1-2"], "gene": "G0", "strand": "+", "tss": 1, "distance": 0}, index=["0"])


def with_genes(adata, names):
    return AnnData(adata.X, obs=adata.obs, var=pd.DataFrame(index=names))


def round_trip(kit, mdata):
    mdata.write(kit.folder / "rows.h5mu")
    return mudata.read_h5mu(kit.folder / "rows.h5mu")


def described_wide(kit, mdata):
    """A model of wider regions."""
    return described(region_width=1904)(kit, mdata).predict()


def bare(function):
    """Do it to cells as they come from a peak caller, without motif scores and promoters."""

    def do(kit, mdata):
        mdata = mdata.copy()
        mdata["atac"].uns.clear()
        del mdata["atac"].varm["motif_scores"]
        return function(kit, mdata)

    return do


def unknown_bases(kit, mdata):
    kit.genome.write_text("".join(f">{c}\n{'ACGTN' * 300 + 'N' * 2500}\n" for c in ("chr2", "chr10", "chrX")))
    return scan(kit, mdata)


def gzipped(kit, mdata):
    import gzip

    path = kit.folder / "genome.fa.gz"
    path.write_bytes(gzip.compress(kit.genome.read_bytes()))
    kit.genome = path
    return scan(kit, mdata)


def lower(kit, mdata):
    """Scores from a genome in lower case."""
    path = kit.folder / "lower.fa"
    lines = kit.genome.read_text().splitlines()
    path.write_text("\n".join(line if line.startswith(">") else line.lower() for line in lines) + "\n")
    return scores_of(Kit(**vars(kit) | {"genome": path}), mdata.copy())


def other_genome(kit, mdata):
    model = load(kit, kit.toy)
    model.motif_scan = {"genome": "hg19.fa.gz"}
    kit.toy["atac"].uns["motif_scan"] = {"genome": "hg38.fa"}
    return model.predict(kit.toy)


def window_of_all(kit):
    """Rows predicted by windows wider than any chromosome."""
    model = new_model(kit.toy, window=200)
    model.train(1, **QUIET)
    return int(model.predict().notna().any(axis=1).sum())


def pickled(kit, mdata):
    content = pickle.dumps({"weights": np.ones(3)})
    (kit.saved / "weights.safetensors").write_bytes(content)
    return described(weights_sha256=hashlib.sha256(content).hexdigest())(kit, mdata)


def flipped(kit, mdata):
    path = kit.saved / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    return load(kit, kit.toy)


def fewer_motifs(mdata):
    mdata["atac"].varm["motif_scores"] = mdata["atac"].varm["motif_scores"][:, :4]
    mdata["atac"].uns["motif_names"] = mdata["atac"].uns["motif_names"][:4]
    return mdata


def deeper(kit, mdata):
    """A description of two layers beside the weights of one."""
    init = json.loads((kit.saved / "model.json").read_text())["init"]
    return described(init=init | {"n_layers": 2})(kit, mdata)


def turned(mdata):
    """Regions in another order."""
    order = np.random.default_rng(5).permutation(mdata["atac"].n_vars)
    return MuData({"rna": mdata["rna"].copy(), "atac": mdata["atac"][:, order].copy()})


def moved(mdata):
    """Regions and promoters 7 bases on: none is a region of training."""
    return with_regions(
        mdata, mdata["atac"].var.assign(start=mdata["atac"].var["start"] + 7, end=mdata["atac"].var["end"] + 7)
    )


# (row of the list of bad inputs, 0 for none, name, how broken, what is done, what must come of it, message)
CASES = [
    (1, "AnnData", lambda m: m["rna"], check, TypeError, r"a MuData .* is needed, got AnnData. Make one: MuData\("),
    (1, "array", lambda m: np.ones(3), check, TypeError, "got ndarray"),
    (2, "no atac", lambda m: MuData({"rna": m["rna"], "peaks": m["atac"]}), check, InputError, r"no modality 'atac' \(accessibility\); there are 'rna', 'peaks'.*'atac'"),
    (2, "no rna", lambda m: MuData({"gex": m["rna"], "atac": m["atac"]}), check, InputError, r"no modality 'rna' \(expression\); there are 'gex', 'atac'"),
    (3, "axis 1", lambda m: MuData({"atac": renamed(m["atac"].copy(), [f"x{i}" for i in range(24)]), "more": m["atac"]}, axis=1), check, InputError, "MuData with axis=1"),
    (3, "no regions", rebuilt(atac=lambda a: a[:, :0].copy()), check, InputError, "modality 'atac' has 0 regions"),
    (3, "no genes", rebuilt(rna=lambda a: a[:, :0].copy()), check, InputError, "modality 'rna' has 0 genes"),
    (3, "no cells", lambda m: m[[]].copy(), check, InputError, "modality 'atac' has 0 rows"),
    (4, "partly shared", rebuilt(rna=lambda a: a[3:].copy(), atac=lambda a: a[:20].copy()), check, InputError, r"17 of 20 rows of 'atac' and of 21 rows of 'rna' are shared \(only in 'atac': 'cell0', ...; only in 'rna': 'cell20', .*intersect_obs"),
    (4, "only fewer", rebuilt(rna=lambda a: a[3:].copy()), check, InputError, r"21 of 24 rows .* shared \(only in 'atac': 'cell0', ...\)"),
    (5, "none shared", rebuilt(rna=lambda a: renamed(a, [f"s1#{n}" for n in a.obs_names])), check, InputError, "no row name in common: 'atac' has 'cell0', ..., 'rna' has 's1#cell0', ...*prefix or suffix"),
    (6, "other order of rows", shuffled, pooled, None, ""),
    (7, "rows twice", rebuilt(rna=both_twice, atac=both_twice), check, InputError, "1 row names occur twice in 'atac', first 'cell0'.*obs_names_make_unique"),
    (8, "view read", lambda m: m[:, :], pooled, None, ""),
    (8, "view written", lambda m: m[:, :], lambda k, m: scget.pp.sort_regions(m), InputError, r"mdata is a view.*call mdata = mdata.copy\(\)"),
    (9, "backed, pooled", same, lambda k, m: pooled(k, on_disk(k, m)), None, ""),
    (9, "backed, set up", same, lambda k, m: GET.setup_mudata(on_disk(k, m)), InputError, r"modality 'atac' is backed \(on disk\).*to_memory"),
    (10, "log1p", log_layer, check, InputError, r"rna.X must be raw counts: \d+.\d% of its \d+ stored values are not whole numbers \(max [\d.]+: looks like log1p\). Pass rna_layer='counts'."),
    (10, "normalised", put("rna", lambda x: x * 100.5), check, InputError, r"not whole numbers \(max [\d.]+\). Pass rna_layer= with a layer of raw counts; none was found"),
    (10, "one value", put("atac", at(23, 11, 0.5)), check, InputError, r"atac.X must be raw counts: 0.3% of its 288 stored values"),
    (11, "negative", put("atac", at(5, 1, -1.75)), check, InputError, "1 negative values in atac.X, least -1.75. Raw counts are needed"),
    (12, "NaN", put("rna", at(2, 4, np.nan)), check, InputError, "1 NaN in rna.X, first in row 'cell2', column 'G4'"),
    (12, "infinite", put("atac", at(23, 11, np.inf)), check, InputError, "1 infinite values in atac.X, first in row 'cell23', column 'chrX:3100-3600'"),
    (13, "csc, uint8", as_type(sparse.csc_matrix, np.uint8), pooled, None, ""),
    (13, "csr_array, int64", as_type(sparse.csr_array, np.int64), pooled, None, ""),
    (13, "dense, float64", as_type(np.asarray, np.float64), pooled, None, ""),
    (14, "binary", put("atac", np.ones_like), pool, ScgetWarning, "atac.X looks binary; counts of fragments carry more"),
    (15, "reads", put("atac", lambda x: 2 * x), pool, ScgetWarning, r"100% of the counts in atac.X are even .*reads, not fragments\? scvi.data.reads_to_fragments"),
    (16, "layer missing", change(lambda m: m["rna"].layers.__setitem__("log1p", m["rna"].X.copy())), lambda k, m: pool(k, m, rna_layer="counts"), InputError, "no layer 'counts' in 'rna'; there are 'log1p'"),
    (16, "X is None", rebuilt(rna=lambda a: AnnData(obs=a.obs, var=a.var, layers={"counts": a.X})), check, InputError, "rna.X is empty.*one of 'counts'"),
    (17, "no label column", without_column, check, InputError, "no column 'cell_type' in obs of 'atac', 'rna'. Found: 'atac:donor', 'rna:donor'"),
    (17, "label in the MuData alone", change(lambda m: m.obs.__setitem__("leiden", "1")), lambda k, m: scget.pp.pseudobulk(m, "leiden"), InputError, r"Copy it: mdata\['atac'\].obs\['leiden'\] = mdata.obs\['leiden'\]"),
    (18, "NaN label", label("rna", [4, 6], np.nan), check, InputError, r"2 rows have no label in rna.obs\['cell_type'\], first 'cell4'. Drop them or"),
    (19, "labels differ", label("rna", [3, 5], "T"), check, InputError, "labels of 'cell_type' differ for 2 rows, first 'cell3': 'B' in 'atac', 'T' in 'rna'"),
    (20, "unused category", with_unused_category, pooled, None, ""),
    (21, "1 and '1'", lambda m: label_both(slice(0, 8), 1)(label_both(slice(8, 16), "1")(m)), check, InputError, r"labels 1 and '1' both exist in atac.obs\['cell_type'\]"),
    (21, "whole numbers", lambda m: label_both(slice(16, 24), 2)(label_both(slice(8, 16), 1)(label_both(slice(0, 8), 0)(m))), lambda k, m: (list(pool(k, m)["atac"].obs_names), ["0", "1", "2"]), None, ""),
    (22, "small group", label_both([0, 1], "pDC"), check, InputError, r"groups below min_cells=8: 'B' \(6\), 'pDC' \(2\). Lower min_cells"),
    (23, "group without ATAC", put("atac", at(slice(8, 16), slice(None), 0)), check, InputError, "no ATAC counts in 1 groups, first 'T'"),
    (23, "group without RNA", put("rna", at(slice(0, 8), slice(None), 0)), check, InputError, "no RNA counts in 1 groups, first 'B'"),
    (24, "name with /", lambda m: label_both(slice(0, 8), "../B/plasma")(m), lambda k, m: (round_trip(k, pool(k, m))["rna"].obs_names[0], "../B/plasma"), None, ""),
    (25, "row unknown", same, lambda k, m: train(k, k.toy, holdout_obs=["t5"]), InputError, "no row 't5'; there are 'T0', .*Did you mean 'T5'"),
    (25, "chromosome unknown", same, lambda k, m: train(k, k.toy, holdout_chroms=["10"]), InputError, "no chromosome '10'; there are 'chr1', 'chr2', 'chr10'"),
    (26, "all held out", same, lambda k, m: train(k, k.toy, holdout_chroms=["chr1", "chr2", "chr10"]), InputError, "held out everything: 6 rows and 0 regions are left"),
    (27, "names unreadable", rebuilt(atac=lambda a: AnnData(a.X, obs=a.obs, var=pd.DataFrame(index=[f"peak_{i}" for i in range(12)]))), check, InputError, "cannot read 12 of 12 region names, first 'peak_0'. Use 'chr1:100-600'"),
    (28, "contigs with _", same, lambda k, m: (scget.pp._regions.parse_regions(["chr11_KI270721v1_random_12_90"]).names, np.array(["chr11_KI270721v1_random:12-90"], dtype=object)), None, ""),
    (29, "names and columns disagree", start_beside_name, check, InputError, r"name 'chr2:100-600', but the columns of var say chr2:101-600 .*12 of 12 regions"),
    (30, "no length", one("end", 3, 3100), check, InputError, r"1 regions have no length \(start >= end\), first 'chr2:3100-3100'"),
    (31, "negative start", one("start", 0, -100), check, InputError, "1 regions start before 0, first 'chr2:-100-600'"),
    (32, "past the end", one("end", 11, 4100), scan, GenomeError, r"1 regions lie outside their chromosome, first 'chrX:3100-4100' where 'chrX' of 'genome.fa' has 4,000 bases"),
    (33, "other names of chromosomes", coordinates(lambda v: v.assign(chrom=v["chrom"].str[3:])), scan, GenomeError, "No chromosome in common: regions '2', '10', 'X'; genome 'genome.fa' 'chr2', .*Add 'chr'"),
    (34, "one contig unknown", one("chrom", 11, "chrUn_7"), bare(scan), ScgetWarning, r"1 of 12 regions lie on 1 chromosomes that 'genome.fa' lacks \('chrUn_7'\): they have no motifs"),
    (35, "unsorted", same, lambda k, m: (k.trained.predict(turned(k.toy)), k.trained.predict(k.toy)), None, ""),
    (36, "duplicated regions", coordinates(lambda v: v.iloc[[0, 0, 2, 2, *range(4, 12)]].copy()), check, InputError, "2 regions occur twice, first 'chr2:100-600', 'chr2:2100-2600'"),
    (37, "overlapping", coordinates(lambda v: v.assign(end=v["end"] + np.where(np.arange(12) % 4 < 3, 600, 0))), bare(scan), ScgetWarning, "9 of 12 regions overlap one before them, first 'chr2:1100-2200' with 'chr2:100-1200': their motifs and counts count twice"),
    (38, "1-based", coordinates(lambda v: v.assign(start=v["start"] + 1)), bare(scan), ScgetWarning, r"all regions are 499 bp long, one less than 500: 1-based coordinates.*run scget.pp.sort_regions\(mdata, one_based=True\)"),
    (38, "501 bp", coordinates(lambda v: v.assign(end=v["end"] + 1)), bare(annotate), ScgetWarning, r"all regions are 501 bp long, as those of SnapATAC2 \(0-based: nothing to do\) and of ArchR"),
    (39, "not whole", one("start", 2, 2100.5), check, InputError, "start 2100.5 is not a whole number"),
    (39, "whole floats", coordinates(lambda v: v.assign(start=v["start"].astype(float))), lambda k, m: (scget.pp._regions.regions_of(m["atac"]).names, k.cells["atac"].var_names.to_numpy(object)), None, ""),
    (40, "wide regions", same, described_wide, ScgetWarning, r"the regions are 500 bp long \(median\), the model was trained on 1,904: motif scores and counts grow"),
    (41, "mostly N", same, unknown_bases, GenomeError, r"\d\d% of the regions' bases are not A, C, G or T in 'genome.fa'.*another genome build"),
    (41, "few promoters", rebuilt(rna=lambda a: AnnData(sparse.csr_matrix(np.ones((24, 60))), obs=a.obs, var=pd.DataFrame(index=[f"G{i}" for i in range(60)]))), annotate, ScgetWarning, r"only 6 of 60 genes in 'rna' have a promoter region .*build or annotation"),
    (42, "no FASTA", same, lambda k, m: scget.pp.motif_scores(m, "none.fa", motifs={"M": np.full((4, 4), 0.25)}), FileNotFoundError, "No FASTA file at 'none.fa'"),
    (42, "gzip, not bgzip", same, gzipped, GenomeError, r"compressed with gzip, which can be read from its beginning only.*bgzip 'genome.fa' && samtools faidx 'genome.fa.gz'"),
    (43, "lower case", same, lambda k, m: (lower(k, m), scores_of(k, m)), None, ""),
    (44, "another genome", same, other_genome, ScgetWarning, "motif scores come from genome 'hg38.fa', those of training from 'hg19.fa': another build, release or species"),
    (45, "Ensembl ids", rebuilt(rna=lambda a: with_genes(a, [f"ENSG0000024348{i}.5" for i in range(6)])), annotate, InputError, r"none of 6 genes in 'rna' is in the annotation: 'rna' has Ensembl ids \('ENSG00000243480.5'.*gene symbols"),
    (46, "genes twice", rebuilt(rna=lambda a: with_genes(a, ["G", "G", *"abcd"])), check, InputError, "1 gene names occur twice, first 'G'. Use Ensembl ids"),
    (47, "no promoter at all", same, lambda k, m: scget.pp.promoters(m, k.tss.assign(tss=3900)), GenomeError, "none of 12 regions lies within 300 bases of one of 6 TSS"),
    (48, "chromosomes shorter than a window", same, lambda k, m: (window_of_all(k), k.toy["rna"].n_obs), None, ""),
    (49, "not trained", same, lambda k, m: new_model(k.toy).predict(), RuntimeError, r"train\(\) or load\(\) first"),
    (50, "empty", same, file("weights.safetensors", b""), CheckpointError, "sha256 of .*weights.safetensors differs"),
    (50, "HTML", same, file("model.json", b"<html>404</html>"), CheckpointError, "model.json is not JSON"),
    (50, "no model", same, lambda k, m: GET.load(k.folder), CheckpointError, "model.json cannot be read .*is this a folder that save"),
    (51, "pickle", same, pickled, CheckpointError, "not a whole safetensors file"),
    (52, "weights changed", same, flipped, CheckpointError, "sha256 of .* differs from model.json"),
    (53, "other motifs", same, lambda k, m: load(k, fewer_motifs(k.toy)), CheckpointError, "trained with 5 motifs, the data have 4: missing 'E'"),
    (54, "tensors missing", same, deeper, CheckpointError, r"width and layers \(16, 2\) and 5 motifs, the tensors are of \(16, 1\)"),
    (55, "newer format", same, described(format=99), CheckpointError, "format 99, this scget reads 4: upgrade"),
    (56, "same regions, other order", same, lambda k, m: (load(k, turned(k.toy)).predict(), k.trained.predict(k.toy)), None, ""),
    (56, "other regions", same, lambda k, m: load(k, moved(k.toy)).predict(), ScgetWarning, "only 0% of the regions are among those of training"),
    (57, "loss NaN", same, lambda k, m: train(k, k.toy, plan_kwargs={"lr": 1e30}), TrainingError, "the loss is nan in epoch"),
    (58, "no GPU", same, lambda k, m: train(k, k.toy, accelerator="gpu"), InputError, "No supported gpu backend found"),
    (0, "no scores", change(lambda m: m["atac"].varm.__delitem__("motif_scores")), check, InputError, r"no motif scores in .*run scget.pp.motif_scores\(mdata"),
    (0, "scores NaN", motif(lambda s: np.where(np.arange(3) == 1, np.nan, s)), check, InputError, "12 NaN in motif scores, first in region 'chr2:100-600', motif 'GATA'"),
    (0, "scores NaN sparse", motif(lambda s: sparse.csr_matrix(np.where(np.arange(3) == 2, np.nan, s))), check, InputError, "12 NaN in motif scores, first in region 'chr2:100-600', motif 'CTCF'"),
    (0, "scores table", motif(lambda s: pd.DataFrame(s, index=[f"chr{c}:{b}-{b + 500}" for c in (2, 10, "X") for b in range(100, 4000, 1000)], columns=list("abc"))), check, InputError, "motif scores are a DataFrame"),
    (0, "no motif names", change(lambda m: m["atac"].uns.pop("motif_names")), check, InputError, "no motif names in .*run scget.pp.motif_scores"),
    (0, "too few names", uns("motif_names", np.array(["a", "b"])), check, InputError, "2 motif names for 3 columns"),
    (0, "motif twice", uns("motif_names", np.array(["a", "b", "a"])), check, InputError, "1 motif names occur twice, first 'a'"),
    (0, "no promoters", change(lambda m: m["atac"].uns.pop("peak_annotation")), check, InputError, r"no promoters in .*run scget.pp.promoters\(mdata, annotation=...\) first"),
    (0, "promoters lack tss", uns("peak_annotation", PROMOTER.drop(columns="tss")), check, InputError, "the promoter table lacks the columns 'tss'"),
    (0, "promoters elsewhere", uns("peak_annotation", PROMOTER), check, InputError, "none of the 1 promoters is one of the regions of 'atac'"),
]  # fmt: skip


def test_every_row_of_the_list_has_a_case():
    assert {row for row, *_ in CASES} - {0} == set(range(1, 59))


def test_unbroken_passes(kit):
    check(kit, kit.cells)
    GET.setup_mudata(kit.toy)
    scan(kit, kit.cells)
    annotate(kit, kit.cells)
    assert load(kit, kit.toy).is_trained


@pytest.mark.filterwarnings(
    "ignore:.*are not unique", "ignore:Duplicated ", "ignore:Cannot join", "ignore::ResourceWarning"
)
@pytest.mark.parametrize(
    ("break_it", "do", "outcome", "message"), [c[2:] for c in CASES], ids=[f"{c[0]:02}, {c[1]}" for c in CASES]
)
def test_bad_input(kit, cells, break_it, do, outcome, message):
    broken = break_it(cells)
    before = broken.copy()
    if outcome is None:
        assert_equal(*do(kit, broken))
    elif issubclass(outcome, Warning):
        with pytest.warns(outcome, match=message):
            do(kit, broken)
    else:
        with pytest.raises(outcome, match=message):
            do(kit, broken)
        assert_unchanged(broken, before)


def assert_equal(got, wanted):
    if isinstance(wanted, (list, tuple)):
        for one_, other in zip(got, wanted, strict=True):
            assert_equal(one_, other)
    elif isinstance(wanted, pd.DataFrame):
        pd.testing.assert_frame_equal(got, wanted, check_dtype=False, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(got, wanted)


def assert_unchanged(now, before):
    if not isinstance(now, MuData):
        return
    assert list(now.mod) == list(before.mod)
    for name, one in now.mod.items():
        other = before.mod[name]
        pd.testing.assert_frame_equal(one.obs, other.obs)
        pd.testing.assert_frame_equal(one.var, other.var)
        assert list(one.uns) == list(other.uns)
        assert list(one.varm) == list(other.varm)
        if one.X is not None:
            one_x, other_x = (a.X.toarray() if sparse.issparse(a.X) else a.X for a in (one, other))
            np.testing.assert_array_equal(one_x, other_x)
