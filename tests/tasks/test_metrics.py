"""Every metric against scikit-learn or SciPy on random data, and on cases small enough to count by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from sklearn import metrics as oracle

from didact.tasks import metrics

CLASSES = 7
APPROX = {"rel": 1e-12, "abs": 1e-12}


@pytest.fixture(params=range(5))
def answers(request):
    """Scores (N, C), labels and predictions; classes 5 and 6 are never the truth, class 6 never predicted."""
    generator = torch.Generator().manual_seed(request.param)
    count = [1, 2, 10, 57, 400][request.param]
    logits = torch.randn(count, CLASSES, generator=generator)
    logits[:, 6] = -9
    labels = torch.randint(CLASSES - 2, (count,), generator=generator)
    return logits, labels, logits.argmax(1)


@pytest.mark.parametrize("k", range(1, CLASSES))
def test_top_k_accuracy(answers, k):
    logits, labels, _ = answers
    expected = oracle.top_k_accuracy_score(labels, logits, k=k, labels=range(CLASSES))
    assert metrics.top_k_accuracy(logits, labels, k) == pytest.approx(expected, **APPROX)


def test_accuracy_is_top_1(answers):
    logits, labels, predicted = answers
    assert metrics.accuracy(logits, labels) == pytest.approx(
        oracle.accuracy_score(labels, predicted), **APPROX
    )


def test_all_classes_hold_every_label(answers):
    assert metrics.top_k_accuracy(answers[0], answers[1], CLASSES) == 1


@pytest.mark.parametrize("k", [1, 2, CLASSES])
def test_top_k_error_is_what_is_missing_to_one(answers, k):
    logits, labels, _ = answers
    hits = sum(int(label) in row.topk(k).indices.tolist() for row, label in zip(logits, labels, strict=True))
    assert metrics.top_k_error(logits, labels, k) == pytest.approx(1 - hits / len(labels), **APPROX)


@pytest.mark.parametrize("k", [0, -1, CLASSES + 1])
def test_k_outside_the_classes_is_refused(answers, k):
    with pytest.raises(ValueError, match=f"k={k}.*{CLASSES}"):
        metrics.top_k_accuracy(answers[0], answers[1], k)


def test_confusion_matrix(answers):
    _, labels, predicted = answers
    expected = oracle.confusion_matrix(labels, predicted, labels=range(CLASSES))
    assert metrics.confusion_matrix(predicted, labels, CLASSES).tolist() == expected.tolist()


def test_confusion_matrix_has_the_truth_in_rows():
    matrix = metrics.confusion_matrix(torch.tensor([1, 1, 0]), torch.tensor([0, 0, 2]), 3)
    assert matrix.tolist() == [[0, 2, 0], [0, 0, 0], [1, 0, 0]]


def test_macro_f1(answers):
    _, labels, predicted = answers
    expected = oracle.f1_score(labels, predicted, average="macro", zero_division=0)
    assert metrics.macro_f1(metrics.confusion_matrix(predicted, labels, CLASSES)) == pytest.approx(
        expected, **APPROX
    )


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label")
def test_balanced_accuracy(answers):
    _, labels, predicted = answers
    expected = oracle.balanced_accuracy_score(labels, predicted)
    assert metrics.balanced_accuracy(metrics.confusion_matrix(predicted, labels, CLASSES)) == pytest.approx(
        expected, **APPROX
    )


def test_classes_that_do_not_occur_do_not_count():
    predicted, labels = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 0])
    matrix = metrics.confusion_matrix(predicted, labels, 5)
    assert metrics.balanced_accuracy(matrix) == 0.75  # one class occurs: its recall
    assert metrics.macro_f1(matrix) == pytest.approx((2 * 0.75 / 1.75 + 0) / 2)  # 0 and 1 occur


@pytest.mark.parametrize("offset", [0, 1e4])
def test_regression_metrics(offset):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(50, 1, generator=generator) + offset
    predicted = targets + torch.randn(50, 1, generator=generator)
    pair = targets.double().numpy(), predicted.double().numpy()
    assert metrics.mean_squared_error(predicted, targets) == pytest.approx(oracle.mean_squared_error(*pair))
    assert metrics.mean_absolute_error(predicted, targets) == pytest.approx(oracle.mean_absolute_error(*pair))
    assert metrics.r_squared(predicted, targets) == pytest.approx(oracle.r2_score(*pair))


@pytest.mark.parametrize(("predicted", "expected"), [([2.0, 2.0, 2.0], 1), ([1.0, 2.0, 3.0], 0)])
def test_r_squared_of_equal_targets_is_a_number(predicted, expected):
    """There is no variance to explain: as in scikit-learn, 1 for a perfect answer and 0 for any other."""
    targets = [2.0, 2.0, 2.0]
    assert metrics.r_squared(torch.tensor(predicted), torch.tensor(targets)) == expected
    assert oracle.r2_score(targets, predicted) == expected


def test_r_squared_of_the_mean_is_zero():
    targets = torch.tensor([1.0, 2.0, 6.0])
    assert metrics.r_squared(torch.full((3,), 3.0), targets) == pytest.approx(0)


def test_token_nll_and_bits():
    logits = torch.randn(3, 4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tokens = torch.randint(9, (3, 4), generator=torch.Generator().manual_seed(1))
    expected = -np.take_along_axis(special.log_softmax(logits.numpy(), -1), tokens[..., None].numpy(), -1)
    nll = metrics.token_nll(logits, tokens)
    assert nll.shape == (3, 4)
    assert nll.flatten().tolist() == pytest.approx(expected.flatten().tolist(), **APPROX)
    assert metrics.bits(math.log(8)) == pytest.approx(3)


@pytest.mark.parametrize("sizes", [(50, 50), (1000, 40), (7, 300), (1, 5), (10, 15)])
def test_wasserstein(sizes):
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(sizes[0], generator=generator, dtype=torch.float64)
    b = 2 * torch.randn(sizes[1], generator=generator, dtype=torch.float64) + 1
    expected = stats.wasserstein_distance(a.numpy(), b.numpy())
    assert metrics.wasserstein(a, b) == pytest.approx(expected)
    assert metrics.wasserstein(b, a) == pytest.approx(expected)


def test_wasserstein_counted_by_hand():
    assert metrics.wasserstein(torch.tensor([[0.0], [1.0]]), torch.tensor([3.0, 2.0])) == 2
    assert metrics.wasserstein(torch.tensor([0.0, 0.0, 3.0]), torch.tensor([0.0, 3.0])) == pytest.approx(0.5)
    assert metrics.wasserstein(torch.ones(4), torch.ones(9)) == 0
