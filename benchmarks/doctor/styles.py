"""How people write their loops: four styles for networks with one loss, three for a GAN.

    classic   DataLoader, zero_grad first, module loss, Doctor called by hand, metrics "loss" and "acc"
    plain     batches by permutation, zero_grad last, function loss, a scheduler, `with didact.watch` around
    split     two micro-batches an update, two optimizers, hand-written loss, dict losses, {} metrics
    closure   `optimizer.step(closure)`, as LBFGS wants it; only where a task asks for it

A style takes a task, a seed and a clinic, trains as its user would, and returns a `Run`: the network and what
its user believes at the end. The switches (`task.zero_grad` and others) are where a user forgets something.
"""

import copy
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from clinic import Clinic
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tasks import Task, guard, other


@dataclass
class Run:
    """What is left of a training run."""

    model: Any
    reported: list[float] = field(default_factory=list)  # the user's metric on their validation rows
    losses: list[float] = field(default_factory=list)  # the same of the loss
    optimizer: Any = None
    steps: int = 0


# What the styles share


def start_epoch(task: Task, model: nn.Module, epoch: int) -> None:
    """`model.train()`, where the user wrote it."""
    if task.train_mode == "always" or (task.train_mode == "once" and epoch == 0):
        model.train()


def validate(task: Task, model: nn.Module, criterion: Any, size: int) -> tuple[float, float]:
    """Mean loss and metric over the validation rows, batch by batch."""
    if task.eval_mode:
        model.eval()
    losses, outputs, x, y = [], [], *task.val
    with guard(task):
        for rows in torch.arange(len(x)).split(size):
            out = task.predict(model, x[rows])
            losses.append(float(criterion(out, y[rows])))
            outputs.append(out)
    if isinstance(outputs[0], tuple):
        return statistics.fmean(losses), task.metric(torch.cat([out[0] for out in outputs]), y)
    return statistics.fmean(losses), task.metric(torch.cat(outputs), y)


def stale(task: Task, losses: list[float]) -> bool:
    """Early stopping: no better for `patience` epochs."""
    if not task.patience or len(losses) <= task.patience:
        return False
    return min(losses[-task.patience :]) >= min(losses[: -task.patience])


def finish_epoch(task: Task, model: nn.Module, epoch: int) -> None:
    if task.after_epoch:
        task.after_epoch(task, model, *task.train)


def clip(task: Task, model: nn.Module) -> None:
    if task.clip:
        nn.utils.clip_grad_norm_(model.parameters(), task.clip)


class Keeper:
    """Keeps the best weights, for those who stop early."""

    def __init__(self, task: Task, model: nn.Module):
        self.task, self.model = task, model
        self.lowest, self.best = float("inf"), model.state_dict()

    def see(self, loss: float) -> None:
        if self.task.patience and loss < self.lowest:
            self.lowest, self.best = loss, copy.deepcopy(self.model.state_dict())

    def restore(self, run: Run) -> None:
        """Go back to the best epoch; what came after is not what its user reports."""
        if self.lowest < float("inf"):
            self.model.load_state_dict(self.best)
            best = run.losses.index(self.lowest) + 1
            run.losses, run.reported = run.losses[:best], run.reported[:best]


# One loss


