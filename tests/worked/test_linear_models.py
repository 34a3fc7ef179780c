"""Linear models and small stacks: formulas, counts, and where training must end.

Notes 000, section 1.3; 001, sections II.1, II.3, III and IX; 002, section 3.1; 004, L18-36.
"""

from math import log

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import didact
from didact.data.facts import Facts
from didact.models.linear.mlp import MLP
from didact.models.linear.softmax_regression import SoftmaxRegression
from didact.tasks.classify import Classify
from didact.tasks.regress import Regress

TWO = Facts("made", "table", "class", (2,), classes=("0", "1"))


def rows(count: int = 40, width: int = 3) -> Tensor:
    return torch.randn(count, width, dtype=torch.float64)


def with_ones(x: Tensor) -> Tensor:
    return torch.cat([torch.ones(len(x), 1).to(x), x], dim=1)


def mse(model: nn.Module, x: Tensor, y: Tensor, facts: Facts) -> Tensor:
    return next(iter(Regress(facts).losses(model, (x, y)))).loss


def test_linear_regression_is_x_theta_with_a_column_of_ones():
    """linreg-model: y^ = theta_0 + sum x_j theta_j."""
    model, x = MLP(3, 1, ()).double(), rows()
    theta = torch.cat([model.head.bias, model.head.weight.flatten()])
    torch.testing.assert_close(model(x).flatten(), with_ones(x) @ theta)


def test_linear_regression_descends_to_least_squares(numbers: Facts, loop):
    model, x = MLP(3, 1, ()).double(), rows()
    y = x @ torch.tensor([[2.0], [-1.0], [0.5]]).double() + 3 + 0.1 * rows(40, 1)
    loop(model, Regress(numbers), x, y, batch_size=40, epochs=300, lr=0.2).run()
    theta = torch.linalg.lstsq(with_ones(x), y).solution.flatten()
    torch.testing.assert_close(torch.cat([model.head.bias, model.head.weight.flatten()]).detach(), theta)


def test_the_squared_error_of_a_linear_model_is_convex(numbers: Facts):
    """linreg-mse-cost: J = 1/n |X theta - y|^2, its Hessian 2/n X^T X has no negative eigenvalue."""
    x, y, model = rows(), rows(40, 1), MLP(3, 1, ()).double()

    def cost(theta: Tensor) -> Tensor:
        parameters = {"head.weight": theta[None, 1:], "head.bias": theta[:1]}
        return mse(lambda x: torch.func.functional_call(model, parameters, x), x, y, numbers)  # type: ignore[arg-type]

    theta, X = torch.randn(4).double(), with_ones(x)
    torch.testing.assert_close(cost(theta), ((X @ theta - y.flatten()) ** 2).sum() / 40)
    hessian = torch.autograd.functional.hessian(cost, theta)
    torch.testing.assert_close(hessian, 2 / 40 * X.T @ X)
    assert torch.linalg.eigvalsh(hessian).min() >= 0


def test_gradient_of_the_squared_error_has_the_factor_2(numbers: Facts):
    """grad-mse-linear: 2/n sum (W x_i - y_i) x_i^T; notes 001, section III.2 print it without the 2."""
    x, y, model = rows(), rows(40, 1), MLP(3, 1, ()).double()
    mse(model, x, y, numbers).backward()
    error = model(x).detach() - y
    torch.testing.assert_close(model.head.weight.grad, 2 / 40 * error.T @ x)
    torch.testing.assert_close(model.head.bias.grad, 2 * error.mean(0))


# Logistic regression: two classes, of which softmax looks at the difference of the scores


def noisy_classes() -> tuple[Tensor, Tensor]:
    x = rows(60, 2)
    return x, (x[:, 0] + x[:, 1] + 1.5 * torch.randn(60) > 0).long()


def test_two_classes_are_the_sigmoid_of_one_score():
    """logreg-model: y^ = sigmoid(x theta), theta the difference of the two rows; Bernoulli likelihood."""
    model, (x, y) = SoftmaxRegression(2, 2).double(), noisy_classes()
    W, b = model.linear.weight, model.linear.bias
    chance = torch.sigmoid(x @ (W[1] - W[0]) + b[1] - b[0])
    answers = Classify(TWO).decode(model(x))
    torch.testing.assert_close(torch.tensor([a["best"]["1"] for a in answers]).double(), chance.detach())
    likelihood = torch.where(y == 1, chance, 1 - chance).log()
    torch.testing.assert_close(Classify(TWO).loss(model(x), y), -likelihood.mean())


def test_gradient_of_the_logistic_cost():
    """logreg-cost: 1/n X^T (y^ - y)."""
    model, (x, y) = SoftmaxRegression(2, 2).double(), noisy_classes()
    Classify(TWO).loss(model(x), y).backward()
    chance = model(x).softmax(1)[:, 1].detach()
    torch.testing.assert_close(model.linear.weight.grad[1], x.T @ (chance - y) / len(x))


def test_the_logistic_cost_falls_at_every_step_of_a_small_rate(loop):
    model, (x, y) = SoftmaxRegression(2, 2).double(), noisy_classes()
    training = loop(model, Classify(TWO), x, y, batch_size=60, epochs=50, lr=0.5)
    training.run()
    assert all(
        later < earlier for earlier, later in zip(training.at.scores, training.at.scores[1:], strict=False)
    )


def test_logistic_regression_has_one_optimum(loop):
    """logistic-regression (002, section 3.1): a convex cost ends the same wherever it starts."""
    x, y = noisy_classes()
    ends = []
    for start in range(4):
        torch.manual_seed(start)
        model = SoftmaxRegression(2, 2).double()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=3)
        training = loop(model, Classify(TWO), x, y, batch_size=60, epochs=400, lr=1.0)
        training.run()
        ends.append(training.at.scores[-1])
    assert max(ends) - min(ends) < 1e-6
    assert ends[0] < log(2)


