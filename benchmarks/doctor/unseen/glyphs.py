"""Handwritten digits of 8 x 8 pixels and a small CNN with BatchNorm and dropout.

The training pictures are shifted by a pixel and get a little noise in the loop; Adam follows a cosine
schedule that steps each update, and loss and accuracy are measured on validation rows each epoch.
"""

import copy
import time

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

CLASSES = 10


class Glyphs(Dataset):
    """Pictures and labels; `wait` is the time in seconds that reading one of them takes."""

    def __init__(self, pictures: Tensor, labels: Tensor, wait: float = 0.0) -> None:
        self.pictures, self.labels, self.wait = pictures, labels, wait

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if self.wait:
            time.sleep(self.wait)
        return self.pictures[index], self.labels[index]


class CNN(nn.Module):
    """Two convolutions with a norm each, dropout and a linear head; `mistake` as in `train`."""

    def __init__(
        self,
        outputs: int = CLASSES,
        dropout: float = 0.2,
        norm: str = "batch",
        bn_momentum: float = 0.1,
        last: nn.Module | None = None,
        mistake: str = "",
    ) -> None:
        super().__init__()

        def normed(channels: int) -> nn.Module:
            if norm == "group":
                return nn.GroupNorm(4, channels)
            return nn.BatchNorm2d(channels, momentum=bn_momentum)

        self.body = nn.Sequential(
            *[nn.Conv2d(1, 12, 3, padding=1), normed(12), nn.ReLU(), nn.MaxPool2d(2)],
            *[nn.Conv2d(12, 24, 3, padding=1), normed(24), nn.ReLU(), nn.MaxPool2d(2)],
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(96, outputs)
        self.last = last or nn.Identity()
        self.mistake = mistake

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.mistake != "body without grad"):
            maps = self.body(x)
        if self.mistake == "rows mixed":  # channels last was wanted; the batch came along
            flat = maps.permute(2, 3, 1, 0).reshape(len(x), -1)
        else:
            flat = maps.flatten(1)
        logits = self.last(self.head(self.dropout(flat)))
        return (logits, flat) if self.mistake == "features returned too" else logits


class OneHotBCE(nn.Module):
    """Each digit's output against yes or no."""

    def __init__(self) -> None:
        super().__init__()
        self.bce = nn.BCEWithLogitsLoss()

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return self.bce(outputs, F.one_hot(labels, CLASSES).float())


class DigitMSE(nn.Module):
    """One output against the digit as a number."""

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return F.mse_loss(outputs.squeeze(1), labels.float())


def augmented(x: Tensor, shift: int, noise: float) -> Tensor:
    """Pictures moved by up to `shift` pixels, the same way for a batch, with noise."""
    right, down = torch.randint(-shift, shift + 1, (2,)).tolist()
    padded = F.pad(x, (shift,) * 4)
    moved = padded[..., shift + down : shift + down + 8, shift + right : shift + right + 8]
    return moved + noise * torch.randn_like(moved)


