"""A causal transformer of letters for lines of a little grammar; the score is its share of the best possible.

Hand-written attention, a plain loss function, AdamW under one-cycle, validation each epoch.
"""

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

# A line is articles, nouns and verbs in turn; nouns go by their article, so that one must look back for it.
NOUNS = {
    "a": ("cat", "cow", "crab", "hen", "dog"),
    "the": ("moon", "mole", "sun", "sea"),
    "my": ("bike", "boat", "bag", "bell"),
}
VERBS = ("saw", "sang to", "met", "meets", "fed", "is")
LETTERS = ".abcdefghijklmnopqrstuvwxyz "
LENGTH = 24


def lines(n: int, rng: np.random.Generator, articles: tuple[str, ...] = tuple(NOUNS)) -> tuple[Tensor, float]:
    """Lines (n, LENGTH + 1) that begin with a dot, and the accuracy of one who knows the grammar."""
    texts, right = [], 0
    for _ in range(n):
        text, article, turn = ".", "a", 0
        while len(text) <= LENGTH:
            known = [word + " " for word in (articles, NOUNS[article], VERBS)[turn % 3]]
            word = known[rng.integers(len(known))]
            article = word.strip() if turn % 3 == 0 else article
            for i, letter in enumerate(word[: LENGTH + 1 - len(text)]):
                options = [other[i] for other in known if other.startswith(word[:i])]
                best = max(options.count(option) for option in options)
                right += options.count(letter) == best and letter == max(options, key=options.count)
            text, turn = text + word, turn + 1
        texts.append([LETTERS.index(letter) for letter in text[: LENGTH + 1]])
    return torch.tensor(texts), right / (n * LENGTH)


