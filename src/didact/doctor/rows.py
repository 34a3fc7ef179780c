"""The rows that pass through: fingerprints, labels, order, moments, and a small sample."""

# B rows, F features

import functools
import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from operator import eq
from typing import Any

import numpy as np
import torch
from torch import Tensor

from didact.doctor.chart import Rows

_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # of the golden ratio (Knuth 1973, multiplicative hashing)
SAMPLE, FEATURES = 400, 1000  # rows and features that are kept
REMEMBERED = 200_000  # rows whose fingerprints are kept
LABELS = 1000  # different labels that are counted
TOKENS = 50_000  # that are remembered
LATE = 4  # batches that are kept of the last ones
DRAWN = 4096  # numbers of a row that is kept to be shown


def fingerprints(rows: Tensor) -> list[int]:
    """A number for each row: equal rows get equal numbers, others almost surely not."""
    flat = rows.detach().reshape(len(rows), -1).cpu()
    flat = (flat.float() if flat.dtype == torch.bfloat16 else flat).contiguous()
    words = _words(flat.numpy())
    words = words * _SPREAD  # then a sum of odd multiples, modulo 2^64
    words ^= words >> np.uint64(32)
    sums: list[int] = (words * _multipliers(words.shape[1])).sum(1, dtype=np.uint64).tolist()
    return sums


def _words(rows: np.ndarray) -> np.ndarray:
    """The bytes of each row as numbers of 64 bits; the last is filled up with zeros."""
    raw = rows.view(np.uint8).reshape(len(rows), -1)
    if raw.shape[1] % 8:
        raw = np.pad(raw, ((0, 0), (0, -raw.shape[1] % 8)))
    return raw.view(np.uint64)


