"""What is laid over the gradient: schedules of the rate, decay of the weights, clipping, dropout, stopping.

Notes 000, sections 3.1 and 3.4; 001, sections VI.1, VIII and XI.2; 002, sections 2.3 and 4.5; 004, L2313.
"""

import pytest
import torch
from torch import Tensor, nn

from didact.data.augment import augmentation
from didact.data.batches import TensorSplit, epoch_batches
from didact.data.facts import Facts
from didact.models.linear.mlp import MLP
from didact.tasks.regress import Regress
from didact.train.loop import Loop


def made(numbers: Facts, loop, **knobs) -> tuple[MLP, Loop]:
    """A linear model on eight examples, two batches an epoch."""
    model = MLP(3, 1, ()).double()
    x, y = torch.randn(8, 3).double(), torch.randn(8, 1).double()
    return model, loop(model, Regress(numbers), x, y, batch_size=4, **knobs)


def rates(training: Loop) -> list[float]:
    """The rate of the optimizer at each update of the run."""
    seen: list[float] = []
    optimizer = training.optimizers["model"]
    optimizer.register_step_pre_hook(lambda opt, args, kwargs: seen.append(opt.param_groups[0]["lr"]))
    training.run()
    return seen


# Schedules


@pytest.mark.parametrize(
    ("knobs", "by_epoch"),
    [
        ({"schedule": "step", "step_epochs": 1, "decay": 0.5}, [0.1, 0.05, 0.025, 0.0125]),  # a - t a, t = .5
        ({"schedule": "step", "step_epochs": 2, "decay": 0.1}, [0.1, 0.1, 0.01, 0.01]),  # every few epochs
        ({"schedule": "exponential", "decay": 0.9}, [0.1, 0.09, 0.081]),  # t^epoch a0
        ({"schedule": "constant"}, [0.1, 0.1]),
    ],
)
def test_decay_w23(knobs: dict, by_epoch: list[float], numbers: Facts, loop):
    _, training = made(numbers, loop, lr=0.1, epochs=len(by_epoch), **knobs)
    assert rates(training) == pytest.approx([rate for rate in by_epoch for _ in range(2)])


def test_warm_up_rises_on_a_line_and_a_decay_may_follow(numbers: Facts, loop):
    """lr-warmup-linear: two epochs of two updates, the first not with a rate of zero; then 0.9 an epoch."""
    _, training = made(numbers, loop, lr=0.1, epochs=4, warmup=2.0, schedule="exponential", decay=0.9)
    expected = [0.1 * rise * 0.9**epoch for rise, epoch in ((0.25, 0), (0.5, 0), (0.75, 1), (1, 1))]
    assert rates(training) == pytest.approx([*expected, 0.081, 0.081, 0.0729, 0.0729])


def test_plateau_drops_the_rate_when_validation_stops_improving(numbers: Facts, loop):
    """lr-plateau: a tenth of the rate after the scores have not improved for longer than the patience."""
    _, training = made(numbers, loop, lr=0.1, epochs=9, schedule="plateau", plateau_patience=2)
    scores = iter([3.0, 2.0, 2.5, 2.5, 2.5, 1.0, 1.5, 1.5, 1.5])
    training.validate = lambda: {"loss": next(scores)}  # type: ignore[method-assign]
    assert rates(training)[::2] == pytest.approx([0.1] * 5 + [0.01] * 4)


# Decay of the weights


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adagrad", "rmsprop"])
def test_weight_decay_is_the_gradient_of_a_squared_penalty(optimizer: str, numbers: Facts, loop):
    """reg-l2, loss-nll-l2: descending L + lambda |theta|^2 is decaying by 2 lambda, every parameter.

    Notes 002, section 2.3.1 print the penalty with a minus.
    """
    model, training = made(numbers, loop, optimizer=optimizer, weight_decay=2 * 0.3, epochs=2, lr=0.05)
    by_hand = MLP(3, 1, ()).double()
    by_hand.load_state_dict(model.state_dict())
    penalised = type(training.optimizers["model"])(by_hand.parameters(), lr=0.05)
    task, split = Regress(numbers), training.splits["train"]
    training.run()
    for epoch in range(2):
        for batch in epoch_batches(split, 4, seed=0, epoch=epoch):
            penalty = 0.3 * sum(p.square().sum() for p in by_hand.parameters())
            penalised.zero_grad()
            (next(iter(task.losses(by_hand, batch))).loss + penalty).backward()
            penalised.step()
    for mine, other in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


# Clipping


def clipped(training: Loop, model: nn.Module, gradient: Tensor) -> Tensor:
    """What is left of a gradient when the loop applies it."""
    model.head.weight.grad = gradient[:3].clone()[None]
    model.head.bias.grad = gradient[3:].clone()
    training.apply("model")
    return torch.cat([model.head.weight.grad.flatten(), model.head.bias.grad])


@pytest.mark.parametrize("length", [0.5, 2.0, 2.1, 70.0])
def test_clipping_by_norm(length: float, numbers: Facts, loop):
    """clip-norm: g min(|g|, c) / |g| over all parameters; below the threshold nothing changes."""
    model, training = made(numbers, loop, clip_norm=2.0)
    direction = torch.tensor([1.0, -2.0, 3.0, 0.5]).double()
    direction /= direction.norm()
    left = clipped(training, model, direction * length)
    assert left.norm().item() == pytest.approx(min(length, 2.0), rel=1e-5)
    torch.testing.assert_close(left / left.norm(), direction)