class Block(nn.Module):
    """Attention over earlier letters and a feed-forward layer, each after a norm and around a residual."""

    def __init__(self, width: int, drop: float, bias: bool, causal: bool):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)
        self.feed = nn.Sequential(nn.Linear(width, 64, bias=bias), nn.GELU(), nn.Linear(64, width))
        self.drop = nn.Dropout(drop)
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(self.norms[0](x)).chunk(3, 2)
        q, k, v = (part.unflatten(2, (2, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.drop(self.out(mixed.transpose(1, 2).flatten(2)))
        return x + self.drop(self.feed(self.norms[1](x)))


class Net(nn.Module):
    """Letters and places embedded, two blocks, a head."""

    def __init__(self, width=32, drop=0.0, bias=True, tied=False, mistake=""):
        super().__init__()
        self.letters = nn.Embedding(len(LETTERS), width)
        self.places = nn.Parameter(0.1 * torch.randn(LENGTH, width))
        causal = mistake != "mask forgotten"
        self.blocks = nn.ModuleList([Block(width, drop, bias, causal) for _ in range(2)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(LETTERS))
        if tied:
            nn.init.normal_(self.letters.weight, 0.0, 0.1)
            self.head.weight = self.letters.weight
        self.mistake = mistake

    def forward(self, x: Tensor) -> Tensor:
        x = self.letters(x) + self.places[: x.shape[1]]
        for block in self.blocks[: 1 if self.mistake == "second block never called" else 2]:
            x = block(x)
        x = x.detach() if self.mistake == "blocks detached" else x
        return self.head(self.norm(x))


def next_letter(out: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    return F.cross_entropy(out.flatten(0, 1), targets.flatten(), label_smoothing=smoothing)


def smooth(out: Tensor, targets: Tensor) -> Tensor:
    return next_letter(out, targets, 0.1)


def after_softmax(out: Tensor, targets: Tensor) -> Tensor:
    """The mistake: cross entropy takes the softmax itself."""
    return next_letter(out.softmax(2), targets)


def over_places(out: Tensor, targets: Tensor) -> Tensor:
    """The mistake: axis 1 is that of the places, not of the letters."""
    return F.nll_loss(out.log_softmax(1).flatten(0, 1), targets.flatten())


def gain(model: nn.Module, texts: Tensor, best: float) -> float:
    """Share of the best accuracy when letters are guessed one at a time, from those before alone."""
    right = sum(
        (model(texts[:, :end])[:, -1].argmax(1) == texts[:, end]).float().mean().item()
        for end in range(1, LENGTH + 1)
    )
    return min(1.0, right / LENGTH / best)


def train(
    seed,
    doctor,
    *,
    rows=960,
    epochs=6,
    batch=32,
    lr=0.01,
    decay=0.01,
    eps=1e-8,
    optimizer=torch.optim.AdamW,
    accumulate=1,
    loss=next_letter,
    init=0.0,
    typos=0.0,
    net=None,
    mistake="",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    texts, _ = lines(rows, rng, ("a",) if mistake == "a book about animals alone" else tuple(NOUNS))
    val, best = lines(100, rng)
    fresh, fresh_best = lines(150, rng)
    if typos:
        wrong = torch.from_numpy(rng.random(texts.shape) < typos)
        texts[wrong] = torch.from_numpy(rng.integers(0, len(LETTERS), int(wrong.sum())))

    x, y, val_x, val_y = texts[:, :-1], texts[:, 1:], val[:, :-1], val[:, 1:]
    if mistake == "targets not shifted":
        y, val_y = x, val_x
    elif mistake == "targets of other lines":
        y = y[torch.from_numpy(rng.permutation(rows))]
    loader = DataLoader(TensorDataset(x, y), batch, shuffle=True)

    model = Net(**(net or {}), mistake=mistake)
    for weight in model.parameters():
        if mistake == "one constant for all weights":
            nn.init.constant_(weight, 0.02)
        elif init and weight.dim() == 2:
            nn.init.normal_(weight, 0.0, init)
    trained = list(model.parameters())
    if mistake == "only the blocks in the optimizer":
        trained = list(model.blocks.parameters())
    opt = optimizer(trained, lr=lr, weight_decay=decay, eps=eps)
    updates = epochs * -(-len(loader) // accumulate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, lr, total_steps=updates + 1, cycle_momentum=False)

    history = []
    with doctor.watching(model, opt, loss, loader):
        for epoch in range(epochs):
            if mistake != "train() forgotten after validation" or epoch == 0:
                model.train()
            for i, (bx, by) in enumerate(loader):
                (loss(model(bx), by) / accumulate).backward()
                if (i + 1) % accumulate == 0:
                    opt.step()
                    if mistake != "gradients never zeroed":
                        opt.zero_grad()
                    if mistake != "one-cycle stepped each epoch":
                        schedule.step()
            if mistake == "one-cycle stepped each epoch":
                schedule.step()

            if mistake != "eval() forgotten":
                model.eval()
            with torch.no_grad():
                out = model(val_x)
                history.append(loss(out, val_y).item())
                reported = min(1.0, (out.argmax(2) == val_y).float().mean().item() / best)

    model.eval()
    with torch.no_grad():
        return Outcome(gain(model, fresh, fresh_best), reported)


CASES, add = cases("letters", train)
add("as it should be")
add("a book about animals alone", "D04", mistake="a book about animals alone")
add("targets of other lines", "L02", mistake="targets of other lines")
add("targets not shifted", "L03", mistake="targets not shifted")
add("60 % typos", "L04", typos=0.6)
add("mask forgotten", "A05", mistake="mask forgotten")
add("second block never called", "A08", exact=True, mistake="second block never called")
add("one constant for all weights", "I01", mistake="one constant for all weights")
add("weights of std 2", "I03", init=2.0)
add("softmax before the loss", "S02", exact=True, loss=after_softmax)
add("log-softmax over the places", "S03", exact=True, loss=over_places)
add("lr 0.5", "O01", lr=0.5)
add("lr 1e-5", "O02", lr=1e-5)
add("eps 1", "O03", eps=1.0)
add("one-cycle stepped each epoch", "O04 O02", mistake="one-cycle stepped each epoch")
add("gradients never zeroed", "O05", exact=True, mistake="gradients never zeroed")
add("only the blocks in the optimizer", "O06", exact=True, mistake="only the blocks in the optimizer")
add("blocks detached", "O10", exact=True, mistake="blocks detached")
add("accumulation longer than the epoch", "O12", accumulate=64)
add("sixteen lines", "R01", rows=16, epochs=30, batch=2)
add("weight decay 30", "R02", decay=30.0)
add("eval() forgotten", "E01", exact=True, net={"drop": 0.3}, mistake="eval() forgotten")
add("train() forgotten after validation", "E02", exact=True, net={"drop": 0.3},
    mistake="train() forgotten after validation")  # fmt: skip

add("head tied to the embedding", net={"tied": True})
add("lr 0.03", lr=0.03)
add("smoothing 0.1", loss=smooth)
add("no biases, width 48", net={"bias": False, "width": 48})
add("accumulation over 2 batches of 16", batch=16, accumulate=2)
add("dropout 0.2", net={"drop": 0.2})
add("RMSprop, lr 0.003", optimizer=torch.optim.RMSprop, lr=0.003, decay=0.0)
add("batches of 150", batch=150, epochs=20, lr=0.02)
add("3 % typos", typos=0.03)