def splits(seed: int, rows: int, mistake: str) -> tuple[Tensor, ...]:
    """Pictures and labels of the training, validation and test rows."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    x = torch.tensor(digits.images[order], dtype=torch.float32)[:, None]
    y = torch.tensor(digits.target[order])
    test_x, test_y, x, y = x[:500], y[:500], x[500:], y[500:]
    if mistake == "split after copying":  # a few rows, each of them 40 times, and then the split
        copies = torch.randperm(30 * 40) % 30
        x, y = x[copies], y[copies]
    if mistake == "split by label":  # the rows lie sorted in the file, and the last go to validation
        by_label = y.argsort(stable=True)
        x, y = x[by_label], y[by_label]
    train_x, train_y, val_x, val_y = x[:rows], y[:rows], x[rows:], y[rows:]
    if mistake == "few but zeros":
        counts = F.one_hot(train_y, CLASSES).cumsum(0).gather(1, train_y[:, None])[:, 0]
        kept = ((train_y == 0) | (counts <= 1)).nonzero()[:, 0]
        kept = torch.cat([kept, *[kept[train_y[kept] == 0]] * 8])
        train_x, train_y = train_x[kept], train_y[kept]
    return train_x, train_y, val_x, val_y, test_x, test_y


def train(
    seed,
    doctor,
    *,
    rows=950,
    epochs=12,
    batch=50,
    shuffle=True,
    wait=0.0,
    lr=4e-3,
    optimizer=torch.optim.Adam,
    schedule="cosine",
    loss_fn=None,
    shift=1,
    noise=0.1,
    scale=16.0,
    val_scale=None,
    label_noise=0.0,
    confused=0.0,
    freeze=False,
    norm_bias=0.0,
    ema=0.0,
    mistake="",
    **net_options,
) -> Outcome:
    torch.manual_seed(seed)
    x, y, val_x, val_y, test_x, test_y = splits(seed, rows, mistake)
    x = x / scale
    val_x, test_x = val_x / (val_scale or scale), test_x / (val_scale or scale)
    y = torch.where(torch.rand(len(y)) < label_noise, torch.randint(CLASSES, y.shape), y)
    y = torch.where(torch.rand(len(y)) < confused, (y + 1) % CLASSES, y)
    if mistake == "sorted":
        by_label = y.argsort()
        x, y = x[by_label], y[by_label]
    data = Glyphs(x, y, wait)
    loader = DataLoader(data, batch_size=batch, shuffle=shuffle)
    val_loader = DataLoader(Glyphs(val_x, val_y), batch_size=100)

    loss_fn = loss_fn or nn.CrossEntropyLoss()
    model = CNN(mistake=mistake, **net_options)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.constant_(layer.bias, norm_bias)
    if freeze:
        model.body[0].requires_grad_(False)
    opt = optimizer([weights for weights in model.parameters() if weights.requires_grad], lr=lr)
    if mistake == "head replaced":  # after the optimizer was made
        model.head = nn.Linear(96, CLASSES)
    if schedule == "one cycle":
        scheduler = torch.optim.lr_scheduler.OneCycleLR(opt, lr, total_steps=epochs * len(loader))
    elif schedule == "halved":  # meant for each epoch, stepped each update
        scheduler = torch.optim.lr_scheduler.StepLR(opt, step_size=1, gamma=0.5)
    else:
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(opt, epochs * len(loader))
    average = copy.deepcopy(model)
    user_net = average if ema else model

    def predicted(pictures: Tensor) -> Tensor:
        outputs = user_net(pictures)
        outputs = outputs[0] if isinstance(outputs, tuple) else outputs
        if outputs.shape[1] == 1:
            return outputs[:, 0].round().long()
        if mistake == "truncated probabilities":  # int() makes nearly all of them 0
            return F.softmax(outputs, dim=1).int().argmax(1)
        return outputs.argmax(1)

    def validate() -> dict[str, float]:
        if mistake != "validation in train mode":
            user_net.eval()
        hits, total = 0, 0.0
        with torch.set_grad_enabled(mistake == "validation with a graph"):
            for pictures, labels in val_loader:
                outputs = user_net(pictures)
                outputs = outputs[0] if isinstance(outputs, tuple) else outputs
                total += loss_fn(outputs, labels).item() * len(labels)
                hits += (predicted(pictures) == labels).sum().item()
        return {"loss": total / len(val_y), "acc": hits / len(val_y)}

    doctor.on_start(model, opt, loss_fn, loader)
    validation = {"acc": 0.0}
    for epoch in range(epochs):
        if mistake != "never back in train mode" or epoch == 0:
            model.train()
        if mistake == "pictures reordered" and epoch >= 2:
            data.pictures = data.pictures[torch.randperm(len(data))]
        total, seen = 0.0, 0
        for pictures, labels in loader:
            outputs = model(augmented(pictures, shift, noise))
            outputs = outputs[0] if isinstance(outputs, tuple) else outputs
            loss = loss_fn(outputs, labels)
            if mistake != "gradients kept":
                opt.zero_grad()
            loss.backward()
            opt.step()
            scheduler.step()
            doctor.on_step(loss, (pictures, labels))
            if ema:
                for mean, now in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                    mean.copy_(ema * mean + (1 - ema) * now)
            total, seen = total + loss.item() * len(labels), seen + len(labels)
        validation = validate()
        doctor.on_epoch({"loss": total / seen}, validation)

    mistake = "" if mistake == "truncated probabilities" else mistake  # an honest score
    user_net.eval()
    with torch.no_grad():
        return Outcome((predicted(test_x) == test_y).float().mean().item(), validation["acc"])


CASES, add = cases("glyphs", train)
add("as it should be")
add("few but zeros", "D02", mistake="few but zeros")
add("sorted, not shuffled", "D03", mistake="sorted", shuffle=False)
add("the last digits are not in training", "D04", mistake="split by label")
add("split after copying", "D06", mistake="split after copying", epochs=6)
add("pictures reordered without labels", "L01", mistake="pictures reordered")
add("half of the labels are the next digit", "L04", confused=0.5)
add("validation divided by 255", "P02", val_scale=255.0)
add("shifted by up to 6 pixels", "P03", shift=6)
add("noise of 3", "P03", noise=3.0)
add("norm biases of -4", "A02", norm_bias=-4.0)
add("rows mixed", "A04", mistake="rows mixed")
add("sigmoid before BCE with logits", "S01", exact=True, last=nn.Sigmoid(), loss_fn=OneHotBCE())
add("softmax in the network", "S02", exact=True, last=nn.Softmax(dim=1))
add("softmax over the rows", "S03", exact=True, last=nn.LogSoftmax(dim=0), loss_fn=nn.NLLLoss())
add("the digit as a number", "S06", outputs=1, loss_fn=DigitMSE())
add("lr 5", "O01", lr=5.0)
add("lr 1e-6", "O02", lr=1e-6)
add("halved each update", "O04", schedule="halved")
add("gradients kept", "O05", exact=True, mistake="gradients kept")
add("head replaced", "O06", exact=True, mistake="head replaced")
add("body without grad", "O10", exact=True, mistake="body without grad")
add("dropout 0.98", "R02", dropout=0.98)
add("two rows a batch", "R04", exact=True, batch=2, epochs=2)
add("validation in train mode", "E01", exact=True, mistake="validation in train mode")
add("never back in train mode", "E02", exact=True, mistake="never back in train mode")
add("validation with a graph", "E03", exact=True, mistake="validation with a graph")
add("truncated probabilities", "E04", exact=True, mistake="truncated probabilities")
add("norm momentum of 1e-4", "E05", bn_momentum=1e-4)
add("each picture is waited for", "E06", exact=True, wait=2e-4, epochs=6)

add("one cycle, AdamW", schedule="one cycle", optimizer=torch.optim.AdamW, lr=0.01)
add("SGD at 0.5", optimizer=torch.optim.SGD, lr=0.5)
add("raw pixels, dropout 0.5", scale=1.0, noise=1.0, dropout=0.5)
add("group norm, eight rows a batch", norm="group", batch=8, epochs=4)
add("one-hot labels and BCE", loss_fn=OneHotBCE())
add("label smoothing", loss_fn=nn.CrossEntropyLoss(label_smoothing=0.1))
add("5 % of labels wrong", label_noise=0.055)
add("features returned too", mistake="features returned too")
add("an average of the weights is used", ema=0.9)
add("first convolution frozen, RMSprop", freeze=True, optimizer=torch.optim.RMSprop, lr=2e-3)