def test_clipping_nothing_leaves_nothing(numbers: Facts, loop):
    model, training = made(numbers, loop, clip_norm=2.0)
    assert clipped(training, model, torch.zeros(4).double()).tolist() == [0] * 4


def test_clipping_each_element(numbers: Facts, loop):
    """clip-per-element: max(min(g_i, c), -c)."""
    model, training = made(numbers, loop, clip_value=1.5)
    left = clipped(training, model, torch.tensor([1.0, -2.0, 3.0, -1.5]).double())
    assert left.tolist() == [1.0, -1.5, 1.5, -1.5]


# Dropout


def test_dropout_keeps_the_expectation():
    """dropout-inverted: p is the chance to drop; what stays is divided by 1 - p; at test nothing is done."""
    model, x = MLP(1, 1, (20_000,), "relu", dropout=0.2).double(), torch.ones(1, 1).double()
    hidden = model.hidden(x)
    model.eval()
    whole = model.hidden(x)
    alive = whole > 0
    share_dropped = (hidden[alive] == 0).double().mean().item()
    assert share_dropped == pytest.approx(0.2, abs=0.02)
    stayed = alive & (hidden > 0)
    torch.testing.assert_close(hidden[stayed], whole[stayed] / 0.8)
    assert hidden.mean().item() == pytest.approx(whole.mean().item(), rel=0.02)


# Stopping


def test_early_stopping_keeps_the_best_weights(numbers: Facts, loop):
    """early-stopping: three epochs without a better validation loss end the run; the best epoch's stay."""
    model, training = made(numbers, loop, epochs=50, patience=3)
    scores = iter([5.0, 4.0, 3.0, 3.5, 3.2, 3.1])
    after: list[Tensor] = []

    def validate() -> dict[str, float]:
        after.append(model.head.weight.detach().clone())
        return {"loss": next(scores)}

    training.validate = validate  # type: ignore[method-assign]
    training.run()
    assert (training.at.epoch, training.at.best_epoch) == (6, 3)
    assert torch.equal(training.best["head.weight"], after[2])


# Augmentation


def images() -> Tensor:
    return torch.rand(16, 2, 5, 4)


def test_flip_twice_is_nothing_and_half_of_the_images_are_flipped():
    """aug-hflip: the same draws mirror the same images, and a mirror image mirrored is the image."""
    flip, x = augmentation(("flip",)), images()
    assert flip is not None
    once = flip(x, torch.Generator().manual_seed(0))
    assert torch.equal(flip(once, torch.Generator().manual_seed(0)), x)
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(once, x, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(once, x, strict=True)]
    assert all(m or s for m, s in zip(mirrored, same, strict=True))
    assert 3 <= sum(mirrored) <= 13


def test_shift_moves_and_shift_by_zero_is_nothing():
    """aug-translation: by at most so many pixels, each image by its own draw."""
    still, shift, x = augmentation(("shift:0",)), augmentation(("shift:2",)), images()
    assert still is not None
    assert shift is not None
    assert torch.equal(still(x, torch.Generator()), x)
    moved, offsets = shift(x, torch.Generator().manual_seed(0)), set()
    for before, after in zip(x, moved, strict=True):
        fits = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if torch.equal(
                after, before[:, (torch.arange(5) + dy).clamp(0, 4)][:, :, (torch.arange(4) + dx).clamp(0, 3)]
            )
        ]
        assert fits
        offsets.add(fits[0])
    assert len(offsets) > 5


def test_changes_are_combined_in_order_and_seeded():
    """aug-combine: one generator serves all, so that the same seed gives the same images."""
    both, x = augmentation(("shift:1", "flip")), images()
    first, second = augmentation(("shift:1",)), augmentation(("flip",))
    assert both is not None
    assert first is not None
    assert second is not None
    one, same, other = (torch.Generator().manual_seed(seed) for seed in (4, 4, 5))
    assert torch.equal(both(x, one), second(first(x, same), same))
    assert not torch.equal(both(x, other), both(x, torch.Generator().manual_seed(4)))


def test_training_sees_other_images_each_epoch():
    """aug-online: made while training, for each batch; the notes call this offline."""
    split, noise = TensorSplit(images(), torch.arange(16)), augmentation(("noise:0.1",))

    def epoch(number: int) -> Tensor:
        batches = list(epoch_batches(split, 4, seed=0, epoch=number, augment=noise))
        inputs, targets = (torch.cat(part) for part in zip(*batches, strict=True))
        return inputs[targets.argsort()]

    assert torch.equal(epoch(0), epoch(0))
    assert not torch.equal(epoch(0), epoch(1))
    assert (epoch(0) - split.inputs).std().item() == pytest.approx(0.1, abs=0.01)


def test_noise_is_for_training_only(loop, recipe):
    """reg-noise-inputs: validation examples stay as they are."""
    seen: dict[bool, list[Tensor]] = {True: [], False: []}
    model, x = MLP(40, 1, ()), images()
    model.register_forward_pre_hook(lambda module, inputs: seen[module.training].append(inputs[0]))
    facts = Facts("made", "image", "number", (2, 5, 4), target_name="y")
    loop(model, Regress(facts), x, torch.zeros(16, 1), epochs=2, augment=("noise:0.5",)).run()
    trained = [batch for batch in seen[True] if len(batch) == 16]
    assert all(not torch.isin(batch, x).any() for batch in trained)
    assert all(torch.equal(batch, x) for batch in seen[False])
