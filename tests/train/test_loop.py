"""The loop beside one written by hand in plain torch, and each of its knobs beside its formula."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import didact
from didact.data.augment import augmentation
from didact.data.batches import StreamSplit, TensorSplit, generator_for
from didact.data.facts import Facts
from didact.errors import UsageError
from didact.tasks.adversarial import Adversarial
from didact.tasks.classify import Classify
from didact.tasks.language import Language
from didact.train.files import same_tensors
from didact.train.loop import Interrupted
from didact.train.nonfinite import NonFiniteError


def weights(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def by_hand(
    model, data, optimizer, *, epochs=2, batch_size=8, seed=0, accumulate=1, before_step=lambda: None
):
    """The loop that everybody writes."""
    model.train()
    for epoch in range(epochs):
        order = torch.randperm(len(data.inputs), generator=generator_for(seed, epoch))
        parts = order.split(batch_size)
        for start in range(0, len(parts), accumulate):
            optimizer.zero_grad()
            together = parts[start : start + accumulate]
            for part in together:
                loss = F.cross_entropy(model(data.inputs[part]), data.targets[part])
                (loss / len(together)).backward()
            before_step()
            optimizer.step()
    return weights(model)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_same_weights_as_a_loop_by_hand(make_loop, network, split, optimizer):
    """Bit for bit, dropout included: not a number is drawn or rounded that the plain loop would not."""
    loop = make_loop(network(dropout=0.5), train=split(27), optimizer=optimizer)
    loop.run()
    plain = network(dropout=0.5)
    make = partial(torch.optim.SGD, momentum=0.9) if optimizer == "sgd" else torch.optim.Adam
    expected = by_hand(plain, split(27), make(plain.parameters(), lr=0.05, fused=True))
    assert same_tensors(weights(loop.model), expected) is None


def test_accumulation_by_hand(make_loop, network, split):
    loop = make_loop(network(dropout=0.5), batch_size=4, accumulate=3, train=split(30))
    loop.run()
    plain = network(dropout=0.5)
    adam = torch.optim.Adam(plain.parameters(), lr=0.05, fused=True)
    expected = by_hand(plain, split(30), adam, batch_size=4, accumulate=3)
    assert same_tensors(weights(loop.model), expected) is None
    assert loop.at.step == 2 * 3  # 8 batches an epoch: 3, 3 and 2 together


def test_two_batches_of_four_are_one_of_eight(make_loop):
    small, large = make_loop(batch_size=4, accumulate=2), make_loop(batch_size=8)
    small.run()
    large.run()
    assert small.at.step == large.at.step == 6
    for name, tensor in small.model.state_dict().items():
        torch.testing.assert_close(tensor, large.model.state_dict()[name], rtol=1e-5, atol=1e-6)
    assert small.at.scores == pytest.approx(large.at.scores)


@pytest.mark.parametrize("count", [24, 22, 17])
def test_the_curve_is_the_mean_over_examples(make_loop, network, split, watcher, count):
    """Short last batches weigh by their examples, in each point and over the epoch."""
    seen = watcher()
    loop = make_loop(train=split(count), lr=1e-12, epochs=1, observers=[seen])
    loop.run()
    data, model = split(count), network()
    logits = model(data.inputs)
    (epoch,) = seen.epochs
    assert epoch["train"]["loss"] == pytest.approx(F.cross_entropy(logits, data.targets).item(), rel=1e-5)
    assert epoch["train"]["accuracy"] == (logits.argmax(1) == data.targets).double().mean().item()
    assert [step for step, _ in seen.points] == list(range(1, math.ceil(count / 8) + 1))
    order = torch.randperm(count, generator=generator_for(0, 0)).split(8)
    for (_, numbers), part in zip(seen.points, order, strict=True):
        expected = F.cross_entropy(logits[part], data.targets[part]).item()
        assert numbers["loss"] == pytest.approx(expected, rel=1e-5)


def test_clipping_by_hand(make_loop, network, split):
    for knob, clip in (
        ("clip_norm", lambda grads: nn.utils.get_total_norm(grads).clamp(min=0.1) / 0.1),
        ("clip_value", None),
    ):
        model = network()
        data = split(8)
        order = torch.randperm(8, generator=generator_for(0, 0))
        loss = F.cross_entropy(model(data.inputs[order]), data.targets[order])
        grads = dict(zip(weights(model), torch.autograd.grad(loss, list(model.parameters())), strict=True))
        limit = 0.1 if knob == "clip_norm" else 0.01
        if clip:
            shrink = clip(list(grads.values()))
            assert shrink > 1
            grads = {name: grad / shrink for name, grad in grads.items()}
        else:
            assert max(grad.abs().max() for grad in grads.values()) > limit
            grads = {name: grad.clamp(-limit, limit) for name, grad in grads.items()}
        before = weights(model)
        loop = make_loop(model, train=data, epochs=1, optimizer="sgd", momentum=0.0, lr=1.0, **{knob: limit})
        loop.run()
        for name, now in weights(loop.model).items():
            torch.testing.assert_close(now, before[name] - grads[name], rtol=1e-4, atol=1e-6)


def test_a_norm_that_is_small_enough_is_left_alone(make_loop):
    free, clipped = make_loop(), make_loop(clip_norm=1e6, clip_value=1e6)
    free.run()
    clipped.run()
    assert same_tensors(weights(free.model), weights(clipped.model)) is None


class Tied(nn.Module):
    """Two names for one weight, and a buffer that moves."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.norm = nn.BatchNorm1d(4)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.norm(self.first(x)))


