"""A demo beside what was planted in it, and what accessibility and motifs say of it without a model; read by planted.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from mudata import MuData

import scget
from scget.data._table import log_cpm
from scget.datasets import _planted

DECAY, REACH = 10_000, 30_000  # bp; as the planted rule has them, told to the baselines


@dataclass(frozen=True)
class Demo:
    """What ``python -m scget demo`` wrote, and the truth of the same seed."""

    pb: MuData
    model: scget.model.GET
    truth: scget.datasets.Simulated
    rule: _planted.Rule

    @property
    def unseen_rows(self) -> list[str]:
        return [str(row) for row in self.pb.uns["get"]["holdout_obs"]]

    @property
    def unseen_chroms(self) -> list[str]:
        return [str(chrom) for chrom in self.pb.uns["get"]["holdout_chroms"]]

    @property
    def motifs(self) -> list[str]:
        return [str(name) for name in self.pb["atac"].uns["motif_names"]]

    @property
    def has_pm(self) -> np.ndarray:
        """Which motif has a hit in which region, 0 or 1, by the scan."""
        return (self.pb["atac"].varm["motif_scores"].toarray() > 0).astype(float)

    def relative(self) -> pd.DataFrame:
        """Counts by the row's mean, rows x regions."""
        counts = self.pb["atac"].to_df()
        return counts.div(counts.mean(axis=1), axis=0)

    def departures(self) -> pd.DataFrame:
        """Log10(CPM + 1) less the mean, training rows x genes."""
        counts = self.pb["rna"].to_df().drop(index=self.unseen_rows)
        expression = pd.DataFrame(log_cpm(counts.to_numpy()), counts.index, counts.columns)
        return expression - expression.mean()

    def promoters(self) -> pd.DataFrame:
        """The first promoter of each gene with RNA: region, tss."""
        pairs = self.pb["atac"].uns["peak_annotation"].astype({"gene": str, "region": str})
        pairs = pairs.drop_duplicates("gene").set_index("gene").sort_index()
        return pairs[pairs.index.isin(self.pb["rna"].var_names)]

    def near_p(self, promoter: pd.Series, reach: int) -> np.ndarray:
        """Which regions have their middle within ``reach`` of a promoter."""
        var = self.pb["atac"].var
        far_p = (((var["start"] + var["end"]) / 2) - promoter["tss"]).abs()
        return ((var["chrom"] == var["chrom"][promoter["region"]]) & (far_p <= reach)).to_numpy()


def motif_slopes(demo: Demo) -> pd.Series:
    """Correlation of a motif's open sites near a gene with its expression, both as departures from the mean.

    Over training rows and genes of training chromosomes.
    """
    opened = np.log1p(demo.relative().drop(index=demo.unseen_rows))
    opened_kp, departs, has_pm = (opened - opened.mean()).to_numpy(), demo.departures(), demo.has_pm
    x, y = [], []
    for gene, promoter in demo.promoters().iterrows():
        if demo.pb["atac"].var["chrom"][promoter["region"]] not in demo.unseen_chroms:
            near_p = demo.near_p(promoter, REACH)
            x.append(opened_kp[:, near_p] @ has_pm[near_p])
            y.append(departs[gene].to_numpy())
    x_nm, y_n = np.concatenate(x), np.concatenate(y)
    return pd.Series([np.corrcoef(x_n, y_n)[0, 1] for x_n in x_nm.T], demo.motifs)
