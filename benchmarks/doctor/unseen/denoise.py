"""Cleaning sklearn's 8 x 8 digits of noise, which is drawn anew for each batch.

A convolutional autoencoder with BatchNorm and a bottleneck is trained by Adam on BCEWithLogitsLoss against
the clean pixels, with a DataLoader, explicit calls to the doctor and a validation after each epoch.
"""

import numpy as np
import torch
from case import Outcome, cases
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class Cleaner(nn.Module):
    """Gives logits of the pixels, unless it ends in an activation of its own."""

    def __init__(
        self,
        code: int = 32,
        act: type[nn.Module] = nn.ReLU,
        norm: bool = True,
        momentum: float = 0.1,
        dropout: float = 0.0,
        extra: int = 0,
        out: type[nn.Module] = nn.Identity,
        mixes_rows: bool = False,
    ) -> None:
        super().__init__()

        def block(layer: nn.Module, channels: int) -> list[nn.Module]:
            return [layer, nn.BatchNorm2d(channels, momentum=momentum) if norm else nn.Identity(), act()]

        deeper = [block(nn.Conv2d(16, 16, 3, padding=1), 16) for _ in range(extra)]
        self.encoder = nn.Sequential(
            *block(nn.Conv2d(1, 12, 3, padding=1), 12),
            *block(nn.Conv2d(12, 16, 3, stride=2, padding=1), 16),
            *(layer for layers in deeper for layer in layers),
        )
        self.squeeze, self.drop = nn.Linear(16 * 16, code), nn.Dropout(dropout)
        self.expand = nn.Sequential(nn.Linear(code, 16 * 16), act(), nn.Unflatten(1, (16, 4, 4)))
        self.decoder = nn.Sequential(
            *block(nn.ConvTranspose2d(16, 12, 2, stride=2), 12), nn.Conv2d(12, 1, 3, padding=1), out()
        )
        self.mixes_rows = mixes_rows

    def forward(self, x: Tensor) -> Tensor:
        maps = self.encoder(x)
        if self.mixes_rows:  # channels first, then cut into rows again
            maps = maps.permute(1, 2, 3, 0)
        code = self.drop(self.squeeze(maps.reshape(len(x), -1)))
        return self.decoder(self.expand(code))


def with_noise(clean: Tensor, strength: float) -> Tensor:
    return clean + strength * torch.randn_like(clean)


def r_squared(image: Tensor, clean: Tensor) -> float:
    return (1 - ((image - clean) ** 2).mean() / ((clean - clean.mean(dim=0)) ** 2).mean()).item()


def train(
    seed,
    doctor,
    *,
    network=None,
    optim="adam",
    lr=3e-3,
    schedule="constant",
    clip=None,
    accumulate=1,
    epochs=20,
    batch_size=40,
    rows=480,
    val_rows=200,
    highest=16.0,
    loss=nn.BCEWithLogitsLoss,
    reduction="mean",
    to_image=torch.sigmoid,
    init_scale=None,
    init_bias=None,
    frozen=False,
    mistake="",
) -> Outcome:
    torch.manual_seed(seed)
    network = network or {}
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.images))
    images = torch.tensor(digits.images[order], dtype=torch.float32).unsqueeze(1) / highest
    strength = 5.0 / highest
    train_images, test_images = images[:rows], images[-500:]
    val_images = images[-500 - val_rows : -500]
    if mistake == "file sorted by digit":  # its first rows are all zeros, ones and twos
        labels = torch.tensor(digits.target[order])
        train_images = images[:1000][labels[:1000].argsort(stable=True)][: rows // 2]
    if mistake == "each pixel divided by its spread":  # a corner is always 0
        train_images = train_images / train_images.std(dim=0) * train_images.std()
    new_unit = highest if mistake == "new images not divided" else 1.0
    loader = DataLoader(TensorDataset(train_images), batch_size, shuffle=True)

    model = Cleaner(**network)
    for weight in model.parameters():
        if init_scale is not None and weight.dim() > 1:
            nn.init.normal_(weight, std=init_scale)
        if init_bias is not None and weight.dim() == 1:
            nn.init.constant_(weight, init_bias)
    if frozen:
        model.encoder[0].requires_grad_(False)
    if optim == "adam":
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    elif optim == "rmsprop":
        optimizer = torch.optim.RMSprop(model.parameters(), lr=lr)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    scheduler = None
    if schedule == "one-cycle":
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * len(loader))
    if mistake == "decoder rebuilt after the optimizer":
        model.decoder = Cleaner(**network).decoder
    loss_fn = loss(reduction=reduction)
    doctor.on_start(model, optimizer, loss_fn, loader)

    val_r2 = 0.0
    for epoch in range(epochs):
        if mistake != "eval from the first validation on" or epoch == 0:
            model.train()
        total = 0.0
        for number, (clean,) in enumerate(loader):
            noisy = with_noise(clean, strength)
            if mistake == "noise left out of the input":
                noisy = clean
            if mistake == "only the input is flipped":
                noisy = torch.where(torch.rand(len(clean), 1, 1, 1) < 0.5, noisy.flip(3), noisy)
            target = clean
            if mistake == "channel squeezed from the target":  # (B, 8, 8) against (B, 1, 8, 8)
                target = clean.squeeze(1)
            if mistake == "pixels as classes":
                target = clean.flatten(1)
            output = model(noisy)
            value = loss_fn(output.flatten(1) if mistake == "pixels as classes" else output, target)
            (value / accumulate).backward()
            total += value.item()
            if (number + 1) % accumulate == 0:
                if clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                optimizer.zero_grad()
            doctor.on_step(value, (noisy, target))
            if scheduler is not None:
                scheduler.step()

        if mistake != "eval forgotten":
            model.eval()
        with torch.set_grad_enabled(mistake == "no_grad forgotten"):
            output = model(with_noise(val_images, strength) * new_unit)
            val_loss = nn.functional.mse_loss(to_image(output), val_images).item()
            val_r2 = r_squared(to_image(output), val_images)
        doctor.on_epoch({"loss": total / len(loader)}, {"mse": val_loss, "r2": val_r2})

    final = Cleaner(**network)
    final.load_state_dict(model.state_dict())
    with torch.no_grad():
        output = final.eval()(with_noise(test_images, strength) * new_unit)
    return Outcome(max(0.0, r_squared(to_image(output), test_images)), val_r2)