@functools.cache
def _multipliers(count: int) -> np.ndarray:
    """Odd numbers of 64 bits."""
    return np.random.default_rng(0).integers(2**63, size=count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def together(tensors: Sequence[Tensor]) -> Tensor:
    """One after the other."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def thin(rows: Tensor) -> Tensor:
    """At most a thousand evenly chosen features of each row, (B, F), as float32 on the CPU."""
    flat = rows.detach().reshape(len(rows), -1)
    if flat.shape[1] > FEATURES:
        flat = flat[:, torch.linspace(0, flat.shape[1] - 1, FEATURES, device=flat.device).long()]
    return flat.to("cpu", torch.float32)


class Register:
    """Fills ``Rows`` as batches pass."""

    def __init__(self, rows: Rows):
        self.rows = rows
        self.target_of: dict[int, Any] = {}
        self.values: set[Any] = set()  # of targets, before rows are met again
        self.first_epoch = True
        self.kept: list[tuple[Tensor, Tensor]] = []
        self.count = 0
        self.late: deque[tuple[Tensor, Tensor]] = deque(maxlen=LATE)
        self.held: list[tuple[Tensor, Tensor]] = []  # rows of a validation
        self.own_loss = False  # the model computes it, from targets that are among its inputs
        self.given_away: set[int] = set()  # places of inputs that are the targets, one place back,
        self.written: tuple[torch.Size, int] | None = None  # their shape and their axis of time
        self.phase: list[tuple[int, int, list[int]]] = []  # of one validation: rows, known ones, all of them
        self.twin: tuple[int, np.ndarray] | None = None  # the first of them that is known: its number, itself

    def train(self, inputs: Tensor | None, targets: Tensor | None, prints: list[int]) -> None:
        """Note the fingerprints of a training batch, and its rows."""
        rows = self.rows
        if inputs is not None and not inputs.is_floating_point():
            _tally(rows.words, inputs)
        new = [print not in rows.train for print in prints]
        known = len(new) - sum(new)
        if self.first_epoch and known < self._many(len(prints)):
            rows.repeated += len(prints) - len(set(prints) - rows.train)
        else:
            self.first_epoch = False
        rows.train_seen += len(prints)
        if len(rows.train) < REMEMBERED:
            rows.train.update(prints)
        if targets is not None and targets.dim() and len(targets) == len(prints):
            self._pair(inputs, targets, prints, new)

    def _many(self, rows: int) -> float:
        """So many known rows of a batch tell that another epoch has begun: beyond half, and beyond chance."""
        usual = self.rows.repeated / max(self.rows.train_seen, 1)
        return max(0.5, min(0.95, usual + 4 * math.sqrt(usual * (1 - usual) / rows))) * rows

    def _pair(self, inputs: Tensor | None, targets: Tensor, prints: list[int], new: list[bool]) -> None:
        """Each row and its target: were they seen together before?"""
        if targets.numel() == len(prints):
            self._compare(prints, targets.reshape(-1).tolist())
        else:
            self._compare(prints, fingerprints(targets))  # several labels, or quantities
        if inputs is None:
            return
        if self.count < SAMPLE and len(self.kept) < SAMPLE:
            fresh = torch.tensor(new)
            self._keep(inputs[fresh], targets[fresh])
        elif self.count >= SAMPLE and targets.dim() == 1:
            self.late.append((inputs[:64], targets[:64]))

    def _compare(self, prints: list[int], values: list[Any]) -> None:
        if self.first_epoch and len(self.target_of) < REMEMBERED:
            self.values.update(values)
            for print, value in zip(prints, values, strict=True):
                self.rows.at_odds += self.target_of.setdefault(print, value) != value
            return
        again, changed = self.rows.again, self.rows.changed
        for print, value in zip(prints, values, strict=True):
            before = self.target_of.get(print)
            if before is None:
                if len(self.target_of) < REMEMBERED:
                    self.target_of[print] = value
            elif not self.first_epoch:
                self.rows.again += 1
                if before != value:
                    other = abs(before - value) > 1e-4 * (abs(value) + 1e-6)
                    self.rows.changed += other and value in self.values  # else it is estimated anew
                    self.target_of[print] = value
        self.rows.lately.append((self.rows.again - again, self.rows.changed - changed))

    def _keep(self, inputs: Tensor, targets: Tensor) -> None:
        """Rows that were never met before, so that no row is its own neighbour."""
        if not len(inputs):
            return
        room = SAMPLE - self.count
        self.kept.append((thin(inputs[:room]), targets.detach()[:room].to("cpu")))
        self.rows.table = inputs.dim() == 2 and inputs.is_floating_point()
        self.rows.tokens = not inputs.is_floating_point()
        self.count += len(self.kept[-1][0])

    def settle(self) -> None:
        """Put the samples together."""
        late = [(thin(rows), labels.cpu()) for rows, labels in self.late] if len(self.late) == LATE else []
        samples: list[list[tuple[Tensor, Tensor]]] = [self.kept, late, self.held]
        if self.rows.tokens and self.kept:  # which are filled up to the longest of their batch
            longest = max(rows.shape[1] for sample in samples for rows, _ in sample)
            samples = [[(_filled(rows, longest), labels) for rows, labels in sample] for sample in samples]
        first, last, held = map(_together, samples)
        if first is None:
            return
        self.rows.inputs, self.rows.targets = first
        self.rows.integer = first[1].dtype.kind != "f"
        self.rows.late, self.rows.held = (
            other if other and other[0].shape[1:] == first[0].shape[1:] else None for other in (last, held)
        )

    def validated(self, inputs: Tensor, targets: Tensor) -> None:
        """Keep rows of a validation, and what they should be answered."""
        room = SAMPLE - sum(len(rows) for rows, _ in self.held)
        if room > 0 and len(inputs) and targets.shape[:1] == inputs.shape[:1]:
            self.held.append((inputs[:room], targets[:room].detach().to("cpu", copy=True)))

    def labels(self, targets: Tensor, training: bool) -> None:
        """Count integer labels, and how they are ordered in the batch."""
        if not targets.numel() or not targets.dim():
            return
        if targets.is_floating_point():  # yes or no, as numbers
            if targets.numel() != len(targets):
                self._count_columns(targets, training)
                return
            yes_or_no = not self.rows.levels and bool(((targets == 0) | (targets == 1)).all())
            if not yes_or_no:
                if len(targets) > 3:
                    flat = targets.detach().double()
                    levels = self.rows.levels if training else self.rows.val_levels
                    levels.append((len(targets), float(flat.mean()), float(flat.var())))
                    if training:
                        self.rows.labels.clear()  # whole numbers, of which some batches had two only
                return
            targets = targets.reshape(-1).long()
        counts = self.rows.labels if training else self.rows.val_labels
        values = targets[targets != self.rows.ignored].tolist()
        if len(counts) < LABELS:
            for value, number in Counter(values).items():
                counts[value] = counts.get(value, 0) + number
        if training and targets.dim() == 1 and len(values) > 3:
            self.rows.order.append(sum(map(eq, values, values[1:])) / (len(values) - 1))
            self.rows.sizes.append(len(values))

    def _count_columns(self, targets: Tensor, training: bool) -> None:
        """Several labels a row, (B, K) of zeros and ones: how often is each of them on?"""
        if targets.dim() != 2 or targets.shape[1] > 64 or not bool(((targets == 0) | (targets == 1)).all()):
            return
        columns = self.rows.columns if training else self.rows.val_columns
        for k, times in enumerate(targets.sum(0).tolist()):
            columns[k] = columns.get(k, 0.0) + times

    def begin_phase(self) -> None:
        """Another validation begins."""
        self.phase, self.twin = [], None

    def validate(self, inputs: Tensor, identity: Tensor) -> list[bool]:
        """Note a batch of a validation, and what tells its rows apart; which of them were trained on?"""
        prints = fingerprints(identity)
        if not inputs.is_floating_point():
            _tally(self.rows.val_words, inputs)
        known = [print in self.rows.train for print in prints]
        if self.twin is None and any(known) and inputs[0].numel() <= DRAWN:
            k, before = known.index(True), sum(rows for rows, _, _ in self.phase)
            self.twin = before + k, inputs[k].detach().to("cpu", torch.float32, copy=True).numpy()
        self.phase.append((len(prints), sum(known), prints))
        return known

    def moments(self, inputs: Tensor, training: bool) -> None:
        """Running count, mean and sum of squares of each feature (Chan, Golub and LeVeque 1979)."""
        name = "train" if training else "val"
        flat = thin(inputs).double().numpy()
        if (
            not training
            and "train" in self.rows.moments
            and flat.shape[1:] != self.rows.moments["train"][1].shape
        ):
            return  # of another part of the model
        if not np.isfinite(flat).all() or not len(flat):
            return
        if not training:
            self._follow(flat)
        count, mean, square = len(flat), flat.mean(0), ((flat - flat.mean(0)) ** 2).sum(0)
        if name in self.rows.moments and self.rows.moments[name][1].shape == mean.shape:
            n, m, s = self.rows.moments[name]
            gap, all_rows = mean - m, n + count
            square = s + square + gap**2 * n * count / all_rows
            mean, count = m + gap * count / all_rows, all_rows
        self.rows.moments[name] = count, mean, square

    def _follow(self, flat: np.ndarray) -> None:
        """How far each feature moves from one row of validation to the next, (B, F): windows overlap."""
        moved = (np.diff(flat, axis=0) ** 2).sum(0)
        pairs, before = self.rows.successive or (0, np.zeros_like(moved))
        if before.shape == moved.shape:
            self.rows.successive = pairs + len(flat) - 1, before + moved

    def looks_into(self, parts: Sequence[Tensor], targets: Tensor) -> None:
        """Whether targets are the inputs themselves, or the inputs one place on; each part is looked at."""
        inputs = parts[0]
        for k, part in enumerate(parts[1:], 1):
            self._look_into_part(k, part, targets)
        if inputs.dim() < 2 or targets.numel() != inputs.numel():
            return
        targets = targets.reshape(inputs.shape)
        same, before = targets == inputs, targets[:, 1:] == inputs[:, :-1]
        if not inputs.is_floating_point():  # numbers are meant to be told again, by an autoencoder
            self.rows.visible.append(max(float(same.double().mean()), float(before.double().mean())))
        for axis in (1, 0):
            n = inputs.shape[axis] - 1
            later = targets.narrow(axis, 0, n) == inputs.narrow(axis, 1, n)
            if n and bool(later.double().mean() > 0.99):
                self.rows.shifted = axis

    def _look_into_part(self, place: int, part: Tensor, targets: Tensor) -> None:
        """Words that a decoder is given: those it has to say, or those before them."""
        if part.numel() != targets.numel() or part.dim() != 2 or part.is_floating_point() or self.own_loss:
            return
        self.told(part, targets)
        targets = targets.reshape(part.shape)
        for axis in (1, 0):
            n = part.shape[axis] - 1
            before = part.narrow(axis, 1, n) == targets.narrow(axis, 0, n)
            if n and bool(before.double().mean() > 0.99):
                self.given_away.add(place)
                self.written = part.shape, axis

    def told(self, words: Tensor, targets: Tensor) -> None:
        """How many of the words that a decoder is given are those it has to say at their places."""
        if words.numel() == targets.numel() and words.dim() == 2 and not words.is_floating_point():
            self.rows.told.append(float((words == targets.reshape(words.shape)).double().mean()))

    def by_row(self, targets: Tensor) -> Tensor:
        """Targets that came flattened as (B, T), where a decoder's words tell how."""
        if self.written is None or targets.dim() != 1 or targets.numel() != self.written[0].numel():
            return targets
        shape, axis = self.written
        return targets.reshape(shape) if axis == 1 else targets.reshape(shape).T


def _filled(rows: Tensor, width: int) -> Tensor:
    """Rows of words, (B, T), filled up with the word of number 0."""
    return torch.nn.functional.pad(rows, (0, width - rows.shape[1]))


def _together(sample: Sequence[tuple[Tensor, Tensor]]) -> tuple[np.ndarray, np.ndarray] | None:
    """Rows and targets of several batches, where they are of one shape."""
    if len({(rows.shape[1:], targets.shape[1:]) for rows, targets in sample}) != 1:
        return None
    rows, targets = (torch.cat(part) for part in zip(*sample, strict=True))
    return rows.numpy(), targets.numpy()


def _tally(words: dict[int, int], inputs: Tensor) -> None:
    if len(words) < TOKENS:
        for word, times in Counter(inputs.flatten().tolist()).items():
            words[word] = words.get(word, 0) + times


def chance(labels: Mapping[Any, int]) -> float:
    """How often two random rows share a label, of which so many have each: the sum of squared shares."""
    total = sum(labels.values())
    return sum((n / total) ** 2 for n in labels.values()) if total else math.nan


def mixed_otherwise(labels: Mapping[Any, int], others: Mapping[Any, int]) -> float:
    """The share of rows that would have to be of other classes, to be mixed like others; 0 without any."""
    total, there = sum(labels.values()), sum(others.values())
    if not total or not there:
        return 0.0
    return sum(abs(labels.get(k, 0) / total - others.get(k, 0) / there) for k in {*labels, *others}) / 2
