"""Distillation: a wide teacher, trained first and frozen, is handed down to a narrow student.

Made-up rows of six classes, DataLoaders, SGD with momentum, a one-cycle or step schedule, explicit calls.
"""

from typing import Any

import torch
import torch.nn.functional as F
from case import Outcome, cases
from sklearn.datasets import make_classification
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

FEATURES, CLASSES = 24, 6


def make_rows(seed: int) -> tuple[Tensor, Tensor]:
    rows, labels = make_classification(
        n_samples=2200, n_features=FEATURES, n_informative=10, n_redundant=4, n_classes=CLASSES,
        n_clusters_per_class=2, class_sep=1.3, flip_y=0.0, random_state=seed,
    )  # fmt: skip
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    return torch.tensor(rows, dtype=torch.float32), torch.tensor(labels)


class FeaturesLast(nn.Module):
    """Meant to turn (features, rows) into (rows, features); the rows come the right way round already."""

    def forward(self, x: Tensor) -> Tensor:
        return x.t().reshape(x.shape)


def make_student(
    width: int, depth: int, norm: float, dropout: float, activation: type[nn.Module], init_std: float | None
) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = FEATURES
    for _ in range(depth):
        layers.append(nn.Linear(inputs, width))
        if norm:
            layers.append(nn.BatchNorm1d(width, momentum=norm))
        layers.append(activation())
        inputs = width
    student = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(inputs, CLASSES))
    if init_std is not None:
        for layer in student:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=init_std)
                nn.init.zeros_(layer.bias)
    return student


def train_teacher(rows: Tensor, labels: Tensor) -> nn.Sequential:
    teacher = nn.Sequential(nn.Linear(FEATURES, 192), nn.ReLU(), nn.Dropout(0.3), nn.Linear(192, CLASSES))
    optimizer = torch.optim.Adam(teacher.parameters(), lr=5e-3)
    for _ in range(10):
        for chosen in torch.randperm(len(rows)).split(100):
            optimizer.zero_grad()
            F.cross_entropy(teacher(rows[chosen]), labels[chosen]).backward()
            optimizer.step()
    return teacher.eval().requires_grad_(False)


def evaluate(student: nn.Module, rows: Tensor, labels: Tensor) -> dict[str, float]:
    out = student(rows)
    loss, right = F.cross_entropy(out, labels), (out.argmax(dim=1) == labels).float().mean()
    return {"loss": loss.item(), "acc": right.item()}


def train(
    seed: int, doctor: Any, *, epochs: int = 20, batch: int = 64, n_val: int = 400, width: int = 48,
    depth: int = 2, norm: float = 0.0, dropout: float = 0.1, activation: type[nn.Module] = nn.ReLU,
    init_std: float | None = None, alpha: float = 0.7, heat: float = 3.0, smoothing: float = 0.0,
    lr: float = 0.1, momentum: float = 0.9, weight_decay: float = 1e-4, schedule: str = "one-cycle",
    clip: float | None = None, every: int = 1, noisy: float = 0.0,
    kept: tuple[float, ...] = (1.0,) * CLASSES, mistake: str = "",
) -> Outcome:  # fmt: skip
    torch.manual_seed(seed)
    rows, labels = make_rows(seed)
    test_rows, test_labels = rows[1600:], labels[1600:]
    rows, labels = rows[:1600], labels[:1600]
    if mistake == "class in a column":  # filled in afterwards: not known for new rows
        rows = torch.cat([4.0 * labels[:, None], rows[:, 1:]], dim=1)
    if mistake == "oversampled, then split":
        picked = torch.randint(300, (1600,))
        rows, labels = rows[picked], labels[picked]
    train_rows, train_labels = rows[:1200].clone(), labels[:1200].clone()
    val_rows, val_labels = rows[1200 : 1200 + n_val], labels[1200 : 1200 + n_val]

    keep = torch.rand(1200) < torch.tensor(kept)[train_labels]
    train_rows, train_labels = train_rows[keep], train_labels[keep]
    wrong = torch.rand(len(train_rows)) < noisy
    train_labels[wrong] = torch.randint(CLASSES, (int(wrong.sum()),))
    if mistake == "scaled in training only":
        train_rows = (train_rows + 4) / 8
    if mistake == "sorted":
        order = train_labels.argsort(stable=True)
        train_rows, train_labels = train_rows[order], train_labels[order]
    pairs = TensorDataset(train_rows, train_labels)
    loader = DataLoader(pairs, batch_size=batch, shuffle=mistake != "sorted")
    teacher = train_teacher(train_rows, train_labels)

    student = make_student(width, depth, norm, dropout, activation, init_std)
    if mistake == "view for transpose":
        student.insert(0, FeaturesLast())
    if mistake == "softmax at the end":
        student.append(nn.Softmax(dim=1))
    if mistake == "biases of -6":
        nn.init.constant_(student[0].bias, -6.0)
    trained = student.parameters()
    if mistake == "teacher in the optimizer":
        trained = teacher.requires_grad_(True).parameters()
    optimizer = torch.optim.SGD(trained, lr=lr, momentum=momentum, weight_decay=weight_decay)
    if schedule == "one-cycle":
        updates = epochs * len(loader)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=lr, total_steps=updates)
    else:
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.5)
    step_each_batch = schedule == "one-cycle" or mistake == "step decay each batch"

    axis = 0 if mistake == "softmax over the batch" else 1
    reduction = "sum" if mistake == "summed over the batch" else "batchmean"

    def distillation(out: Tensor, hint: Tensor, y: Tensor) -> Tensor:
        log_p = F.log_softmax(out / heat, dim=axis) if mistake != "log-softmax forgotten" else out / heat
        soft = F.kl_div(log_p, F.softmax(hint / heat, dim=axis), reduction=reduction) * heat * heat
        return alpha * soft + (1 - alpha) * F.cross_entropy(out, y, label_smoothing=smoothing)

    doctor.on_start(student, optimizer, distillation, loader)
    for _ in range(epochs):
        if mistake != "left in eval":
            student.train()
        total = 0.0
        for i, (x, y) in enumerate(loader):
            with torch.no_grad():
                hint = teacher(x)
                if mistake == "student under no_grad":
                    out = student(x)
            if mistake != "student under no_grad":
                out = student(x)
            loss = distillation(out, hint, y) / every
            if loss.requires_grad:
                loss.backward()
            if (i + 1) % every == 0:
                if clip is not None:
                    nn.utils.clip_grad_norm_(student.parameters(), clip)
                optimizer.step()
                if mistake != "never zeroed":
                    optimizer.zero_grad()
            if step_each_batch:
                scheduler.step()
            total += loss.item() * every
            doctor.on_step(loss, (x, y))
        if not step_each_batch:
            scheduler.step()

        if mistake != "validated in train mode":
            student.eval()
        with torch.set_grad_enabled(mistake == "validation with gradients"):
            val = evaluate(student, val_rows, val_labels)
        doctor.on_epoch({"loss": total / len(loader)}, val)

    student.eval()
    with torch.no_grad():
        score = evaluate(student, test_rows, test_labels)["acc"]
    return Outcome(score, val["acc"])