def classic(task: Task, clinic: Clinic) -> Run:
    """The loop of most tutorials."""
    model = task.model()
    optimizer = task.optimizer(task.trained(model))
    for edit in task.edits:
        model = other(edit(model), model)
    criterion = task.loss(0)
    loader = DataLoader(TensorDataset(*task.train), batch_size=task.batch, shuffle=task.shuffle)
    scheduler = task.schedule(optimizer, task.epochs, len(loader)) if task.schedule else None
    doctor = clinic.doctor()
    doctor.on_start(model, optimizer, criterion, loader)
    run, keeper, kept = Run(model, optimizer=optimizer), Keeper(task, model), []
    for epoch in range(task.epochs):
        start_epoch(task, model, epoch)
        total, seen, outputs, labels = 0.0, 0, [], []
        for x, y in loader:
            if task.before_batch:
                task.before_batch()
            if task.augment:
                x = task.augment(x)
            if task.zero_grad:
                optimizer.zero_grad()
            out = task.predict(model, x)
            loss = criterion(out, y)
            task.backward(loss)
            clip(task, model)
            if task.takes_step:
                optimizer.step()
            if scheduler and task.schedule_each == "batch":
                scheduler.step()
            if task.after_step:
                task.after_step(model)
            if task.keep_graph:
                kept.append(loss)
            total, seen = total + loss.item() * len(x), seen + len(x)
            outputs.append((out[0] if isinstance(out, tuple) else out).detach())
            labels.append(y)
            run.steps += 1
            doctor.on_step(loss.item() if task.log_float else loss, (x, y))
        if scheduler and task.schedule_each == "epoch":
            scheduler.step()
        train = {"loss": total / seen, "acc": task.metric(torch.cat(outputs), torch.cat(labels))}
        finish_epoch(task, model, epoch)
        if task.val is None:
            doctor.on_epoch(train, {})
            continue
        loss, metric = validate(task, model, criterion, task.batch)
        doctor.on_epoch(train, {"loss": loss, "acc": metric})
        run.reported.append(metric)
        run.losses.append(loss)
        keeper.see(loss)
        if stale(task, run.losses):
            break
    keeper.restore(run)
    return run


