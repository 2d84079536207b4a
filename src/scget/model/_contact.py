"""How often a region and a promoter meet: by distance, or as measured."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from scget._errors import InputError, first, needs_extra
from scget.pp._regions import Regions

GAMMA, SCALE = 1.024238616787792, 5.9594510043736655  # fitted to Hi-C of K562, as published with GET
NEAREST = 5_000  # bp; pairs nearer than that count as this far
TABLE = ("gene", "region", "contact")

Contact: TypeAlias = str | PathLike[str] | Callable[[np.ndarray], Any] | pd.DataFrame | None


def power_law(distance: np.ndarray) -> np.ndarray:
    """``exp(5.9595 - 1.0242 ln(d + 1))`` of distances in bp, with d at least 5 kb."""
    return np.exp(SCALE - GAMMA * np.log(np.maximum(np.abs(distance), NEAREST) + 1.0))


def check_contact(contact: Any) -> None:
    """:class:`InputError` for what is none, before work starts."""
    if isinstance(contact, pd.DataFrame):
        lacking = [name for name in TABLE if name not in contact]
        if lacking:
            raise InputError(f"the table of contacts lacks {first(lacking)}; it needs gene, region and contact")
        if contact.duplicated(["gene", "region"]).any():
            raise InputError("the table of contacts has a gene and region twice; each pair once is needed")
    elif not (contact is None or callable(contact) or isinstance(contact, str | PathLike)):
        raise InputError(
            f"contact is a {type(contact).__name__}; 'power_law', the path of a cooler file, a function of the distance "
            "in bp, a table of gene, region and contact, or None is needed"
        )


def contacts(links: pd.DataFrame, contact: Contact, regions: Regions) -> np.ndarray:
    """One number of at least 0 per line of ``links`` (gene, region, at, promoter, distance); positions are of ``regions``."""
    distance = np.abs(links["distance"].to_numpy(dtype=np.float64))
    if contact is None:
        return np.zeros(len(links))
    if isinstance(contact, str) and contact == "power_law":
        return power_law(distance)
    if isinstance(contact, pd.DataFrame):
        values = _of_table(links, contact)
    elif callable(contact):
        values = np.asarray(contact(distance), dtype=np.float64)
    else:
        values = _of_cooler(str(contact), links, regions)
    if values.shape != distance.shape or not (np.isfinite(values) & (values >= 0)).all():
        raise InputError(
            f"contacts are of shape {values.shape} with {int((~(values >= 0)).sum())} missing or below 0; "
            f"one number of at least 0 for each of {len(distance)} pairs is needed"
        )
    return values


def _of_table(links: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    """0 for pairs that are not in the table."""
    known = pd.MultiIndex.from_frame(table[["gene", "region"]].astype(str))
    at = known.get_indexer(pd.MultiIndex.from_frame(links[["gene", "region"]].astype(str)))
    if len(at) and (at < 0).all():
        raise InputError(f"no pair of gene and region is in the table of contacts, which has {first(known)}")
    return np.append(table["contact"].to_numpy(dtype=np.float64), 0.0)[at]


def _of_cooler(path: str, links: pd.DataFrame, regions: Regions) -> np.ndarray:
    """Balanced contacts where the file has weights, raw ones where not; 0 where nothing was seen."""
    with needs_extra("hic"):
        import cooler
    try:
        matrix = cooler.Cooler(path)
    except (OSError, KeyError) as error:
        raise InputError(
            f"{path!r} is no cooler file ({error}); name one resolution of an mcool so: 'x.mcool::/resolutions/5000'"
        ) from error
    if matrix.binsize is None:
        raise InputError(f"the bins of {path!r} differ in size; a file with bins of one size is needed")
    promoter_n, at_n = links["promoter"].to_numpy(), links["at"].to_numpy()
    unknown = sorted(set(regions.chrom[promoter_n]) - set(matrix.chromnames))
    if unknown:
        raise InputError(f"{path!r} has no chromosome {first(unknown)}; it has {first(matrix.chromnames)}")
    offset = {chrom: matrix.offset(chrom) for chrom in matrix.chromnames}
    last = {chrom: offset[chrom] + (matrix.chromsizes[chrom] - 1) // matrix.binsize for chrom in matrix.chromnames}
    centers, values = regions.centers, np.zeros(len(links))
    read = matrix.matrix(balance="weight" in matrix.bins().columns)
    for promoter, lines in pd.Series(np.arange(len(links))).groupby(promoter_n):
        chrom, here = regions.chrom[promoter], lines.to_numpy()
        where = np.minimum(offset[chrom] + centers[at_n[here]] // matrix.binsize, last[chrom])
        own = min(offset[chrom] + centers[promoter] // matrix.binsize, last[chrom])
        low, high = int(where.min()), int(where.max()) + 1
        values[here] = np.nan_to_num(read[int(own) : int(own) + 1, low:high][0])[where - low]  # NaN: a bin masked out
    return values
