"""Classification: the loss is torch's, smoothed as the notes smooth; scores are scikit-learn's."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torch import nn
from torch.nn import functional as F

import didact
from didact.data.batches import TensorSplit
from didact.data.open import open_data
from didact.data.raw import Part
from didact.errors import UsageError
from didact.tasks.classify import SHOWN_MISTAKES, Classify

LOG2 = math.log(2)


def made(count=40, classes=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, classes, generator=generator), torch.randint(
        classes, (count,), generator=generator
    )


def one_loss(task, model, batch):
    (step,) = task.losses(model, batch)
    return step


def test_loss_and_logs(class_facts, given):
    logits, labels = made()
    step = one_loss(Classify(class_facts()), given, (logits, labels))
    assert step.group == "model"
    assert step.loss.requires_grad
    assert step.loss.item() == F.cross_entropy(logits, labels).item()
    assert step.logs["accuracy"].item() == (logits.argmax(1) == labels).sum().item()
    assert not step.logs["accuracy"].requires_grad


def test_label_smoothing_is_the_notes(class_facts):
    """W20: C=5, eps=.1 gives the target [.9, .025, .025, .025, .025], which torch calls .125."""
    logits, labels = made(classes=5)
    loss = Classify(class_facts(5), label_smoothing=0.1).loss(logits, labels)
    target = torch.full((40, 5), 0.025).scatter(1, labels[:, None], 0.9)
    assert target[0].sum() == pytest.approx(1)
    by_hand = -(target * logits.log_softmax(1)).sum(1).mean()
    assert loss.item() == pytest.approx(by_hand.item())
    assert loss.item() == pytest.approx(F.cross_entropy(logits, labels, label_smoothing=0.125).item())


class TwoHeads(nn.Module):
    """Logits as given, and one auxiliary head that turns them round."""

    auxiliary_weight = 0.3

    def forward(self, x):
        return x

    def forward_with_auxiliary(self, x):
        return x, -x


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_auxiliary_heads_have_a_share_in_the_loss_alone(class_facts, smoothing):
    logits, labels = made()
    task = Classify(class_facts(), label_smoothing=smoothing)
    step = one_loss(task, TwoHeads(), (logits, labels))
    expected = task.loss(logits, labels) + 0.3 * task.loss(-logits, labels)
    assert step.loss.item() == pytest.approx(expected.item())
    assert step.logs["accuracy"].item() == (logits.argmax(1) == labels).sum().item()


@pytest.mark.parametrize(("name", "weight"), [("googlenet", 0.3), ("inception-v3", 0.4)])
def test_published_weights_of_auxiliary_heads(name, weight):
    assert didact.CATALOG[name].resolve().auxiliary_weight == weight


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan"), 2.0])
def test_label_smoothing_out_of_range(class_facts, smoothing):
    with pytest.raises(UsageError, match="label_smoothing"):
        Classify(class_facts(), label_smoothing=smoothing)


def test_label_smoothing_may_not_favour_the_wrong_classes(class_facts):
    """With two classes, 0.6 would give the wrong one more than the right one; torch cannot even say 0.6."""
    assert Classify(class_facts(2), label_smoothing=0.4).loss(*made(classes=2)) > 0
    for smoothing in (0.5, 0.6):
        with pytest.raises(UsageError, match=rf"label_smoothing={smoothing}.*less than 0\.5"):
            Classify(class_facts(2), label_smoothing=smoothing)


def test_a_single_class_costs_nothing(class_facts):
    assert Classify(class_facts(1)).loss(torch.randn(4, 1), torch.zeros(4, dtype=torch.long)) == 0


@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
def test_without_knowledge_the_loss_is_log_c(class_facts, classes):
    """W17: equal scores cost log C."""
    loss = Classify(class_facts(classes)).loss(torch.zeros(4, classes), torch.arange(4) % classes)
    expected = {2: 0.693147, 10: 2.302585, 100: 4.605170, 1000: 6.907755}[classes]
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["softmax-regression", "mlp", "lenet5"])
def test_a_new_network_starts_near_log_c(name):
    data = open_data("digits", image_size=32 if name == "lenet5" else None)
    torch.manual_seed(0)
    sizes = {"lenet5": {}, "mlp": {"in_features": 64, "out_features": 10}}
    network = didact.build(name, **sizes.get(name, {"in_features": 64, "num_classes": 10}))
    numbers = Classify(data.facts).score(network, data["val"])
    assert numbers["loss"] == pytest.approx(math.log(10), abs=0.3)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([5.0, -3.0, 2.0], 0.0489069), ([5.0, 10.0, 10.0], 5.6965105), ([5.0, -20.0, -20.0], 2.7776e-11)],
)
def test_worked_example_w21(class_facts, scores, expected):
    """Notes 001, section VII.1: cross-entropy beside the hinge loss, y=0."""
    loss = Classify(class_facts(3)).loss(torch.tensor([scores], dtype=torch.float64), torch.tensor([0]))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_worked_examples_w5_and_w6(class_facts):
    """Notes 004: softmax of (2, 1, .1); its cross-entropy, printed in bits, which torch has in nats."""
    task, first = Classify(class_facts(3)), torch.tensor([0])
    logits = torch.tensor([[2.0, 1.0, 0.1]], dtype=torch.float64)
    assert logits.softmax(1)[0].tolist() == pytest.approx([0.65900, 0.24243, 0.09857], abs=5e-6)
    assert task.loss(logits, first).item() == pytest.approx(0.41703, abs=5e-6)
    for shares, nats, bits in (
        ([0.66, 0.24, 0.10], 0.41552, 0.59946),
        ([0.10, 0.66, 0.24], 2.30259, 3.32193),
    ):
        loss = task.loss(torch.tensor([shares], dtype=torch.float64).log(), first).item()
        assert loss == pytest.approx(nats, abs=5e-6)
        assert loss / LOG2 == pytest.approx(bits, abs=5e-6)


@pytest.mark.usefixtures("no_draws")
def test_score_is_sklearns_whatever_the_batches(class_facts, given):
    logits, labels = made(57)
    predicted = logits.argmax(1)
    given.train()
    for batch_size in (1, 10, 57, 256):
        numbers = Classify(class_facts()).score(given, TensorSplit(logits, labels), batch_size)
        assert numbers == pytest.approx(
            {
                "loss": F.cross_entropy(logits, labels).item(),
                "accuracy": oracle.accuracy_score(labels, predicted),
                "macro_f1": oracle.f1_score(labels, predicted, average="macro"),
                "balanced_accuracy": oracle.balanced_accuracy_score(labels, predicted),
                "top5": (top5 := oracle.top_k_accuracy_score(labels, logits, k=5)),
                "top5_error": 1 - top5,
            }
        )
    assert given.training
    assert given.scale.grad is None


def test_smoothing_does_not_touch_the_score(class_facts, given):
    logits, labels = made()
    plain, smooth = (Classify(class_facts(), label_smoothing=s) for s in (0.0, 0.2))
    split = TensorSplit(logits, labels)
    assert plain.score(given, split) == smooth.score(given, split)


def test_top_5_needs_more_than_five_classes(class_facts, given):
    logits, labels = made(classes=5)
    assert "top5" not in Classify(class_facts(5)).score(given, TensorSplit(logits, labels))


def test_decode(class_facts):
    logits, _ = made(3)
    answers = Classify(class_facts()).decode(logits)
    for answer, row in zip(answers, logits.softmax(1), strict=True):
        ranking = row.argsort(descending=True)[:5].tolist()
        assert list(answer["best"]) == [f"class {k}" for k in ranking]
        assert list(answer["best"].values()) == pytest.approx(row[ranking].tolist())
        assert answer["class"] == f"class {ranking[0]}"
        assert answer["probability"] == answer["best"][answer["class"]]


def test_decode_of_two_classes_sums_to_one(class_facts):
    (answer,) = Classify(class_facts(2)).decode(torch.tensor([[0.0, 1.0]]))
    assert sum(answer["best"].values()) == pytest.approx(1)


def test_examine(class_facts, given):
    logits, labels = made(60)
    part = Part([np.array([float(i)]) for i in range(60)], places=[f"row {i}" for i in range(60)])
    outcome = Classify(class_facts()).examine(given, TensorSplit(logits, labels), part)
    confusion, mistakes = outcome.exhibits
    assert outcome.numbers == Classify(class_facts()).score(given, TensorSplit(logits, labels))
    assert sum(map(sum, confusion.matrix)) == 60
    right = sum(confusion.matrix[k][k] for k in range(10))
    assert right / 60 == outcome.numbers["accuracy"]
    assert (mistakes.wrong, mistakes.total) == (60 - right, 60)
    sure = [mistake.probability for mistake in mistakes.mistakes]
    assert len(sure) == SHOWN_MISTAKES
    assert sure == sorted(sure, reverse=True)
    wrong = logits.softmax(1).max(1).values[logits.argmax(1) != labels]
    assert sure[0] == pytest.approx(wrong.max().item())
    for mistake in mistakes.mistakes:
        row = int(mistake.place.removeprefix("row "))
        assert mistake.text == f"{row:.3f}"
        assert mistake.true == f"class {labels[row]}" != mistake.predicted == f"class {logits[row].argmax()}"