def plain(task: Task, clinic: Clinic) -> Run:
    """Tensors in memory, gradients zeroed after the step, `didact.watch` around it all."""
    net = task.model()
    opt = task.optimizer(task.trained(net))
    for edit in task.edits:
        net = other(edit(net), net)
    loss_fn = task.loss(1)
    x_train, y_train = task.train
    steps = -(-len(x_train) // task.batch)
    make = task.schedule or (
        lambda opt, epochs, _: torch.optim.lr_scheduler.StepLR(opt, -(-epochs // 2), 0.5)
    )
    scheduler = make(opt, task.epochs, steps)
    run, keeper, history = Run(net, optimizer=opt), Keeper(task, net), []
    with clinic.watch(net, opt):
        for epoch in range(task.epochs):
            start_epoch(task, net, epoch)
            order = torch.randperm(len(x_train)) if task.shuffle else torch.arange(len(x_train))
            for i in range(0, len(order), task.batch):
                if task.before_batch:
                    task.before_batch()
                rows = order[i : i + task.batch]
                xb, yb = x_train[rows], y_train[rows]
                if task.augment:
                    xb = task.augment(xb)
                loss = loss_fn(task.predict(net, xb), yb)
                task.backward(loss)
                clip(task, net)
                if task.takes_step:
                    opt.step()
                if task.zero_grad:
                    opt.zero_grad()
                if task.schedule_each == "batch":
                    scheduler.step()
                if task.after_step:
                    task.after_step(net)
                history.append(loss if task.keep_graph else loss.item())
                run.steps += 1
            if task.schedule_each == "epoch":
                scheduler.step()
            finish_epoch(task, net, epoch)
            if task.val is None:
                continue
            val_loss, score = validate(task, net, loss_fn, len(task.val[0]))
            run.reported.append(score)
            run.losses.append(val_loss)
            keeper.see(val_loss)
            if stale(task, run.losses):
                break
    keeper.restore(run)
    return run


def halves(task: Task, model: nn.Module) -> list[torch.optim.Optimizer]:
    """One optimizer for the last layer, one for what is before it."""
    parameters = list(task.trained(model))
    if len(parameters) <= 2 or isinstance(parameters[0], dict):
        return [task.optimizer(parameters)]
    return [task.optimizer(parameters[:-2]), task.optimizer(parameters[-2:])]


def micro_batches(task: Task) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """Half batches, and whether the weights are to move after this one."""
    x, y = task.train
    half = max(1, task.batch // 2)
    order = torch.randperm(len(x)) if task.shuffle else torch.arange(len(x))
    parts = order.split(half)
    for number, rows in enumerate(parts):
        yield x[rows], y[rows], number % 2 == 1 or number == len(parts) - 1


def split(task: Task, clinic: Clinic) -> Run:
    """Gradients of two micro-batches, two optimizers, numbers kept in dicts."""
    network = task.model()
    optimizers = halves(task, network)
    for edit in task.edits:
        network = other(edit(network), network)
    objective = task.loss(2)
    steps = -(-len(task.train[0]) // task.batch)
    schedulers = [task.schedule(o, task.epochs, steps) for o in optimizers] if task.schedule else []
    doctor = clinic.doctor()
    doctor.on_start(network, tuple(optimizers), None, None)
    run, keeper, kept = Run(network, optimizer=optimizers), Keeper(task, network), []
    for epoch in range(task.epochs):
        start_epoch(task, network, epoch)
        for inputs, targets, last in micro_batches(task):
            if task.before_batch:
                task.before_batch()
            if task.augment:
                inputs = task.augment(inputs)
            loss = objective(task.predict(network, inputs), targets)
            task.backward(loss / 2)
            if last:
                clip(task, network)
                if task.takes_step:
                    for optimizer in optimizers:
                        optimizer.step()
                if task.zero_grad:
                    for optimizer in optimizers:
                        optimizer.zero_grad()
                if task.schedule_each == "batch":
                    for scheduler in schedulers:
                        scheduler.step()
                if task.after_step:
                    task.after_step(network)
                run.steps += 1
            if task.keep_graph:
                kept.append(loss)
            doctor.on_step({"total": loss.item() if task.log_float else loss}, (inputs, targets))
        if task.schedule_each == "epoch":
            for scheduler in schedulers:
                scheduler.step()
        finish_epoch(task, network, epoch)
        if task.val is not None:
            loss, score = validate(task, network, objective, 64)
            run.reported.append(score)
            run.losses.append(loss)
            keeper.see(loss)
        doctor.on_epoch({}, {})
        if stale(task, run.losses):
            break
    keeper.restore(run)
    return run


def closure(task: Task, clinic: Clinic) -> Run:
    """The optimizer calls the loss itself."""
    model = task.model()
    optimizer = task.optimizer(task.trained(model))
    criterion, (x, y) = task.loss(0), task.train
    doctor = clinic.doctor()
    doctor.on_start(model, optimizer, criterion, [(x, y)])
    run = Run(model, optimizer=optimizer)
    for epoch in range(task.epochs):
        start_epoch(task, model, epoch)
        for rows in torch.randperm(len(x)).split(task.batch):
            xb, yb = x[rows], y[rows]

            def evaluate(xb: Tensor = xb, yb: Tensor = yb) -> Tensor:
                optimizer.zero_grad()
                loss = criterion(task.predict(model, xb), yb)
                loss.backward()
                return loss

            doctor.on_step(optimizer.step(evaluate), (xb, yb))
            run.steps += 1
        loss, metric = validate(task, model, criterion, task.batch)
        doctor.on_epoch({}, {"val_loss": loss, "val_accuracy": metric})
        run.reported.append(metric)
        run.losses.append(loss)
    return run


# A GAN


@dataclass
class Players:
    """The two networks, their optimizers and the loss."""

    task: Task
    taste: int

    def __post_init__(self) -> None:
        task = self.task
        self.generator, self.critic = task.model()
        self.models = (self.generator, self.critic)
        self.g = task.optimizer(self.generator.parameters())
        self.d = (task.critic_optimizer or task.optimizer)(task.trained(self.critic))
        self.criterion = task.loss(self.taste)

    def critic_loss(self, real: Tensor) -> Tensor:
        ones = torch.full((len(real), 1), self.task.real_label)
        fake = self.generator(self.task.noise(len(real))).detach()
        wrong = self.criterion(self.critic(fake), torch.zeros(len(real), 1))
        return self.criterion(self.critic(real), ones) + wrong

    def generator_loss(self, size: int) -> Tensor:
        fake = self.generator(self.task.noise(size))
        judged = self.critic(fake.detach() if self.task.cut_fake else fake)
        if self.task.saturating:
            return -self.criterion(judged, torch.zeros(size, 1))
        return self.criterion(judged, torch.ones(size, 1))

    def move(self, optimizer: torch.optim.Optimizer, loss: Tensor, zero_first: bool) -> None:
        if zero_first and self.task.zero_grad:
            optimizer.zero_grad()
        self.task.backward(loss)
        if self.task.takes_step:
            optimizer.step()
        if not zero_first and self.task.zero_grad:
            self.g.zero_grad()
            self.d.zero_grad()


def classic_gan(task: Task, clinic: Clinic) -> Run:
    """As in the tutorials: the critic on real and fake, then the generator."""
    players = Players(task, 0)
    loader = DataLoader(TensorDataset(task.train[0]), batch_size=task.batch, shuffle=task.shuffle)
    doctor = clinic.doctor()
    doctor.on_start(players.models, (players.g, players.d), players.criterion, loader)
    run = Run(players.models, optimizer=(players.g, players.d))
    for _ in range(task.epochs):
        sums = [0.0, 0.0]
        for number, (real,) in enumerate(loader):
            d_loss = players.critic_loss(real)
            players.move(players.d, d_loss, True)
            losses = {"d": d_loss}
            if number % task.critic_steps == 0:
                losses["g"] = players.generator_loss(len(real))
                players.move(players.g, losses["g"], True)
                sums[1] += losses["g"].item()
            sums[0] += d_loss.item()
            run.steps += 1
            doctor.on_step(losses, real)
        doctor.on_epoch({"d_loss": sums[0] / len(loader), "g_loss": sums[1] / len(loader)}, {})
    return run


def plain_gan(task: Task, clinic: Clinic) -> Run:
    """Random rows for each step, watched from outside."""
    players = Players(task, 1)
    data, run = task.train[0], Run(players.models, optimizer=(players.g, players.d))
    with clinic.watch(players.models, (players.g, players.d)):
        for number in range(task.epochs * (len(data) // task.batch)):
            real = data[torch.randint(len(data), (task.batch,))]
            players.move(players.d, players.critic_loss(real), False)
            if number % task.critic_steps == 0:
                players.move(players.g, players.generator_loss(task.batch), False)
            run.steps += 1
    return run


def split_gan(task: Task, clinic: Clinic) -> Run:
    """The generator first; losses as floats in a dict."""
    players = Players(task, 2)
    data, run = task.train[0], Run(players.models, optimizer=(players.g, players.d))
    doctor = clinic.doctor()
    doctor.on_start(players.models, (players.g, players.d), None, None)
    for _ in range(task.epochs):
        for number, rows in enumerate(torch.randperm(len(data)).split(task.batch)):
            g_loss = players.generator_loss(len(rows))
            if number % task.critic_steps == 0:
                players.move(players.g, g_loss, True)
            d_loss = players.critic_loss(data[rows])
            players.move(players.d, d_loss, True)
            run.steps += 1
            doctor.on_step({"generator": g_loss.item(), "critic": d_loss.item()}, data[rows])
        doctor.on_epoch({}, {})
    return run


STYLES: dict[str, Callable[[Task, Clinic], Run]] = {
    "classic": classic,
    "plain": plain,
    "split": split,
    "closure": closure,
}
GAN_STYLES: dict[str, Callable[[Task, Clinic], Run]] = {
    "classic": classic_gan,
    "plain": plain_gan,
    "split": split_gan,
}
USUAL = ("classic", "plain", "split")


def train(task: Task, style: str, seed: int, clinic: Clinic) -> Run:
    """One training run from a seed."""
    torch.manual_seed(seed)
    loops = GAN_STYLES if task.kind == "points" else STYLES
    return loops[style](task, clinic)
