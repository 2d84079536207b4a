"""What ``pp.check`` finds in real data, and how long it takes: ``python benchmarks/check.py [folder of the data]``.

Human blood, genome-wide with TF binding in place of motif scores, and where sequence is at hand with HOCOMOCO motifs; then
both with the rows of the motif scores shuffled, so that they belong to other regions.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from blood import load
from mudata import MuData
from scipy.sparse import csr_matrix

import scget


def with_sequence(data: Path) -> MuData:
    folder = data / "blood_hg19_sequence"
    table = pd.read_csv(folder / "atac_counts.tsv.gz", sep="\t", index_col=0)
    obs, var = pd.DataFrame(index=table.columns), pd.DataFrame(index=table.index.astype(str))
    mdata = MuData({"atac": AnnData(csr_matrix(table.to_numpy().T.astype(np.float32)), obs=obs, var=var)})
    scget.pp.motif_scores(mdata, folder / "mini_hg19.fa.gz", motifs=data / "motifs" / "H12CORE.meme.gz")
    return mdata


def main(data: Path) -> None:
    blood = load(data / "blood_hg19")
    print(blood["rna"].var["promoter"].value_counts().to_string(), "\n")
    for name, mdata in (("TF binding", blood), ("HOCOMOCO", with_sequence(data))):
        begin = time.perf_counter()
        report = scget.pp.check(mdata)
        print(f"{name}: {len(report)} findings in {time.perf_counter() - begin:.1f} s")
        for shuffled in (False, True):
            if shuffled:
                scores = mdata["atac"].varm["motif_scores"]
                mdata["atac"].varm["motif_scores"] = scores[np.random.default_rng(0).permutation(scores.shape[0])]
            begin = time.perf_counter()
            found = scget.pp.check(mdata, deep=True).set_index("check").loc["motifs to accessibility", "found"]
            print(f"{name}{', shuffled' if shuffled else ''}: {found}; {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "shared" / "data")
