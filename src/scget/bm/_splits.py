"""What is left out of training, and asked afterwards: rows, chromosomes, or both at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scget._errors import InputError, first


@dataclass(frozen=True)
class Split:
    """Rows ``obs`` and chromosomes ``chroms`` that a model must not see, under a ``name``.

    Raises
    ------
    InputError
        If nothing is left out, or a text stands where a list should.

    Examples
    --------
    >>> Split("myeloid", ["Mono", "GMP"], ["chr10"])
    Split(name='myeloid', obs=('Mono', 'GMP'), chroms=('chr10',))
    """

    name: str
    obs: Sequence[str] = ()
    chroms: Sequence[str] = ()

    def __post_init__(self) -> None:
        for what in ("obs", "chroms"):
            object.__setattr__(self, what, _names(getattr(self, what), f"{what} of split {self.name!r}"))
        object.__setattr__(self, "name", str(self.name))
        if not self.obs and not self.chroms:
            raise InputError(f"split {self.name!r} leaves nothing out; give rows, chromosomes or both")


def leave_one_out(rows: Sequence[str], chroms: Sequence[str] = ()) -> list[Split]:
    """One split per row, named as it is, with the same ``chroms`` left out of each.

    Parameters
    ----------
    rows
        Names, such as ``pb["atac"].obs_names``.
    chroms
        Names of chromosomes.

    Raises
    ------
    InputError
        If there are none, or one is there twice.

    Examples
    --------
    >>> [split.name for split in scget.bm.leave_one_out(["Mono", "NK"], ["chr10"])]
    ['Mono', 'NK']
    """
    return [Split(row, (row,), chroms) for row in _some(_names(rows, "rows"), "rows")]


def leave_groups_out(groups: Mapping[str, Sequence[str]], chroms: Sequence[str] = ()) -> list[Split]:
    """One split per group of rows, such as a lineage or a donor, so that no near relative is seen.

    Parameters
    ----------
    groups
        Name to rows. A row may be in several groups or in none.
    chroms
        Names of chromosomes left out of each.

    Raises
    ------
    InputError
        If there is no group, or one is empty.

    Examples
    --------
    >>> splits = scget.bm.leave_groups_out({"lymphoid": ["CD8", "NK"], "myeloid": ["Mono"]})
    >>> splits[0].obs
    ('CD8', 'NK')
    """
    if not isinstance(groups, Mapping):
        raise InputError(f"groups of type {type(groups).__name__}; a mapping of names to rows is needed")
    _some(tuple(groups), "groups")
    return [Split(name, _some(_names(rows, f"group {name!r}"), f"rows in {name!r}"), chroms) for name, rows in groups.items()]  # fmt: skip


def chromosome_folds(chroms: Sequence[str] | Mapping[str, int], n: int) -> list[Split]:
    """Deal chromosomes into ``n`` folds, each left out once.

    Parameters
    ----------
    chroms
        Names; or name to size (such as the number of genes), for folds of about the same size.
    n
        Number of folds.

    Returns
    -------
    Splits named ``fold 1`` and so on: the largest chromosome left goes to the smallest fold.

    Raises
    ------
    InputError
        If there are fewer chromosomes than folds, or ``n`` is below 2.

    Examples
    --------
    >>> [split.chroms for split in scget.bm.chromosome_folds({"chr1": 9, "chr2": 5, "chr3": 3}, 2)]
    [('chr1',), ('chr2', 'chr3')]
    """
    names = _names(tuple(chroms) if isinstance(chroms, Mapping) else chroms, "chroms")
    if n < 2 or len(names) < n:
        raise InputError(
            f"{len(names)} chromosomes cannot be dealt into {n} folds; 2 to {len(names)} folds are possible"
        )
    sizes = {name: float(chroms[name]) if isinstance(chroms, Mapping) else 1.0 for name in names}
    folds: list[list[str]] = [[] for _ in range(n)]
    for name in sorted(names, key=lambda name: -sizes[name]):
        min(folds, key=lambda fold: (sum(sizes[c] for c in fold), len(fold))).append(name)
    return [Split(f"fold {i}", (), fold) for i, fold in enumerate(folds, 1)]


def _names(names: Sequence[str], what: str) -> tuple[str, ...]:
    if isinstance(names, str):  # would be read letter by letter
        raise InputError(f"{what}: {names!r} is one text; a list is needed: [{names!r}]")
    texts = tuple(map(str, names))
    twice = sorted({t for t in texts if texts.count(t) > 1})
    if twice:
        raise InputError(f"{what}: {first(twice)} stand there more than once; name each once")
    return texts


def _some(names: tuple[str, ...], what: str) -> tuple[str, ...]:
    if not names:
        raise InputError(f"no {what}: nothing would be left out; name at least one")
    return names
