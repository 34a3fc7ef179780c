"""The multilayer perceptron: the notes' counts, the notes' four stack forms, XOR."""

import pytest
import torch
from torch import Tensor, nn

from didact.errors import UsageError
from didact.models.linear.mlp import MLP


def parameters_by_layer(model: nn.Module) -> list[int]:
    return [sum(p.numel() for p in m.parameters()) for m in model.modules() if isinstance(m, nn.Linear)]


@pytest.mark.parametrize(
    ("in_features", "widths", "out_features", "by_layer"),
    [
        (3, (4,), 2, [16, 10]),  # W4 of notes 001: 26 in all
        (784, (100,), 10, [78_500, 1_010]),  # W28 of notes 004, the first layer
        (100, (256, 512, 1024), 784, [25_856, 131_584, 525_312, 803_600]),  # W20: 1,486,352
        (784, (1024, 512, 256), 1, [803_840, 524_800, 131_328, 257]),  # W20: 1,460,225
        (5, (), 2, [12]),
    ],
)
def test_parameters(in_features: int, widths: tuple[int, ...], out_features: int, by_layer: list[int]):
    model = MLP(in_features, out_features, widths)
    assert parameters_by_layer(model) == by_layer
    assert sum(p.numel() for p in model.parameters()) == sum(by_layer)


def test_published_sums():
    assert sum(p.numel() for p in MLP(3, 2, (4,)).parameters()) == 26
    assert sum(p.numel() for p in MLP(100, 784, (256, 512, 1024)).parameters()) == 1_486_352
    assert sum(p.numel() for p in MLP(784, 1, (1024, 512, 256)).parameters()) == 1_460_225


def two(W: list[Tensor], x: Tensor) -> Tensor:
    return W[1] @ (W[0] @ x).relu()


def three(W: list[Tensor], x: Tensor) -> Tensor:
    return W[2] @ (W[1] @ (W[0] @ x).relu()).relu()


def four(W: list[Tensor], x: Tensor) -> Tensor:
    return W[3] @ (W[2] @ (W[1] @ (W[0] @ x).relu()).relu()).tanh()


def five(W: list[Tensor], x: Tensor) -> Tensor:
    return W[4] @ (W[3] @ (W[2] @ (W[1] @ (W[0] @ x).relu()).relu()).relu()).sigmoid()


@pytest.mark.parametrize(
    ("form", "activation"),
    [
        (two, ("relu",)),
        (three, ("relu", "relu")),
        (four, ("relu", "relu", "tanh")),
        (five, ("relu", "relu", "relu", "sigmoid")),
    ],
)
def test_stack_forms_of_notes_001(form, activation: tuple[str, ...]):
    """mlp-stack-forms: the notes leave the biases out, so they are zero here; the output is linear."""
    model = MLP(3, 2, widths=(5, 6, 4, 7)[: len(activation)], activation=activation).double()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
    assert len(weights) == len(activation) + 1
    x = torch.randn(10, 3, dtype=torch.float64)
    torch.testing.assert_close(model(x), form(weights, x.T).T)


def test_one_name_serves_every_hidden_layer():
    torch.manual_seed(0)
    one = MLP(3, 2, (4, 4), "tanh")
    torch.manual_seed(0)
    each = MLP(3, 2, (4, 4), ("tanh", "tanh"))
    x = torch.randn(5, 3)
    assert torch.equal(one(x), each(x))


def test_identity_activations_collapse_into_one_linear_map():
    """Notes 001, section III: more weight matrices alone leave the function linear."""
    model, (x, y) = MLP(3, 2, (8, 8), "identity").double(), torch.randn(2, 4, 3).double()
    torch.testing.assert_close(model(x + y) + model(torch.zeros_like(x)), model(x) + model(y))


def test_names_of_the_parts():
    model = MLP(3, 2, (4, 5), dropout=0.5)
    assert list(dict(model.named_children())) == ["hidden", "head"]
    assert " ".join(dict(model.hidden.named_children())) == "linear1 act1 drop1 linear2 act2 drop2"
    assert " ".join(dict(MLP(3, 2, (4,)).hidden.named_children())) == "linear1 act1"


def test_dropout_acts_in_training_only():
    model, x = MLP(3, 2, (64,), dropout=0.5), torch.randn(5, 3)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_any_shape_of_example_is_flattened():
    model, x = MLP(12, 2), torch.randn(5, 12)
    assert torch.equal(model(x), model(x.reshape(5, 3, 2, 2)))
    assert MLP(1, 1)(torch.zeros(5)).shape == (5, 1)
    assert model(torch.zeros(0, 12)).shape == (0, 2)


def test_xor_needs_a_hidden_layer():
    """xor-problem (notes 001, section I.4): a linear model gets 3 of 4 at most, two layers get all."""
    x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    label = torch.tensor([0, 1, 1, 0])

    def right(widths: tuple[int, ...]) -> int:
        torch.manual_seed(0)
        model = MLP(2, 2, widths, "tanh")
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(200):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), label).backward()
            optimizer.step()
        return int((model(x).argmax(1) == label).sum())

    assert right(()) <= 3
    assert right((8,)) == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"widths": (64, 0)}, r"widths=\(64, 0\)"),
        ({"widths": (64, 32), "activation": ("relu",)}, "1 names for 2 hidden layers"),
        ({"activation": "rulu"}, "activation='rulu': unknown, did you mean 'relu'"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"in_features": 0}, "in_features=0"),
    ],
)
def test_mistakes_are_named(given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        MLP(**{"in_features": 3, "out_features": 2, **given})