@pytest.mark.parametrize("kind", ["plain", "tied"])
def test_the_average_is_its_formula(make_loop, network, watcher, kind):
    """theta_ema <- d theta_ema + (1 - d) theta after each update; buffers are copied."""
    torch.manual_seed(0)
    model = Tied() if kind == "tied" else network()
    expected = weights(model)
    trained = [name for name, _ in model.named_parameters(remove_duplicate=False)]

    def follow(loop):
        for name, now in weights(loop.model).items():
            expected[name] = 0.9 * expected[name] + 0.1 * now if name in trained else now

    facts = Facts("made", "table", "class", (4,), classes=("a", "b", "c", "d"))
    seen = watcher(each_step=follow)
    loop = make_loop(model, task=Classify(facts), ema=0.9, epochs=3, keep="last", observers=[seen])
    loop.run()
    for name, tensor in loop.average.weights.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)
    averaged = copy.deepcopy(model)
    averaged.load_state_dict(expected)
    score = Classify(facts).score(averaged, loop.splits["val"])
    assert loop.at.scores[-1] == pytest.approx(score["loss"], rel=1e-5)
    for name, tensor in loop.best.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)
    assert same_tensors(weights(model), expected), "the trained weights are not the averaged ones"


class Scripted(Classify):
    """Classification whose validation losses are given."""

    def __init__(self, losses):
        super().__init__(Facts("made", "table", "class", (4,), classes=("a", "b", "c")))
        self.losses_to_come = list(losses)

    def score(self, model, split, batch_size=256, workers=0):
        return {"loss": self.losses_to_come.pop(0)}


@pytest.mark.parametrize(
    ("losses", "patience", "epochs", "best"),
    [
        ([5, 4, 3, 2, 1], 1, 5, 5),
        ([5, 4, 4, 4, 1], 2, 4, 2),
        ([5, 4, 4, 4, 1], 3, 5, 5),
        ([1, 2, 3, 4, 5], 1, 2, 1),
        ([1, 2, 3, 4, 5], 0, 5, 1),
        ([3, 2, 3, 2.5, 1.9], 3, 5, 5),
    ],
)
def test_early_stopping(make_loop, watcher, losses, patience, epochs, best):
    kept = {}

    class Keeper(watcher):
        def on_epoch(self, loop, record):
            super().on_epoch(loop, record)
            kept[record["epoch"]] = weights(loop.model)

    seen = Keeper()
    loop = make_loop(task=Scripted(losses), epochs=5, patience=patience, observers=[seen])
    loop.run()
    assert len(seen.epochs) == loop.at.epoch == epochs
    assert loop.at.best_epoch == best
    assert [record["epoch"] for record in seen.epochs if record["best"]][-1] == best
    assert same_tensors(loop.best, kept[best]) is None
    last = make_loop(task=Scripted(losses), epochs=5, patience=patience, keep="last")
    last.run()
    assert last.at.best_epoch == best
    assert same_tensors(last.best, kept[epochs]) is None


