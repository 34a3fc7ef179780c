"""Random changes to training images, drawn from (seed, epoch, position) so that a run can be repeated."""

from didact.data.augment.chain import CHANGES, augmentation
from didact.data.augment.damage import noise
from didact.data.augment.place import flip, shift

__all__ = ["CHANGES", "augmentation", "flip", "noise", "shift"]