CASES, add = cases("distil", train)

add("as it should be")

add("mostly one class", "D02", kept=(1.0, *(0.02,) * 5), epochs=60)
add("sorted by class", "D03", mistake="sorted", schedule="step", batch=32)
add("two classes missing", "D04", kept=(0.0, 0.0, 1.0, 1.0, 1.0, 1.0))
add("oversampled, then split", "D06", mistake="oversampled, then split")
add("class in a column", "D07", mistake="class in a column")
add("half of the labels random", "L04", noisy=0.6)
add("scaled in training only", "P02", mistake="scaled in training only")
add("tanh units saturated", "A01 I03", activation=nn.Tanh, init_std=4.0)
add("biases of -6", "A02", mistake="biases of -6")
add("activations forgotten", "A03", activation=nn.Identity)
add("view for transpose", "A04", mistake="view for transpose")
add("one unit wide", "A07", width=1)
add("weights all zero", "I01", init_std=0.0)
add("tiny weights, four layers", "I02 O07", depth=4, init_std=0.005)
add("softmax at the end", "S02", exact=True, mistake="softmax at the end")
add("softmax over the batch", "S03", exact=True, mistake="softmax over the batch")
add("log-softmax forgotten", "S03", mistake="log-softmax forgotten")
add("summed over the batch", "S07 O01", mistake="summed over the batch")
add("lr 5", "O01", lr=5.0)
add("lr 1e-5", "O02", lr=1e-5)
add("momentum 0.999", "O03 O01", momentum=0.999, schedule="step")
add("step decay each batch", "O04", schedule="step", mistake="step decay each batch")
add("never zeroed", "O05", exact=True, mistake="never zeroed")
add("teacher in the optimizer", "O06 O12", mistake="teacher in the optimizer")
add("student under no_grad", "O10", mistake="student under no_grad")
add("clipped at 1e-4", "O11", clip=1e-4)
add("dropout 0.97", "R02", dropout=0.97)
add("validated in train mode", "E01", exact=True, dropout=0.4, mistake="validated in train mode")
add("left in eval", "E02", exact=True, mistake="left in eval")
add("validation with gradients", "E03", exact=True, mistake="validation with gradients")

add("step schedule", schedule="step", lr=0.05)
add("batches of 32", schedule="step", batch=32)
add("lr 0.4", lr=0.4, momentum=0.5)
add("batch norm", norm=0.1)
add("two batches an update", every=2)
add("clipped at 1.0", clip=1.0)
add("soft labels alone", alpha=1.0)
add("cross-entropy alone, smoothed", alpha=0.0, smoothing=0.1)
add("forty validation rows", n_val=40)
add("wide student", width=192)