def test_a_step_schedule_is_used_and_recorded_by_epoch(make_loop, watcher):
    """The rate on record is that of the epoch's updates, not the next epoch's."""
    used = []
    seen = watcher(each_step=lambda loop: used.append(loop.optimizers["model"].param_groups[0]["lr"]))
    loop = make_loop(schedule="step", step_epochs=1, decay=0.5, lr=0.1, epochs=4, observers=[seen])
    loop.run()
    assert used == pytest.approx([0.1] * 3 + [0.05] * 3 + [0.025] * 3 + [0.0125] * 3)
    assert [record["lr"] for record in seen.epochs] == pytest.approx([0.1, 0.05, 0.025, 0.0125])


def test_warm_up_counts_updates(make_loop, watcher):
    used = []
    seen = watcher(each_step=lambda loop: used.append(loop.optimizers["model"].param_groups[0]["lr"]))
    make_loop(warmup=1.0, lr=0.3, observers=[seen]).run()
    assert used == pytest.approx([0.1, 0.2, 0.3, 0.3, 0.3, 0.3])


def test_plateau_looks_at_the_validation_scores(make_loop, watcher):
    used = []
    seen = watcher(each_step=lambda loop: used.append(loop.optimizers["model"].param_groups[0]["lr"]))
    scripted = Scripted([3, 2, 2, 2, 1])
    make_loop(
        task=scripted, schedule="plateau", plateau_patience=1, decay=0.1, lr=0.1, epochs=5, observers=[seen]
    ).run()
    assert used[::3] == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.01])


class Exploding(nn.Module):
    """Divides by zero in one layer once a switch is thrown."""

    def __init__(self):
        super().__init__()
        self.body, self.broken, self.head = nn.Linear(4, 4), nn.Identity(), nn.Linear(4, 3)
        self.broken.register_forward_hook(lambda module, inputs, output: output / (0 if self.thrown else 1))
        self.thrown = False

    def forward(self, x):
        return self.head(self.broken(self.body(x)))


def test_nan_in_the_inputs_is_named_and_not_applied(make_loop, split):
    data = split()
    order = torch.randperm(24, generator=generator_for(0, 0))
    data.inputs[order[8 + 5], 2] = math.nan
    loop = make_loop(train=data)
    with pytest.raises(NonFiniteError, match=r"step 2: .*'model'.*the inputs, row 5 of the batch"):
        loop.run()
    assert loop.at.step == 1
    assert all(tensor.isfinite().all() for tensor in loop.model.state_dict().values())


def test_nan_in_the_targets_of_a_regression(make_loop, split):
    from didact.tasks.regress import Regress

    facts = Facts("made", "table", "number", (4,))
    torch.manual_seed(0)
    model = didact.build("mlp", in_features=4, out_features=1)
    data = TensorSplit(split().inputs, torch.randn(24, 1))
    data.targets[torch.randperm(24, generator=generator_for(0, 0))[3]] = math.inf
    loop = make_loop(model, task=Regress(facts), train=data, val=data)
    with pytest.raises(NonFiniteError, match=r"step 1: .*the targets, row 3 of the batch"):
        loop.run()


def test_the_layer_is_named(make_loop, watcher):
    model = Exploding()

    def throw(loop):
        model.thrown = True

    loop = make_loop(model, observers=[watcher(each_step=throw)])
    with pytest.raises(NonFiniteError, match=r"step 2: .*the output of layer broken"):
        loop.run()
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    assert not any(module._forward_hooks for module in (model.body, model.head)), "the hooks are taken away"


def test_a_rate_that_explodes_is_stopped(make_loop):
    loop = make_loop(optimizer="sgd", lr=1e30, epochs=5)
    with pytest.raises(NonFiniteError, match=r"step \d: .*try a smaller --lr, or --set clip_norm=1"):
        loop.run()
    assert not loop.at.finished


def test_a_model_that_is_ruined_by_its_last_update_is_not_kept(make_loop):
    """The last loss was finite; what came after it shows in the validation scores only."""

    class Ruined(Scripted):
        def score(self, model, split, batch_size=256, workers=0):
            with torch.no_grad():
                model.head.weight.fill_(math.nan)
            return Classify.score(self, model, split)

    loop = make_loop(task=Ruined([]), epochs=1)
    with pytest.raises(NonFiniteError, match="validation"):
        loop.run()
    assert not loop.best


