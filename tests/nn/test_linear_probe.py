"""The linear probe against scikit-learn, and at its ends: nothing to read, and everything."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from didact.nn.linear_probe import left_out_accuracy


@pytest.mark.parametrize("ridge", [0.01, 0.1, 3.0])
def test_one_fit_answers_as_forty(ridge: float):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(3, (40,), generator=generator)
    inputs = torch.randn(40, 2, 3, generator=generator) + 0.5 * labels[:, None, None]
    features = inputs.flatten(1).double()
    features = ((features - features.mean(0)) / features.std(0)).numpy()
    targets = np.eye(3)[labels] - np.eye(3)[labels].mean(0)
    answers = cross_val_predict(
        Ridge(alpha=ridge * 6, fit_intercept=False), features, targets, cv=LeaveOneOut()
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
