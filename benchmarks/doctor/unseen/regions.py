"""Which pixels of a small noisy picture are a disc, a square or nothing, by a tiny U-Net.

Per-pixel cross-entropy, SGD with momentum, a DataLoader, and the mean IoU by hand after each epoch; the
doctor's block is around the loop.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

SIDE, CLASSES = 16, 3
NOTHING, DISC, SQUARE = range(CLASSES)


def make_pictures(rows: int, generator: torch.Generator, size: float = 1.0) -> tuple[Tensor, Tensor]:
    """Pictures of a brighter disc and a darker square on grey, and the class of each pixel."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    centre = torch.randint(3, SIDE - 3, (rows, 4, 1, 1), generator=generator)
    mask = torch.zeros(rows, SIDE, SIDE, dtype=torch.long)
    away = torch.maximum((y - centre[:, 0]).abs(), (x - centre[:, 1]).abs())
    mask[away <= 2.5 * size] = SQUARE
    far = (y - centre[:, 2]) ** 2 + (x - centre[:, 3]) ** 2
    mask[far <= (3.2 * size) ** 2] = DISC
    grey = torch.tensor([0.5, 0.75, 0.25])[mask]
    return (grey + 0.15 * torch.randn(grey.shape, generator=generator))[:, None], mask


class UNet(nn.Module):
    def __init__(self, width: int, norm: Callable[[int], nn.Module], dropout: float, mistake: str) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, width, 3, padding=1)
        self.norm = norm(width)
        self.bottom = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.dropout = nn.Dropout2d(dropout)
        self.out = nn.Conv2d(2 * width, CLASSES, 3, padding=1)
        self.mistake = mistake

    def forward(self, picture: Tensor) -> Tensor:
        fine = F.relu(self.norm(self.down(picture)))
        if self.mistake == "bottom never called":
            return self.out(torch.cat([fine, fine], dim=1))
        coarse = F.relu(self.bottom(F.max_pool2d(fine, 2)))
        if self.mistake == "coarse half detached":
            coarse = coarse.detach()
        scores = self.out(self.dropout(torch.cat([fine, F.relu(self.up(coarse))], dim=1)))
        if self.mistake == "view instead of permute":  # of scores that came out batch last
            scores = scores.permute(1, 2, 3, 0).reshape(scores.shape)
        if self.mistake == "softmax first":
            return scores.softmax(dim=1)
        return scores


def mean_iou(guess: Tensor, mask: Tensor) -> float:
    shares = []
    for kind in range(CLASSES):
        both = ((guess == kind) & (mask == kind)).sum().item()
        either = ((guess == kind) | (mask == kind)).sum().item()
        shares.append(both / max(either, 1))
    return sum(shares) / CLASSES


def train(
    seed: int,
    doctor: Any,
    *,
    rows: int = 160,
    size: float = 1.0,
    batch: int = 16,
    epochs: int = 15,
    width: int = 8,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    dropout: float = 0.1,
    loss: nn.Module | None = None,
    optimizer: Any = torch.optim.SGD,
    lr: float = 0.1,
    momentum: float = 0.9,
    schedule: Callable[[Any], Any] | None = None,
    mistake: str = "",
    **options: Any,
) -> Outcome:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    pictures, masks = make_pictures(rows, generator, size)
    val_pictures, val_masks = make_pictures(64, generator, size)
    test_pictures, test_masks = make_pictures(100, generator, size)
    if mistake == "val in bytes":
        val_pictures, test_pictures = 255 * val_pictures, 255 * test_pictures
    if mistake == "masks of other pictures":
        masks = masks[torch.randperm(rows)]
    if mistake == "no square in training":
        masks = masks.where(masks != SQUARE, NOTHING)

    model = UNet(width, norm, dropout, mistake)
    if mistake == "all weights zero":
        for weight in model.parameters():
            nn.init.zeros_(weight)
    if mistake == "statistics too slow":
        model.norm.momentum = 1e-4
    if optimizer is torch.optim.SGD:
        options["momentum"] = momentum
    opt = optimizer(model.parameters(), lr=lr, **options)
    if mistake == "new last layer":  # the optimizer still holds the old one
        model.out = nn.Conv2d(2 * width, CLASSES, 1)
    scheduler = schedule(opt) if schedule else None
    loss = loss or nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(pictures, masks), batch_size=batch, shuffle=True)

    reported = 0.0
    with doctor.watching(model, opt, loss, loader):
        for _ in range(epochs):
            model.train()
            for x, y in loader:
                if mistake == "only pictures turned":  # augmentation leaves the mask as it is
                    x = torch.rot90(x, int(torch.randint(4, ())), dims=(2, 3))
                value = loss(model(x), y)
                if mistake != "never zeroed":
                    opt.zero_grad()
                value.backward()
                if mistake != "no step":
                    opt.step()
            if scheduler is not None:
                scheduler.step()
            if mistake != "no eval":
                model.eval()
            with torch.no_grad():
                scores = model(val_pictures)
                loss(scores, val_masks)
            reported = mean_iou(scores.argmax(dim=1), val_masks)

    model.eval()
    with torch.no_grad():
        return Outcome(mean_iou(model(test_pictures).argmax(dim=1), test_masks), reported)


def cosine(opt: Any) -> Any:
    return torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=15)


def groups(width: int) -> nn.Module:
    return nn.GroupNorm(2, width)


AdamW = torch.optim.AdamW

CASES, add = cases("regions", train)
add("as it should be")
add("val in bytes", "P02", mistake="val in bytes")
add("only pictures turned", "P03", mistake="only pictures turned")
add("masks of other pictures", "L02", mistake="masks of other pictures")
add("no square in training", "D04", mistake="no square in training")
add("shapes of one pixel", "D02", size=0.1)
add("view instead of permute", "A04", mistake="view instead of permute")
add("bottom never called", "A08", exact=True, mistake="bottom never called")
add("coarse half detached", "O10", exact=True, mistake="coarse half detached")
add("new last layer after the optimizer", "O06", exact=True, mistake="new last layer")
add("softmax before the loss", "S02", mistake="softmax first")
add("loss summed over pixels", "S07 O01", loss=nn.CrossEntropyLoss(reduction="sum"))
add("running statistics too slow", "E05", mistake="statistics too slow")
add("no eval before validating", "E01", exact=True, mistake="no eval")
add("gradients never zeroed", "O05", exact=True, mistake="never zeroed")
add("no step", "O12", mistake="no step")
add("lr 30", "O01", lr=30.0)
add("lr 1e-5", "O02", lr=1e-5)
add("all weights zero", "I01", mistake="all weights zero")
add("dropout 0.95", "R02", dropout=0.95)

add("AdamW", optimizer=AdamW, lr=0.01)
add("group norm, four a batch", norm=groups, batch=4, epochs=6)
add("no norm", norm=nn.Identity)
add("cosine to 0", schedule=cosine)
add("class weights", loss=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.5, 1.5])))
add("label smoothing", loss=nn.CrossEntropyLoss(label_smoothing=0.1))
add("twice as wide", width=16, epochs=10)
