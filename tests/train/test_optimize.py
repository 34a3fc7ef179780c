"""Optimizers: torch's by name, with the recipe's options and nothing else; the worked examples by number."""

import pytest
import torch
from torch import nn

import didact
from didact.errors import UsageError
from didact.train.optimize import OPTIMIZERS, make_optimizers
from didact.train.recipe import OptimizerName, Recipe


def one_number():
    network = nn.Module()
    network.x = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    return network


def path(recipe, gradients=(1.0, 2.0, 3.0)):
    """Where a parameter that starts at 0 is after each gradient."""
    network = one_number()
    optimizer = make_optimizers(recipe, {"model": network})["model"]
    places = []
    for gradient in gradients:
        network.x.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        places.append(network.x.item())
    return places


def test_every_name_of_the_recipe_is_an_optimizer():
    assert OPTIMIZERS.keys() == set(OptimizerName.__args__)
    assert all(hasattr(torch.optim, cls.__name__) for cls in OPTIMIZERS.values())
    assert all(name == cls.__name__.lower() for name, cls in OPTIMIZERS.items())


@pytest.mark.parametrize(
    ("name", "weight_decay"), [(n, d) for n in OPTIMIZERS for d in (0.0, 0.1) if not (n == "rprop" and d)]
)
def test_the_same_steps_as_torch(name, weight_decay):
    theirs = {} if name == "rprop" else {"weight_decay": weight_decay}
    theirs |= {"momentum": 0.9} if name == "sgd" else {}
    torch.manual_seed(0)
    ours, plain = nn.Linear(3, 2), nn.Linear(3, 2)
    plain.load_state_dict(ours.state_dict())
    pair = [
        (
            ours,
            make_optimizers(Recipe(optimizer=name, lr=0.05, weight_decay=weight_decay), {"model": ours})[
                "model"
            ],
        ),
        (plain, OPTIMIZERS[name](plain.parameters(), lr=0.05, **theirs)),
    ]
    for _ in range(5):
        x = torch.randn(4, 3)
        for network, optimizer in pair:
            optimizer.zero_grad()
            network(x).square().mean().backward()
            optimizer.step()
    for mine, expected in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "knobs", "expected"),
    [
        ("sgd", {"momentum": 0.9}, {"momentum": 0.9, "nesterov": False, "weight_decay": 0}),
        ("sgd", {}, {"momentum": 0.9}),
        ("sgd", {"momentum": 0.0}, {"momentum": 0.0}),
        ("sgd", {"nesterov": True}, {"momentum": 0.9, "nesterov": True}),
        ("adam", {"betas": (0.5, 0.9), "weight_decay": 0.1}, {"betas": (0.5, 0.9), "weight_decay": 0.1}),
        ("adam", {}, {"betas": (0.9, 0.999), "weight_decay": 0}),
        ("adamw", {}, {"weight_decay": 0}),
        ("adamw", {"weight_decay": 0.3}, {"weight_decay": 0.3}),
        ("rmsprop", {}, {"alpha": 0.99, "momentum": 0}),
        ("rmsprop", {"rho": 0.9, "momentum": 0.5}, {"alpha": 0.9, "momentum": 0.5}),
        ("adadelta", {"rho": 0.8}, {"rho": 0.8}),
    ],
)
def test_options_reach_torch(name, knobs, expected):
    (group,) = make_optimizers(Recipe(optimizer=name, **knobs), {"model": one_number()})["model"].param_groups
    assert {option: group[option] for option in expected} == expected


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(UsageError, match="nesterov=true needs a momentum"):
        make_optimizers(Recipe(optimizer="sgd", nesterov=True, momentum=0.0), {"model": one_number()})


def test_groups_have_their_own_rates():
    groups = {"generator": one_number(), "discriminator": one_number()}
    recipe = Recipe(lr=0.1, lr_scale={"generator": 0.5})
    optimizers = make_optimizers(recipe, groups)
    assert {name: o.param_groups[0]["lr"] for name, o in optimizers.items()} == {
        "generator": 0.05,
        "discriminator": 0.1,
    }
    with pytest.raises(UsageError, match="lr_scale names the group 'generater'; did you mean 'generator'"):
        make_optimizers(Recipe(lr_scale={"generater": 0.5}), groups)


def test_parts_of_a_network_have_their_own_rates():
    network = didact.build("mlp", in_features=3, out_features=2, widths=(4, 4))
    scales = {"trunk": 0.1, "hidden.linear1": 0.01, "hidden.linear1.bias": 3.0}
    optimizer = make_optimizers(Recipe(model="mlp", lr=1.0, lr_scale=scales), {"model": network})["model"]
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: rates[id(parameter)] for name, parameter in network.named_parameters()}
    assert found == {
        "hidden.linear1.weight": 0.01,
        "hidden.linear1.bias": 3.0,
        "hidden.linear2.weight": 0.1,
        "hidden.linear2.bias": 0.1,
        "head.weight": 1.0,
        "head.bias": 1.0,
    }
    with pytest.raises(UsageError, match="lr_scale: the network has no part 'hiden'; did you mean 'hidden'"):
        make_optimizers(Recipe(model="mlp", lr_scale={"hiden": 0.1}), {"model": network})


def test_frozen_parameters_are_left_out():
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    (group,) = make_optimizers(Recipe(), {"model": network})["model"].param_groups
    assert group["params"] == [network.weight]


def test_momentum_worked_example_w11():
    """Notes 003: g = (1, 2, 3), eps = .1, alpha = .9 from V0 = 0."""
    assert path(Recipe(optimizer="sgd", lr=0.1, momentum=0.9)) == pytest.approx([-0.1, -0.39, -0.951])


def test_adagrad_worked_example_w12():
    """r = 1, 5, 14."""
    steps = [-0.1, -0.0894427191, -0.0801783726]
    assert path(Recipe(optimizer="adagrad", lr=0.1)) == pytest.approx([sum(steps[: k + 1]) for k in range(3)])


def test_rmsprop_worked_example_w13():
    """rho = .9: r = .1, .49, 1.341."""
    steps = [-0.3162277560, -0.2857142816, -0.2590638779]
    assert path(Recipe(optimizer="rmsprop", lr=0.1, rho=0.9)) == pytest.approx(
        [sum(steps[: k + 1]) for k in range(3)]
    )


def test_adam_worked_example_w14():
    """The first step is the learning rate itself, thanks to the correction."""
    assert path(Recipe(optimizer="adam")) == pytest.approx([-0.001, -0.0019651820, -0.0029231832], rel=1e-7)