# Stacks


def test_two_layer_network_has_the_shapes_of_the_notes():
    """two-layer-phi (000, section 1.3): y^ = w^T sigmoid(A x + b), A (m, d), b and w (m)."""
    d, m = 5, 7
    model, x = MLP(d, 1, (m,), "sigmoid").double(), rows(9, 5)
    A, b, w = model.hidden.linear1.weight, model.hidden.linear1.bias, model.head.weight
    assert (A.shape, b.shape, w.shape) == ((m, d), (m,), (1, m))
    nn.init.zeros_(model.head.bias)
    torch.testing.assert_close(model(x), torch.sigmoid(x @ A.T + b) @ w.T)


def test_one_layer_is_an_activation_of_an_affine_map():
    """mlp-one-layer (002, section 4.1): sigma(W x + b)."""
    model, x = MLP(3, 2, (4,), "tanh").double(), rows()
    layer = model.hidden[:2]
    torch.testing.assert_close(layer(x), torch.tanh(x @ layer[0].weight.T + layer[0].bias))


def test_a_network_is_the_composition_of_its_layers():
    """composition-model (004, L673): f_L(... f_2(f_1(x; w_1); w_2) ...; w_L)."""
    model, x = MLP(3, 2, (4, 5)).double(), rows()
    layers = [model.hidden[0:2], model.hidden[2:4], model.head]
    out = x
    for layer in layers:
        out = layer(out)
    assert torch.equal(model(x), out)
    assert [len(list(layer.parameters())) for layer in layers] == [2, 2, 2]


def test_penultimate_features_and_logits():
    """penultimate-features (003, L18): x -> z -> logits z^T w + b -> p(y | x)."""
    model, x = MLP(3, 2, (4, 5)).double(), rows()
    z = model.hidden(x)
    assert z.shape == (40, 5)
    torch.testing.assert_close(model(x), z @ model.head.weight.T + model.head.bias)


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_weights_of_zero_keep_hidden_neurons_equal(activation: str, three: Facts, loop):
    """init-zero-symmetry (001, section VII.3): equal gradients, so the neurons never come apart."""
    model, x = MLP(3, 3, (6,), activation).double(), rows()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    loop(model, Classify(three), x, torch.randint(3, (40,)), batch_size=10, epochs=5, lr=0.5).run()
    first = model.hidden.linear1
    for rows_of_neurons in (first.weight, first.bias[:, None], model.head.weight.T):
        torch.testing.assert_close(rows_of_neurons, rows_of_neurons[:1].expand_as(rows_of_neurons))
    assert model.head.bias.abs().min() > 0  # it did learn: how common the classes are


# Counts


def build_without_memory(**sizes: int | tuple[int, ...]) -> nn.Module:
    with torch.device("meta"):
        return didact.build("mlp", **sizes)


def weights_and_biases(layer: nn.Linear) -> tuple[int, int]:
    return layer.weight.numel(), layer.bias.numel()


def test_counts_of_the_3_4_2_network():
    """W4: 12 weights and 4 biases, then 8 and 2; 26 in all."""
    model = build_without_memory(in_features=3, out_features=2, widths=(4,))
    assert weights_and_biases(model.hidden.linear1) == (12, 4)
    assert weights_and_biases(model.head) == (8, 2)
    assert sum(p.numel() for p in model.parameters()) == 26


@pytest.mark.parametrize(
    ("pixels", "neurons", "weights"),
    [
        (3 * 5 * 5, 3, 225),  # W5 of notes 001, section IX
        (1000 * 1000 * 3, 1000, 3_000_000_000),  # 3e9 needs 1000 neurons, not the 3 of the text
        (1000 * 1000 * 3, 3, 9_000_000),
    ],
)
def test_weights_of_a_connected_layer_on_an_image(pixels: int, neurons: int, weights: int):
    assert (
        build_without_memory(in_features=pixels, out_features=neurons, widths=()).head.weight.numel()
        == weights
    )


@pytest.mark.parametrize(
    ("pixels", "neurons", "parameters"),
    [(784, 100, 78_500), (640 * 480 * 3, 100, 92_160_100), (640 * 480 * 3, 1000, 921_601_000)],
)
def test_why_a_network_for_images_is_not_connected(pixels: int, neurons: int, parameters: int):
    """W28 of notes 004, beside the 156 of LeNet's first convolution, which do not grow with the image."""
    model = build_without_memory(in_features=pixels, out_features=neurons, widths=())
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert sum(p.numel() for p in didact.build("lenet5").conv1.parameters()) == 156


def test_connected_layers_lose_the_layout_that_a_convolution_keeps():
    """Shuffled pixels are the same to softmax regression with shuffled weights; a convolution is not so."""
    torch.manual_seed(1)
    order, x = torch.randperm(64), torch.randn(2, 1, 8, 8)
    model = SoftmaxRegression(64, 3)
    other = SoftmaxRegression(64, 3)
    other.linear.weight.data = model.linear.weight.data[:, order]
    other.linear.bias.data = model.linear.bias.data
    torch.testing.assert_close(other(x.flatten(1)[:, order]), model(x))
    shuffled = F.conv2d(x.flatten(1)[:, order].reshape(2, 1, 8, 8), torch.ones(1, 1, 3, 3))
    assert not torch.allclose(
        shuffled.flatten().sort().values, F.conv2d(x, torch.ones(1, 1, 3, 3)).flatten().sort().values
    )
