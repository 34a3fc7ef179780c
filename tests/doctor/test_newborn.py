"""What is written down of a model before its first step, whatever shape its weights have."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import didact
from didact.doctor.chart import Chart
from didact.doctor.newborn import describe, weigh


class Scaled(nn.Module):
    """A layer, and one number that its answers are multiplied by."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.layer = nn.Parameter(torch.tensor(3.0)), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.layer(x)


def test_a_number_alone_is_a_weight_without_inputs() -> None:
    made, model = Chart(), Scaled()
    parameters = describe(made, {"": model}, [torch.optim.SGD([model.scale], 0.1)])
    assert parameters[0] is model.scale
    number, matrix, vector = made.weights
    assert [weight.name for weight in made.weights] == ["scale", "layer.weight", "layer.bias"]
    assert [weight.shape for weight in made.weights] == [(), (3, 4), (3,)]
    assert [weight.fan_in for weight in made.weights] == [0, 4, 0]
    assert [weight.in_optimizer for weight in made.weights] == [True, False, False]
    assert (number.std, number.constant, number.twins) == (0.0, False, False)
    assert matrix.std == pytest.approx(float(model.layer.weight.detach().std(correction=0)))
    assert vector.std == pytest.approx(float(model.layer.bias.detach().std(correction=0)))


@pytest.mark.parametrize(
    ("rows", "constant", "twins"),
    [
        ([[0.5, 0.5], [0.5, 0.5]], True, True),
        ([[1.0, 2.0], [1.0, 2.0]], False, True),
        ([[1, 2], [2, 1]], False, False),
    ],
)
def test_units_that_are_alike_are_twins(rows: list[list[float]], constant: bool, twins: bool) -> None:
    weight = weigh("weight", "linear", torch.tensor(rows).float(), True)
    assert (weight.constant, weight.twins) == (constant, twins)


def test_a_model_with_a_number_alone_is_watched_like_any_other() -> None:
    torch.manual_seed(0)
    model, x = Scaled(), torch.randn(64, 4)
    y, before = (x[:, 0] > 0).long(), model.scale.item()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(20):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert doctor.chart.errors == []
    assert model.scale.item() != before
    number, last = doctor.chart.weights[0], doctor.chart.looks[-1]
    assert (number.name, number.used, number.empty) == ("scale", True, 0)
    assert number.received == len(doctor.chart.looks) > 5
    assert last.gradient[0] > 0
    assert any(math.isfinite(look.ratio[0]) and look.ratio[0] > 0 for look in doctor.chart.looks)
    assert "scale" not in " ".join(finding.where for finding in doctor.report().findings)
