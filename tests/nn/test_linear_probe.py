"""The linear probe against scikit-learn, and at its ends: nothing to read, and everything."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from didact.errors import UsageError
from didact.nn.linear_probe import left_out_accuracy


@pytest.mark.parametrize("ridge", [0.01, 0.1, 3.0])
def test_one_fit_answers_as_forty(ridge: float):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(3, (40,), generator=generator)
    inputs = torch.randn(40, 2, 3, generator=generator) + 0.5 * labels[:, None, None]
    features = inputs.flatten(1).double()
    features = ((features - features.mean(0)) / features.std(0)).numpy()
    targets = np.eye(3)[labels]
    answers = cross_val_predict(
        Ridge(alpha=ridge * 6, fit_intercept=True), features, targets, cv=LeaveOneOut()
    )
    expected = (answers.argmax(1) == labels.numpy()).mean()
    assert 0.34 < expected < 0.9
    assert left_out_accuracy(inputs, labels, ridge) == pytest.approx(expected)


def test_noise_tells_nothing_and_the_labels_everything():
    torch.manual_seed(0)
    labels = torch.arange(200) % 4
    assert left_out_accuracy(torch.randn(200, 10), labels) < 0.4
    assert left_out_accuracy(torch.eye(4)[labels], labels) == 1.0


def test_features_that_are_constant_do_no_harm():
    labels = torch.arange(20) % 2
    features = torch.cat([labels[:, None].float(), torch.full((20, 3), 7.0)], dim=1)
    assert left_out_accuracy(features, labels) == 1.0


@pytest.mark.parametrize(("count", "width"), [(12, 64), (40, 512)])
def test_few_examples_of_noise_tell_nothing_either(count: int, width: int):
    """The constant is fitted with the rest: a mean that knew the left-out label would give it away."""
    torch.manual_seed(0)
    labels = torch.arange(count) % 2
    found = [left_out_accuracy(torch.randn(count, width), labels) for _ in range(40)]
    assert 0.35 < sum(found) / len(found) < 0.65


def test_one_example_is_too_few():
    with pytest.raises(UsageError, match="1 examples: one is left out"):
        left_out_accuracy(torch.randn(1, 4), torch.zeros(1, dtype=torch.long))