@pytest.mark.parametrize("kind", ["classify", "gan"])
def test_bf16_runs_and_trains_every_weight(make_loop, kind):
    if kind == "gan":
        torch.manual_seed(0)
        task = Adversarial(Facts("made", "sample", "none", (1,)))
        model, data = didact.build("gan"), TensorSplit(torch.randn(24, 1), torch.zeros(24))
        loop = make_loop(model, task=task, train=data, val=data, precision="bf16")
    else:
        loop = make_loop(precision="bf16")
    before = weights(loop.model)
    loop.run()
    for name, now in weights(loop.model).items():
        assert now.dtype == torch.float32
        assert not torch.equal(now, before[name]), name
    if kind == "classify":
        full = make_loop()
        full.run()
        assert loop.at.scores == pytest.approx(full.at.scores, abs=0.05)
        assert loop.at.scores != full.at.scores


def test_fp16_scales_its_gradients(make_loop):
    loop, full = make_loop(precision="fp16"), make_loop()
    loop.run()
    full.run()
    assert loop.at.scores == pytest.approx(full.at.scores, abs=0.05)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_compiled_is_the_same(make_loop, network, monkeypatch, accumulate):
    """With a back end that compiles at once; ``make bars`` uses the real one."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    knobs = {"batch_size": 4, "accumulate": accumulate, "clip_norm": 0.5, "ema": 0.9}
    plain, compiled = make_loop(**knobs), make_loop(compile=True, **knobs)
    plain.run()
    compiled.run()
    assert compiled.at.scores == pytest.approx(plain.at.scores, rel=1e-5)
    for name, tensor in compiled.model.state_dict().items():
        torch.testing.assert_close(tensor, plain.model.state_dict()[name], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")
def test_what_does_not_compile_is_trained_as_it_is(make_loop, monkeypatch):
    """A recurrent layer breaks the graph."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    tokens = torch.randint(5, (100,), generator=torch.Generator().manual_seed(0))
    facts = Facts("made", "tokens", "next", (8,), vocabulary=tuple("?abcd"))
    scores = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = didact.build("elman", vocab_size=5, embedding_dim=4, hidden_dim=8)
        data = StreamSplit(tokens, context=8)
        loop = make_loop(model, task=Language(facts), train=data, val=data, epochs=1, compile=compiled)
        loop.run()
        scores.append(loop.at.scores)
    assert scores[1] == pytest.approx(scores[0], rel=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_for_real_is_the_same(make_loop):
    plain, compiled = make_loop(), make_loop(compile=True)
    plain.run()
    compiled.run()
    assert compiled.at.scores == pytest.approx(plain.at.scores, rel=1e-4)


def image_loop(make_loop, **knobs):
    """LeNet-5 on noise."""
    generator = torch.Generator().manual_seed(3)
    data = TensorSplit(torch.randn(16, 1, 32, 32, generator=generator), torch.arange(16) % 3)
    torch.manual_seed(0)
    facts = Facts("made", "image", "class", (1, 32, 32), classes=("a", "b", "c"))
    model = didact.build("lenet5", num_classes=3)
    return make_loop(model, task=Classify(facts), train=data, val=data, lr=0.01, **knobs)


def test_channels_last_is_the_same(make_loop):
    last, first = (image_loop(make_loop, channels_last=on) for on in (True, False))
    last.run()
    first.run()
    assert last.splits["train"].inputs.is_contiguous(memory_format=torch.channels_last)
    assert last.at.scores == pytest.approx(first.at.scores, rel=1e-4)
    for name, tensor in last.model.state_dict().items():
        torch.testing.assert_close(tensor, first.model.state_dict()[name], rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_channels_last_compiled_is_the_same(make_loop, monkeypatch):
    """torch's fused optimizers do not look at strides: a gradient must lie in memory as its weight does."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    plain, compiled = image_loop(make_loop, epochs=1), image_loop(make_loop, epochs=1, compile=True)
    plain.run()
    compiled.run()
    for name, parameter in compiled.model.named_parameters():
        assert parameter.grad.stride() == parameter.stride(), name
        torch.testing.assert_close(parameter, plain.model.get_parameter(name), rtol=1e-3, atol=1e-5)


def test_augmentation_repeats(make_loop):
    knobs = {"augment": ("flip", "shift:2", "noise:0.1")}
    first, again, plain = (image_loop(make_loop, **k) for k in (knobs, knobs, {}))
    for loop in (first, again, plain):
        loop.run()
    assert same_tensors(weights(first.model), weights(again.model)) is None
    assert same_tensors(weights(first.model), weights(plain.model))


def test_augmentation_is_of_seed_epoch_and_position():
    images = torch.rand(6, 1, 8, 8)
    change = augmentation(("shift:2", "flip", "noise:0.1"))
    keys = [(0, 0, 1), (0, 0, 2), (0, 1, 1), (1, 0, 1)]
    changed = [change(images, generator_for(*key)) for key in keys]
    assert torch.equal(changed[0], change(images, generator_for(0, 0, 1)))
    assert not any(torch.equal(changed[0], other) for other in changed[1:])


@pytest.mark.parametrize(
    "step", ["shift:nan", "noise:inf", "noise:-1", "shift:", "shift", "flip:2", "flop", "noise:x"]
)
def test_impossible_changes_are_refused(step):
    with pytest.raises(UsageError, match=f"augment={step!r}"):
        augmentation((step,))


def test_a_gan_alternates(make_loop):
    """Each batch: the discriminator's optimizer steps, then the generator's, and neither moves the other."""
    task = Adversarial(Facts("made", "sample", "none", (1,)), d_steps=2)
    torch.manual_seed(0)
    model, data = didact.build("gan"), TensorSplit(torch.randn(24, 1), torch.zeros(24))
    loop = make_loop(model, task=task, train=data, val=data, epochs=1)
    order = []
    for name, optimizer in loop.optimizers.items():
        mine, other = (
            model.get_submodule(name),
            {"generator": "discriminator", "discriminator": "generator"}[name],
        )
        real = optimizer.step

        def step(name=name, real=real, mine=mine, other=other):
            before, others = weights(mine), weights(model.get_submodule(other))
            real()
            order.append(name)
            assert same_tensors(weights(mine), before)
            assert same_tensors(weights(model.get_submodule(other)), others) is None

        optimizer.step = step
    loop.run()
    assert order == ["discriminator", "discriminator", "generator"] * 3
    assert loop.at.step == 3


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_gan_whose_last_batch_is_shorter_than_its_steps(make_loop, accumulate):
    """9 examples in batches of 4, with three discriminator steps: the last batch holds one."""
    task = Adversarial(Facts("made", "sample", "none", (1,)), d_steps=3)
    torch.manual_seed(0)
    model, data = didact.build("gan"), TensorSplit(torch.randn(9, 1), torch.zeros(9))
    loop = make_loop(model, task=task, train=data, val=data, batch_size=4, accumulate=accumulate)
    loop.run()
    assert loop.at.finished


def test_seeds(make_loop):
    first, again, other = (make_loop(seed=seed) for seed in (3, 3, 4))
    for loop in (first, again, other):
        loop.run()
    assert same_tensors(weights(first.model), weights(again.model)) is None
    assert first.at.scores == again.at.scores
    assert same_tensors(weights(first.model), weights(other.model))


def test_stopping_is_after_the_update_at_hand(make_loop, watcher):
    loop = make_loop(observers=[watcher(stop_at=4)])
    with pytest.raises(Interrupted, match="stopped in epoch 2, after 4 updates"):
        loop.run()
    assert (loop.at.epoch, loop.at.batch, loop.at.step) == (1, 1, 4)


def test_a_raw_curve_has_some_hundred_points_however_long_the_run(make_loop, split, watcher):
    seen = watcher()
    loop = make_loop(train=split(300), batch_size=1, epochs=5, observers=[seen])
    loop.run()
    assert 200 < len(seen.points) <= 400
    counted = sum(numbers["loss"] for _, numbers in seen.points) / len(seen.points)
    epochs = sum(record["train"]["loss"] for record in seen.epochs) / 5
    assert counted == pytest.approx(epochs)
