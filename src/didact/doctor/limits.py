"""Every number that a rule compares with, in one place; tuned by leaving each task out in turn."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Where healthy ends. Shares and ratios, unless a comment says otherwise."""

    # how a run goes
    stuck: float = 0.85  # of what the best constant costs: a loss that stays above has learned nothing
    slow: float = 0.6  # the same, of learning too little
    unstable: float = 1.25  # of the first loss
    grown: float = 1.5  # of its own minimum: learned, then lost
    most: float = 0.3  # of a loss, that another part than the known one may be
    early: int = 150  # updates
    patient: int = 400  # the same, where only a part of the loss is known
    enough: int = 40  # updates before a rule on learning may speak

    # data and labels
    majority: float = 0.8
    one_answer: float = 0.8  # of the rows of other classes, that the largest class is answered for
    too_many: float = 0.2  # of the validation rows, by which its answers outnumber it
    rare: float = 0.95  # of the rows, that leave the other classes rare
    ordered: float = 0.5  # of the way from chance to all alike
    level: float = 0.95  # of the variance of targets, between batches
    unseen_share: float = 0.005
    new_words: float = 0.05  # of the words to be told, that training never had
    steady_gap: float = 0.25  # of accuracy
    few_each: int = 10  # rows of a class
    few_to_train: int = 200  # different rows
    too_many_to_learn: int = 500  # by heart, in three epochs
    small_error: float = 0.03  # standard error of an accuracy
    few_to_validate: int = 20  # different rows
    never_asked: float = 0.3  # of the training rows, of classes that validation has none of
    few_rows: int = 50  # of a validation without classes
    miscounted: float = 0.15  # of the answers, by which an accuracy that is told may be off
    overlap: float = 0.01
    copies: float = 0.2  # of the validation rows
    copied: float = 3.0  # times that a text is met in one epoch
    leak: float = 0.98  # of labels told by one feature
    leak_second: float = 0.9
    leak_all: float = 0.998  # of labels, that are as good as all,
    leak_next: float = 0.95  # then the next may tell so many
    leak_word: float = 0.99  # of the rows of a label, that have its word, and of the others that have not
    leak_words: float = 0.5  # correlation of labels with what the other words say of them
    leak_share: float = 0.05  # of the features, that may tell alone and count as a leak
    changed: float = 0.2
    changed_once: float = 0.5  # the same, of ten batches in a row: labels may be shifted once
    mixed_otherwise: float = 0.19  # of the rows, that would have to be of other classes
    mixed_a_little: float = 0.1
    noisy: float = 0.06
    enough_rows: int = 300  # that no healthy network of their size knows by heart
    gained_little: float = 0.65  # of what ignorance costs, that validation is left with at its best
    far_off: float = 0.03  # of the rows, whose quantities lie far from those of rows like them,
    multiple: float = 3.0  # times what these tell
    two_kinds: float = 1.5  # times the variance of neighbours that agree by chance
    other_split: float = 1.0  # standard deviations that a feature's mean moves
    hardly_seen: float = 0.5  # of what is known of validation, that the loss of training shows
    hardly_near: float = 0.75  # of the loss of training, that validation costs
    surer: float = 0.66  # of all pairs of a right and a wrong answer
    hard: float = 0.68  # the same, beyond which rows are hard and not wrong, whatever else is seen
    unsure: float = 0.6  # the same, where rows are made harder or nothing else tells
    clearly: float = 3.5  # standard errors
    less_alike: float = 0.06  # of the neighbours that share a label, or of a correlation
    apart: float = 0.15  # of accuracy, by which validation is right more often than training
    told: float = 0.2  # of what neighbours could agree beyond chance
    scales: float = 100.0
    offset: float = 10.0  # standard deviations
    large_features: float = 30.0
    moments: float = 2.0
    shift: float = 0.5  # standard deviations
    unknown: float = 0.3  # of the tokens of validation
    few_words: int = 10  # different ones, whose frequencies tell nothing
    other_words: float = 0.25  # of the tokens, that would have to be others to have the same frequencies
    shifted_share: float = 0.25
    other_unit: float = 5.0  # standard deviations, which no choice of rows moves a mean by
    other_scale: float = 50.0  # of a deviation
    beyond: float = 2.0  # standard deviations, where no row of a column of running numbers is
    as_drawn: float = 0.1  # of the rows that drawing from all would have met
    tried: int = 5  # epochs
    known: float = 0.25  # of what ignorance costs
    unlike: float = 0.03  # of a feature's variance, that the squared distance of means may be
    far_target: float = 3.0  # of the variance
    off_centre: float = 2.0  # times what ignorance costs, that a first loss of targets far from 0 is
    far_away: float = 50.0  # times the first answers, that targets may be whose mean is far off as well
    out_of_sight: float = 300.0  # times the first answers, that targets of a run that is stuck may be

    # layers
    saturated: float = 0.5
    by_heart: float = 0.4  # of what ignorance costs, that may be left of one batch learned by heart
    dead: float = 0.4
    mostly_dead: float = 0.6  # the same, that died on the way, of a run that has learned something
    all_dead: float = 0.9
    straight: float = 1e-4
    mixed: float = 1e-4
    hardly_mixed: float = 5e-7  # of a run that is stuck: what reaches the answer may be small
    blind: float = 1e-5
    small_gain: float = 0.2
    tiny_gain: float = 0.02
    large_gain: float = 4.2
    first_low: float = 0.7
    first_high: float = 1.5
    first_wild: float = 5.0

    # optimisation
    large_update: float = 5e-2
    thrown: float = 1.0  # of its own length, by one update
    small_update: float = 1e-3  # of a run that is stuck
    tiny_update: float = 2e-4
    far_from_done: float = 0.4  # of what ignorance costs,
    far_in_words: float = 0.7  # of which texts leave more by nature
    as_fast: float = 0.7  # of a slope, that is left later; powers and logarithms of time keep 0.6 at most
    vanished: float = 1e-3
    faded: float = 1e-2  # of what rows differ by, that reaches the last layer
    faint: float = 2e-3  # of its weight, that a gradient is
    spike: float = 100.0
    forgotten: float = 1e-3
    clip_share: float = 0.5
    clip_ratio: float = 10.0
    idle_for: int = (
        300  # updates of others, before an optimizer that makes none is blamed in a run that goes on
    )
    rate_gone: float = 1e-2
    rate_early: float = 0.35

    # generalisation
    past: int = 3  # epochs after the minimum
    risen: float = 1.1
    fits: float = 0.15  # of what ignorance costs
    gap: float = 0.1  # of accuracy
    risen_much: float = 1.25  # where no accuracy is known
    too_regular: float = 0.2
    much_decay: float = 0.02
    shrunk: float = 0.6  # of a weight's size
    falling: float = 0.05  # of the loss, an epoch
    hardly: int = 120  # updates
    small_batch: int = 8
    modes: float = 0.5
    waiting: float = 0.5
    idle: float = 4e-3  # seconds of waiting, an update
    slow_step: float = 0.5  # seconds

    # games
    collapsed: float = 0.4
    judge: float = 0.93  # of right verdicts, over half the game
    certain: float = 0.15  # its loss where it is
    unused: float = 0.85
    runaway: float = 20.0  # size of a player's loss


LIMITS = Limits()
