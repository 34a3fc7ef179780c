"""Splits: which example is for training, which for choosing, which for the one test at the end.

A split is a function of the targets, the rule and the seed. Class shares are kept (stratified), rounding
never leaves a class of three or more without a training, validation and test example, and with folds every
example is tested exactly once over the folds. Notes 001, section II.
"""

from collections.abc import Sequence

import numpy as np

from didact.errors import UsageError

Indices = dict[str, list[int]]


def parse_ratio(rule: str) -> tuple[float, float, float]:
    """Read ``"60/20/20"`` as shares of train, val and test that sum to one.

    Raises:
        UsageError: Not three positive numbers that sum to 100.
    """
    try:
        shares = tuple(float(part) for part in rule.split("/"))
    except ValueError:
        shares = ()
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 100) > 1e-6:
        raise UsageError(
            f"split={rule!r}: three positive shares that sum to 100 are needed, such as 60/20/20"
        )
    return (shares[0] / 100, shares[1] / 100, shares[2] / 100)


def ratio_split(groups: Sequence[int], rule: str, seed: int) -> Indices:
    """Split ``len(groups)`` examples by shares, within each group (a class; all zeros when there is none)."""
    shares = parse_ratio(rule)
    chosen: Indices = {"train": [], "val": [], "test": []}
    rng = np.random.default_rng([seed, 1])
    for members in _shuffled_groups(groups, rng):
        val = _share(len(members), shares[1], 2)
        test = _share(len(members), shares[2], val + 1)
        chosen["val"] += members[:val]
        chosen["test"] += members[val : val + test]
        chosen["train"] += members[val + test :]
    return {name: sorted(indices) for name, indices in chosen.items()}


def document_split(lengths: Sequence[int], rule: str, seed: int) -> Indices:
    """Split whole documents so that the shares hold for their lengths: each goes where most is missing."""
    total = sum(lengths)
    missing = dict(zip(("train", "val", "test"), (share * total for share in parse_ratio(rule)), strict=True))
    chosen: Indices = {name: [] for name in missing}
    for index in np.random.default_rng([seed, 4]).permutation(len(lengths)).tolist():
        name = max(missing, key=lambda split: missing[split])
        chosen[name].append(index)
        missing[name] -= lengths[index]
    return {name: sorted(indices) for name, indices in chosen.items()}


def fold_split(groups: Sequence[int], folds: int, fold: int, seed: int) -> Indices:
    """Fold ``fold`` of ``folds`` is the test split, the next one validates, the rest trains.

    Raises:
        UsageError: Fewer than three folds, more folds than examples, or a fold outside the range.
    """
    if not 3 <= folds <= len(groups):
        raise UsageError(f"folds={folds}: choose from 3 to the number of examples, {len(groups)}")
    if not 0 <= fold < folds:
        raise UsageError(f"fold={fold}: with folds={folds} the folds are 0 to {folds - 1}")
    rng = np.random.default_rng([seed, 2])
    dealt: list[list[int]] = [[] for _ in range(folds)]
    position = 0
    for members in _shuffled_groups(groups, rng):
        for index in members:  # dealing on where the last class stopped keeps the folds equally long
            dealt[position % folds].append(index)
            position += 1
    val = (fold + 1) % folds
    train = [index for k, part in enumerate(dealt) if k not in (fold, val) for index in part]
    return {"train": sorted(train), "val": sorted(dealt[val]), "test": sorted(dealt[fold])}


def hold_out(groups: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Take a stratified share out of a training split that came without a validation split."""
    rng = np.random.default_rng([seed, 3])
    kept: list[int] = []
    held: list[int] = []
    for members in _shuffled_groups(groups, rng):
        count = _share(len(members), share, 1)
        held += members[:count]
        kept += members[count:]
    return sorted(kept), sorted(held)


def some_of(groups: Sequence[int], count: int, seed: int) -> list[int]:
    """Choose ``count`` examples that keep the class shares; a larger choice holds every smaller one.

    Example:
        >>> len(some_of([0, 0, 0, 0, 1, 1], 3, seed=0))
        3

    Raises:
        UsageError: More than there are.
    """
    if count > len(groups):
        raise UsageError(f"examples={count}: the training split has {len(groups)}; 0 takes all of them")
    ranked = []
    for members in _shuffled_groups(groups, np.random.default_rng([seed, 5])):
        ranked += [((rank + 0.5) / len(members), index) for rank, index in enumerate(members)]
    return sorted(index for _, index in sorted(ranked)[:count])


def _share(count: int, share: float, spare: int) -> int:
    """Round a share of a group; one of three or more gives at least one and keeps ``spare`` back."""
    rounded = round(count * share)
    return min(max(rounded, 1), count - spare) if count >= 3 else rounded


def _shuffled_groups(groups: Sequence[int], rng: np.random.Generator) -> list[list[int]]:
    array = np.asarray(groups)
    return [rng.permutation(np.flatnonzero(array == group)).tolist() for group in np.unique(array)]
