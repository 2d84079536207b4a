"""What genetic variants do to expression, by the motifs that they make and break."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from scget.model._variants import VariantEffects, variant_effects

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

    from scget.model import GET, Ensemble
    from scget.pp._motif_sets import Clusters, Motifs


def variants(
    mdata: MuData,
    model: GET | Ensemble,
    variants: str | PathLike[str] | pd.DataFrame,
    *,
    genome: object,
    motifs: Motifs | None = None,
    clusters: Clusters | None = None,
    genes: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    reach: int = 100_000,
    batch_size: int = 32,
    cache: str | PathLike[str] | None = None,
) -> VariantEffects:
    """Predict how variants change expression, through the motif scores of the regions that they lie in.

    ``effect = max(x + change, 0) - max(x, 0)``, with x the prediction before its bound at 0, log10(CPM + 1), and change the
    difference of the network's output between the motif scores of the regions with the alternative and with the
    reference allele, averaged over the gene's promoters as predictions are. Scores are those of
    :func:`scget.pp.motif_scores`: a base that takes a site below the threshold takes all of its bits. All else stays,
    above all **accessibility: a variant that opens or closes a region is predicted as if it did not**, and one that makes a
    motif in a closed region opens nothing. A variant outside of the regions is not predicted. Each allele is alone:
    neither genotypes nor haplotypes, filters and qualities of the file are read.

    A region keeps its interval of the reference, and its sequence gets longer or shorter with the allele. What reference
    and alternative share at their ends is left out, left end first. Of an allele across the edge of a region, bases count
    that stand on its bases, from the left; an insertion counts between two bases of the region. Sites across
    an edge are no hits, as in the scores of regions.

    Parameters
    ----------
    mdata
        Rows x (regions, genes), or ATAC alone; it is not changed.
    model
        Trained or loaded; or an ensemble, whose members' predictions are averaged.
    variants
        Path of a VCF, plain, gzip or bgzip. Or a table with the columns chrom, **pos (1-based, as in VCF)**, ref, alt and,
        if there is one, id. Several alternatives, with commas between them, are several variants.
    genome
        Path of the FASTA that the regions were scored on, plain or bgzip.
    motifs, clusters
        Those given to :func:`scget.pp.motif_scores`.
    genes, rows
        Names. None: all genes with a promoter region, all rows.
    reach
        Genes are asked that have a start of transcription at most so many bp from the variant.
    batch_size
        Changed windows at a time; does not change the result.
    cache
        Folder where parts of the answer are kept as they are made, so that a killed run goes on when called again in the
        same way; it may be deleted afterwards.

    Returns
    -------
    A pair of tables. ``effects``: a line per variant, gene and row, and one for each variant that has none, in the order of
    the source. Columns: variant (``chr1:1000:A>G``), id, chrom, pos (1-based), ref, alt; region (several are joined by
    ``;``); gene; row; distance (bp from the gene's nearest start, negative upstream); motif and change (the cluster whose
    score changes most, and by how many bits; missing: none does); effect; and scope:

    - ``"predicted"``;
    - ``"closed"``: so is the region in this row. The effect is 0, unless it is a promoter region, which the network
      sees closed too;
    - ``"no promoter"``: the row shows no promoter of the gene (preset ``"compat"``), effect NaN;
    - ``"no gene"``: none asked starts within reach;
    - ``"region lost"``: no base of a region is left. Ask :func:`perturb` for its deletion;
    - ``"no region"``: it lies in none. Whether it makes one is not predicted;
    - ``"no sequence"``: the alternative is none, such as ``<DEL>``, ``*``, ``.`` or a break-end.

    ``motifs``: a line per variant, region and cluster whose score changes: before, after and change, in bits.

    Raises
    ------
    InputError
        If a line is no variant, a name is unknown, or motifs are not those that the regions were scored with.
    GenomeError
        If a reference allele is not what the FASTA has there, a variant lies on no chromosome of it, or regions with a
        variant in them have other motif scores than their sequence in it.

    Examples
    --------
    >>> found = scget.tl.variants(pb, model, "my.vcf.gz", genome="hg38.fa", motifs="motifs.meme")  # doctest: +SKIP
    >>> found.effects.query("scope == 'predicted'").nlargest(5, "effect")  # doctest: +SKIP
    """
    return variant_effects(
        model,
        mdata,
        variants,
        genes,
        rows,
        genome=genome,
        motifs=motifs,
        clusters=clusters,
        reach=reach,
        batch_size=batch_size,
        cache=cache,
    )
