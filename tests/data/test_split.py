"""Splits: exact shares, nothing twice, nothing lost, classes kept in proportion."""

from collections import Counter

import pytest

from didact.data.split import document_split, fold_split, hold_out, parse_ratio, ratio_split
from didact.errors import UsageError


def everything(split):
    return sorted(index for indices in split.values() for index in indices)


@pytest.mark.parametrize(("rule", "sizes"), [("60/20/20", (60, 20, 20)), ("80/10/10", (80, 10, 10))])
def test_a_hundred_examples_are_split_exactly(rule, sizes):
    split = ratio_split([0] * 100, rule, seed=0)
    assert tuple(len(split[name]) for name in ("train", "val", "test")) == sizes
    assert everything(split) == list(range(100))


def test_a_split_is_a_function_of_the_seed():
    assert ratio_split([0] * 50, "60/20/20", 1) == ratio_split([0] * 50, "60/20/20", 1)
    assert ratio_split([0] * 50, "60/20/20", 1) != ratio_split([0] * 50, "60/20/20", 2)


def test_class_shares_are_kept():
    groups = [0] * 50 + [1] * 30 + [2] * 20
    split = ratio_split(groups, "60/20/20", seed=3)
    assert Counter(groups[i] for i in split["train"]) == {0: 30, 1: 18, 2: 12}
    assert Counter(groups[i] for i in split["test"]) == {0: 10, 1: 6, 2: 4}


@pytest.mark.parametrize("rule", ["60/20/20", "98/1/1", "2/49/49", "10/45/45", "2/96/2"])
@pytest.mark.parametrize("count", [3, 4, 5, 7, 11])
def test_a_class_of_three_is_in_every_split(rule, count):
    split = ratio_split([0] * count + [1] * 3, rule, seed=0)
    assert everything(split) == list(range(count + 3))
    for indices in split.values():
        assert {0, 1} == {int(index >= count) for index in indices}


@pytest.mark.parametrize("rule", ["60/20", "60/20/30", "a/b/c", "100/0/0", "120/-10/-10", ""])
def test_a_rule_that_is_none_is_refused_in_one_line(rule):
    with pytest.raises(UsageError, match="60/20/20") as caught:
        parse_ratio(rule)
    assert "\n" not in str(caught.value)


def test_folds_are_disjoint_and_test_every_example_once():
    groups = [0] * 13 + [1] * 9 + [2] * 5
    splits = [fold_split(groups, 5, fold, seed=0) for fold in range(5)]
    assert sorted(index for split in splits for index in split["test"]) == list(range(27))
    assert sorted(index for split in splits for index in split["val"]) == list(range(27))
    for split in splits:
        assert everything(split) == list(range(27))
        assert len(split["test"]) in (5, 6)


def test_folds_keep_the_class_shares():
    groups = [0] * 40 + [1] * 10
    for fold in range(5):
        test = fold_split(groups, 5, fold, seed=0)["test"]
        assert Counter(groups[i] for i in test) == {0: 8, 1: 2}


@pytest.mark.parametrize(("folds", "fold"), [(2, 0), (11, 0), (5, 5), (5, -1)])
def test_folds_out_of_range_are_refused(folds, fold):
    with pytest.raises(UsageError, match="fold"):
        fold_split([0] * 10, folds, fold, seed=0)


def test_what_is_held_out_is_no_longer_kept():
    groups = [0] * 10 + [1] * 10
    kept, held = hold_out(groups, 0.2, seed=0)
    assert sorted(kept + held) == list(range(20))
    assert Counter(groups[i] for i in held) == {0: 2, 1: 2}


def test_documents_are_split_whole_and_by_length():
    lengths = [900, 10, 300, 50, 700, 20, 400, 80, 600, 30] * 4
    chosen = document_split(lengths, "80/10/10", seed=3)
    assert sorted(chosen["train"] + chosen["val"] + chosen["test"]) == list(range(40))
    shares = {name: sum(lengths[i] for i in part) / sum(lengths) for name, part in chosen.items()}
    assert shares == {
        "train": pytest.approx(0.8, abs=0.06),
        "val": pytest.approx(0.1, abs=0.06),
        "test": pytest.approx(0.1, abs=0.06),
    }
    assert document_split(lengths, "80/10/10", seed=4) != chosen
