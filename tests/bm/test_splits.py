"""What is left out."""

from __future__ import annotations

import pytest

from scget._errors import InputError
from scget.bm import Split, chromosome_folds, leave_groups_out, leave_one_out

GENES = {"chr1": 20, "chr2": 13, "chr3": 11, "chr4": 8, "chr5": 9, "chrX": 9}


def test_each_row_or_group_is_left_out_once():
    splits = leave_one_out(["Mono", "NK", "HSC"], ["chr10"])
    assert splits == [Split(name, [name], ["chr10"]) for name in ("Mono", "NK", "HSC")]
    groups = {"lymphoid": ["CD8", "NK"], "myeloid": ["Mono"]}
    assert [(s.name, s.obs, s.chroms) for s in leave_groups_out(groups)] == [
        ("lymphoid", ("CD8", "NK"), ()),
        ("myeloid", ("Mono",), ()),
    ]
    assert len({Split("a", ["b"]), Split("a", ("b",))}) == 1  # frozen, so it may be a key


@pytest.mark.parametrize("n", [2, 3, 6])
def test_folds_hold_each_chromosome_once_and_are_of_a_size(n):
    folds = chromosome_folds(GENES, n)
    assert len(folds) == n and sorted(c for f in folds for c in f.chroms) == sorted(GENES)
    sizes = [sum(GENES[c] for c in f.chroms) for f in folds]
    # Largest first to the smallest fold: no fold exceeds the mean by more than the largest chromosome.
    assert max(sizes) - min(sizes) <= max(GENES.values()) - (n < 6) * 8
    counts = [len(f.chroms) for f in chromosome_folds(list(GENES), n)]
    assert max(counts) - min(counts) <= 1
    assert all(f.obs == () for f in folds) and len({f.name for f in folds}) == n


def test_order_of_names_does_not_matter_to_folds():
    turned = dict(reversed([(c, s) for c, s in GENES.items() if c != "chrX"]))
    straight = {c: GENES[c] for c in reversed(turned)}
    assert [set(f.chroms) for f in chromosome_folds(turned, 2)] == [
        set(f.chroms) for f in chromosome_folds(straight, 2)
    ]


def test_nonsense_is_refused():
    for call, message in (
        (lambda: Split("a"), "split 'a' leaves nothing out"),
        (lambda: Split("a", "Mono"), r"obs of split 'a': 'Mono' is one text; a list is needed: \['Mono'\]"),
        (lambda: Split("a", ["NK", "NK"]), "'NK' stand there more than once"),
        (lambda: leave_one_out([]), "no rows: nothing would be left out"),
        (lambda: leave_one_out("Mono"), "'Mono' is one text"),
        (lambda: leave_groups_out({"a": []}), "no rows in 'a'"),
        (lambda: leave_groups_out({"a": "NK"}), "group 'a': 'NK' is one text"),
        (lambda: leave_groups_out({}), "no groups"),
        (lambda: leave_groups_out([["NK"]]), "groups of type list; a mapping"),
        (lambda: chromosome_folds(["chr1"], 2), "1 chromosomes cannot be dealt into 2 folds"),
        (lambda: chromosome_folds(GENES, 1), "into 1 folds"),
    ):
        with pytest.raises(InputError, match=message):
            call()