def same(output: Tensor) -> Tensor:
    return output


SIGMOID = {"loss": nn.MSELoss, "to_image": same}  # with a network that ends in a sigmoid

CASES, add = cases("denoise", train)
add("as it should be")

add("learning rate 2", "O01", lr=2.0)
add("decoder rebuilt after the optimizer", "O06", exact=True, mistake="decoder rebuilt after the optimizer")
add("ten sigmoid layers deep", "O07", network={"act": nn.Sigmoid, "norm": False, "extra": 8})
add("sigmoid before BCEWithLogits", "S01", network={"out": nn.Sigmoid})
add("sigmoid for pixels of 0 to 16", "S04", network={"out": nn.Sigmoid}, highest=1.0, **SIGMOID)
add(
    "channel squeezed from the target",
    "S05",
    network={"out": nn.Sigmoid},
    mistake="channel squeezed from the target",
    **SIGMOID,
)
add("pixels as classes", "S06", loss=nn.CrossEntropyLoss, mistake="pixels as classes")
add("summed loss, SGD at 0.5", "S07 O01", reduction="sum", optim="sgd", lr=0.5)
add("noise left out of the input", "L03", mistake="noise left out of the input")
add("only the input is flipped", "P03 L01", mistake="only the input is flipped")
add("new images not divided", "P02", mistake="new images not divided")
add("each pixel divided by its spread", "D01", mistake="each pixel divided by its spread")
add("file sorted by digit", "D04", mistake="file sorted by digit")
add("saturated tanh", "A01 I03", network={"act": nn.Tanh, "norm": False}, init_scale=2.0)
add("biases of -2", "A02", network={"norm": False}, init_bias=-2.0)
add("rows mixed on flattening", "A04", network={"mixes_rows": True})
add("code of one number", "A07", network={"code": 1})
add("weights zero", "I01", network={"norm": False}, init_scale=0.0)
add("weights of 0.0003", "I02", network={"norm": False}, init_scale=3e-4)
add("code dropped at 0.95", "R02", network={"dropout": 0.95})
add("batches of 2", "R04", exact=True, batch_size=2, epochs=3)
add("eval forgotten", "E01", exact=True, mistake="eval forgotten")
add("eval from the first validation on", "E02", exact=True, mistake="eval from the first validation on")
add("no_grad forgotten", "E03", exact=True, mistake="no_grad forgotten")
add("BatchNorm momentum 0.0003", "E05", network={"momentum": 3e-4})

add("sigmoid and MSE", network={"out": nn.Sigmoid}, **SIGMOID)
add("linear output and MSE", **SIGMOID)
add("SGD at 0.5", optim="sgd", lr=0.5)
add("RMSprop, ELU", optim="rmsprop", network={"act": nn.ELU}, lr=2e-3)
add("tanh", network={"act": nn.Tanh})
add("one-cycle up to 0.02", schedule="one-cycle", lr=0.02)
add("first layer frozen", frozen=True)
add("batches of 12, clipped at 1", batch_size=12, epochs=6, clip=1.0)
add("two batches a step", accumulate=2, batch_size=25)
add("20 validation rows", val_rows=20)
