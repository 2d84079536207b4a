"""The names of all slots that scget reads and writes in a MuData; built nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

ATAC = "atac"
RNA = "rna"

REGION_COLUMNS = ("chrom", "start", "end")  # atac.var, 0-based half-open
MOTIF_SCORES = "motif_scores"  # atac.varm, regions x motifs
MOTIF_NAMES = "motif_names"  # atac.uns, array of text
MOTIF_SCAN = "motif_scan"  # atac.uns, how the scores were made
MOTIF_TFS = "motif_tfs"  # atac.uns, table of the factors of each motif
MOTIF_TF_COLUMNS = ("cluster", "motif", "tf")
PEAK_ANNOTATION = "peak_annotation"  # atac.uns, table of promoters
ANNOTATION = "promoter_source"  # atac.uns, file and flank that the promoters come from
ONE_BASED = "one_based"  # atac.uns, False: coordinates that were 1-based have been shifted
MATCHED = "matched"  # atac.uns, how much of the counts another set of regions took over
PROMOTER_COLUMNS = ("region", "gene", "strand", "tss", "distance")
LOG1P = "log1p"  # uns of what tl.perturb returns, as scanpy reads it: base of the logarithm
PROMOTER = "promoter"  # rna.var, "yes" or why a gene has no promoter region

N_CELLS = "n_cells"  # obs of pseudobulk rows
TOTAL_COUNTS = "total_counts"  # obs of pseudobulk rows, sum of the modality's counts


@dataclass(frozen=True)
class Slots:
    """Where results go for one ``key_added``."""

    key: str = "get"

    @property
    def expression(self) -> str:
        """``rna.layers``: rows x genes, log10(CPM + 1)."""
        return self.key

    @property
    def expression_table(self) -> str:
        """``rna.obsm``: the same as a DataFrame."""
        return f"{self.key}_expression"

    @property
    def uncertainty(self) -> str:
        """``rna.layers``: rows x genes, standard deviation of the expression."""
        return f"{self.key}_std"

    @property
    def unlikeness(self) -> str:
        """``rna.obs``: share of a row's accessibility that is like no training row's."""
        return f"{self.key}_ood"

    @property
    def embedding(self) -> str:
        """``atac.obsm``: rows x d; ``atac.varm``: regions x d; ``rna.varm``: genes x d."""
        return f"X_{self.key}"

    def label(self, column: str) -> tuple[str, str]:
        """``atac.obs``: labels taken over from ``column`` of other rows, and how sure they are, 0 to 1."""
        return f"{self.key}_{column}", f"{self.key}_{column}_confidence"

    @property
    def strand_layers(self) -> tuple[str, str]:
        """``atac.layers``: rows x regions, for strand + and -."""
        return f"{self.key}_plus", f"{self.key}_minus"

    @property
    def motif_summary(self) -> str:
        """``rna.obsm``: rows x motifs."""
        return f"{self.key}_motif"

    def motif_attribution(self, row: str) -> str:
        """``rna.varm``: genes x motifs for one row; a slash cannot stand in a key on disk."""
        return f"{self.key}_motif_{row.replace('/', '_')}"

    def motif_z(self, row: str) -> str:
        """``rna.varm``: z-scores of the same beside shuffled motifs; the hyphen tells it from a row's name."""
        return f"{self.key}_motif-z_{row.replace('/', '_')}"

    def motif_fdr(self, row: str) -> str:
        """``rna.varm``: false discovery rates of the same."""
        return f"{self.key}_motif-fdr_{row.replace('/', '_')}"

    @property
    def record(self) -> str:
        """``mdata.uns``: provenance and links."""
        return self.key
