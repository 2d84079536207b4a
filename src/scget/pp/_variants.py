"""Alleles of variants from a VCF or a table."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scget._errors import InputError
from scget.pp._fragment_file import read_blocks

VARIANT_COLUMNS = ("variant", "id", "chrom", "pos", "ref", "alt")
_FIELDS = ("chrom", "pos", "id", "ref", "alt")
_SPELLED = r"[ACGTN]+"
_WITHOUT_BASES = r"\*|\.|<.+>|.*[\[\]].*|\.[ACGTN]+|[ACGTN]+\."  # <DEL>, an allele deleted or absent, ends of breaks
_NEEDED = (
    "Needed are chrom, pos (1-based, as in VCF), ref and alt; an indel holds the base before it: ref 'CA', alt 'C'."
)


def read_variants(source: str | PathLike[str] | pd.DataFrame) -> pd.DataFrame:
    """Read alleles, one alternative a line.

    Parameters
    ----------
    source
        Path of a VCF, plain, gzip or bgzip, of which CHROM, POS, ID, REF and ALT are read, with or without header lines.
        Or a table with the columns chrom, pos (1-based, as in VCF), ref, alt and, if there is one, id; in any case.

    Returns
    -------
    Table in the order of the source: variant (``chr1:1000:A>G``), id (empty: none), chrom, pos (1-based), ref, alt
    (upper case) and ``spelled`` (False: the alternative is no sequence, such as ``<DEL>``, ``*``, ``.`` or a break-end).
    Alternatives of one line are apart; an allele given twice is there once, with its ids joined by ``;``.

    Raises
    ------
    InputError
        If the file is cut or damaged, a column is missing, or a line is no variant.
    FileNotFoundError
        If there is no such file.
    """
    if isinstance(source, pd.DataFrame):
        raw, what = _from_table(source), "rows of the table"
    elif isinstance(source, str | PathLike):
        raw, what = _from_vcf(Path(source)), f"lines of '{Path(source).name}'"
    else:
        raise InputError(f"variants are a {type(source).__name__}; the path of a VCF or a table is needed. {_NEEDED}")
    if not len(raw):
        raise InputError(f"there are no variants: none of the {what} holds one. {_NEEDED}")
    pos = pd.to_numeric(raw["pos"], errors="coerce").to_numpy(dtype=np.float64)
    ref = raw["ref"].str.upper()
    alleles = raw.assign(ref=ref, alt=raw["alt"].str.upper().str.split(",")).explode("alt")
    _refuse(raw, what, (raw["chrom"] == "").to_numpy(), "it has no chromosome")
    _refuse(raw, what, ~((pos >= 0) & (pos == np.floor(pos)) & (pos < 2**53)), "its position is no whole number")
    _refuse(raw, what, pos == 0, "position 0: is this 0-based? Add 1")
    _refuse(raw, what, ~ref.str.fullmatch(_SPELLED).to_numpy(dtype=bool), "its ref is no bases")
    spelled = alleles["alt"].str.fullmatch(_SPELLED).to_numpy(dtype=bool)
    odd = alleles.index[~spelled & ~alleles["alt"].str.fullmatch(_WITHOUT_BASES).to_numpy(dtype=bool)]
    _refuse(raw, what, raw.index.isin(odd), "its alt is no bases")
    alleles = alleles.assign(pos=pos.astype(np.int64)[alleles.index], spelled=spelled)
    return _named(alleles.reset_index(drop=True))


def _named(alleles: pd.DataFrame) -> pd.DataFrame:
    """One line per allele, with a name."""
    columns = (alleles[name].tolist() for name in ("chrom", "pos", "ref", "alt"))
    names = [f"{chrom}:{pos}:{ref}>{alt}" for chrom, pos, ref, alt in zip(*columns, strict=True)]
    alleles = alleles.assign(variant=names)
    if alleles["variant"].duplicated().any():
        ids = alleles.groupby("variant", sort=False)["id"].agg(lambda some: ";".join(dict.fromkeys(filter(None, some))))
        alleles = alleles.drop_duplicates("variant", ignore_index=True).assign(id=ids.to_numpy())
    return alleles[[*VARIANT_COLUMNS, "spelled"]]


def _refuse(raw: pd.DataFrame, what: str, wrong: np.ndarray, why: str) -> None:
    """Refuse lines that are no variants, with the first."""
    if wrong.any():
        line = raw[wrong].iloc[0]
        shown = " ".join(str(line[name])[:40] for name in _FIELDS)
        raise InputError(
            f"{int(wrong.sum()):,} of {len(raw):,} {what} are no variants, first number {line['line']}: {shown!r} ({why}). "
            f"{_NEEDED}"
        )


def _from_table(table: pd.DataFrame) -> pd.DataFrame:
    """The five columns as text; an id that is missing or ``.`` is empty."""
    named: dict[str, Any] = {}
    for column in table.columns:
        name = str(column).lower().removeprefix("#")
        if name in _FIELDS and name in named:
            raise InputError(f"the table of variants has the column {name!r} twice")
        named[name] = table[column]
    missing = [name for name in _FIELDS if name not in named and name != "id"]
    if missing:
        hint = " A column 'start' is 0-based: pos = start + 1." if "start" in named and "pos" in missing else ""
        raise InputError(f"the table of variants lacks the columns {missing}; there are {list(named)}. {_NEEDED}{hint}")
    raw = pd.DataFrame({name: named[name].astype(object) for name in _FIELDS if name in named}).reset_index(drop=True)
    raw["id"] = raw["id"] if "id" in raw else ""
    pos = raw["pos"]
    raw = raw.where(raw.notna(), "").astype(str)
    return raw.assign(pos=pos, id=raw["id"].replace(".", ""), line=np.arange(len(raw)))


def _from_vcf(path: Path) -> pd.DataFrame:
    """The first five columns of a VCF, as text, and the number of each line."""
    if not path.is_file():
        raise FileNotFoundError(f"no VCF '{path}'. Give its path, such as 'variants.vcf.gz'.")
    rows: list[list[str]] = []
    lines: list[int] = []
    for begin, block in read_blocks(path):
        if begin == 1 and block.startswith(b"BCF"):
            raise InputError(f"'{path.name}' is a BCF, which is binary; make a VCF of it: bcftools view '{path.name}'")
        for line, text in enumerate(block.decode("utf-8", "replace").split("\n"), begin):
            text = text.rstrip("\r")
            if not text.strip() or text.startswith("#"):
                continue
            fields = text.split("\t", 5)[:5]
            if len(fields) < 5:
                raise InputError(
                    f"line {line:,} of '{path.name}' has {len(fields)} columns separated by tabs: {text[:80]!r}. Needed are "
                    "CHROM, POS, ID, REF and ALT"
                )
            rows.append(fields)
            lines.append(line)
    raw = pd.DataFrame(rows, columns=["chrom", "pos", "id", "ref", "alt"], dtype=object)
    return raw.assign(id=raw["id"].replace(".", ""), line=lines)
