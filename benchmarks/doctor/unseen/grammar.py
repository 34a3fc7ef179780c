"""A tiny GPT of two causal blocks learns the characters of sentences from a small made-up grammar.

Batches are random windows of one long text, cut by hand; AdamW with warm-up and cosine, next-character cross
entropy, and a validation every 30 steps: there are steps only, no epochs. The doctor watches through `with`.
"""

import copy
import math
import random

import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import Tensor, nn

ALPHABET = " .abcdefghijklmnopqrstuvwxyz"
BLOCK = 20  # characters in a window
NOUNS = ["cat", "dog", "bird", "farmer", "teacher", "river"]
ADJECTIVES = ["small", "old", "quiet", "brave"]
VERBS = ["see", "hear", "follow", "paint", "want"]


def sentence(rng: random.Random) -> str:
    def phrase(plural: bool) -> str:
        article = rng.choice(["the", "some"]) if plural else rng.choice(["the", "a"])
        adjective = [rng.choice(ADJECTIVES)] if rng.random() < 0.4 else []
        return " ".join([article, *adjective, rng.choice(NOUNS) + "s" * plural])

    plural = rng.random() < 0.5
    verb = rng.choice(VERBS) + ("" if plural else "s")
    return f"{phrase(plural)} {verb} {phrase(rng.random() < 0.5)}. "


def encode(sentences: list[str]) -> Tensor:
    return torch.tensor([ALPHABET.index(letter) for letter in "".join(sentences)])


class Block(nn.Module):
    def __init__(self, width: int, dropout: float, activation: nn.Module, bias: bool, batch_first: bool):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width, bias=bias), activation, nn.Linear(4 * width, width, bias=bias)
        )
        self.drop = nn.Dropout(dropout)
        self.batch_first = batch_first

    def attend(self, x: Tensor, causal: bool) -> Tensor:
        x = x if self.batch_first else x.transpose(0, 1)
        q, k, v = (part.unflatten(-1, (4, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        x = self.out(F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).flatten(2))
        return x if self.batch_first else x.transpose(0, 1)

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        x = x + self.drop(self.attend(self.norm1(x), causal))
        return x + self.drop(self.mlp(self.norm2(x)))


class GPT(nn.Module):
    def __init__(self, width, dropout, activation, bias, causal, batch_first, mistake, variant):
        super().__init__()
        self.tokens = nn.Embedding(len(ALPHABET), width)
        self.places = nn.Embedding(BLOCK, width)
        blocks = [Block(width, dropout, activation, bias, batch_first) for _ in range(2)]
        self.blocks = blocks if mistake == "blocks in a list" else nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(ALPHABET), bias=False)
        self.causal, self.mistake, self.variant = causal, mistake, variant

    def forward(self, ids: Tensor) -> Tensor | dict[str, Tensor]:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        for block in self.blocks:
            if self.mistake == "second block not called" and block is self.blocks[1]:
                continue
            x = block(x, self.causal)
        if self.mistake == "features detached":
            x = x.detach()
        logits = self.head(self.norm(x))
        if self.mistake == "softmax in the model":
            logits = logits.softmax(-1)
        return {"logits": logits} if self.variant == "dict" else logits


def logits_of(model: nn.Module, ids: Tensor) -> Tensor:
    out = model(ids)
    return out["logits"] if isinstance(out, dict) else out


@torch.no_grad()
def honest(model: nn.Module, text: Tensor) -> float:
    """One over the perplexity of the character after a window, so that nobody can look ahead."""
    model.eval()
    windows = text.unfold(0, BLOCK + 1, 11)
    loss = F.cross_entropy(logits_of(model, windows[:, :-1])[:, -1], windows[:, -1])
    return math.exp(-loss.item())


def train(
    seed,
    doctor,
    *,
    lr=8e-3,
    steps=240,
    batch=16,
    width=32,
    dropout=0.05,
    decay=0.01,
    eps=1e-8,
    optim="adamw",
    warmup=30,
    cosine=None,  # steps until the rate is zero; None: all of them
    clip=1.0,
    smoothing=0.0,
    accumulate=1,
    sentences=1500,
    typos=0.0,  # share of the targets that are another letter
    init=None,  # standard deviation of all matrices
    activation=None,
    bias=True,
    causal=True,
    batch_first=True,
    mistake="",
    variant="",
) -> Outcome:
    torch.manual_seed(seed)
    rng = random.Random(seed)
    corpus = [sentence(rng) for _ in range(sentences + 300)]
    test_text = encode([sentence(rng) for _ in range(400)])
    train_text, val_text = encode(corpus[:sentences]), encode(corpus[sentences:])

    def windows(text: Tensor) -> tuple[Tensor, Tensor]:
        starts = torch.randint(1, len(text) - BLOCK - 1, (batch, 1))
        places = torch.arange(BLOCK)
        x = text[starts + places]
        shift = {"targets not shifted": 0, "targets shifted backwards": -1}.get(mistake, 1)
        if mistake == "targets from other windows":
            starts = starts.flip(0)
        y = text[starts + places + shift]
        wrong = torch.rand(y.shape) < typos
        return x, torch.where(wrong, torch.randint(len(ALPHABET), y.shape), y)

    model = GPT(width, dropout, activation or nn.GELU(), bias, causal, batch_first, mistake, variant)
    if init is not None:
        for weight in model.parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, std=init)
    if variant == "frozen embeddings":
        model.tokens.requires_grad_(False)

    weights = [w for w in model.parameters() if w.requires_grad]
    if mistake == "optimizer has the head only":
        weights = list(model.head.parameters())
    if mistake == "blocks made anew after the optimizer":
        model.blocks = copy.deepcopy(model.blocks)
    if optim == "sgd":
        optimizer = torch.optim.SGD(weights, lr=lr, momentum=0.9)
    else:
        optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=decay, eps=eps)

    def rate(step: int) -> float:
        if step < warmup:
            return step / warmup
        done = min(1.0, (step - warmup) / max(1, (cosine or steps) - warmup))
        return 0.5 * (1 + math.cos(math.pi * done))

    if variant == "one cycle":
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=lr, total_steps=steps)
    else:
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    average = copy.deepcopy(model)
    judged = average if variant == "moving average" else model

    def loss_of(network: nn.Module, x: Tensor, y: Tensor, smooth: float = 0.0) -> Tensor:
        logits = logits_of(network, x)
        if mistake == "log_softmax over time":
            return F.nll_loss(logits.log_softmax(dim=1).flatten(0, 1), y.flatten())
        return F.cross_entropy(logits.flatten(0, 1), y.flatten(), label_smoothing=smooth)

    def validate() -> float:
        if mistake != "no eval()":
            judged.eval()
        with torch.set_grad_enabled(mistake == "graph kept in validation"):
            losses = [loss_of(judged, *windows(val_text)) for _ in range(4)]
        if mistake != "no train() after validation":
            model.train()
        return torch.stack(losses).mean().item()

    history = []  # (step, validation loss, perplexity)
    with doctor.watching(model, optimizer):
        for step in range(steps):
            for part in range(accumulate):
                loss = loss_of(model, *windows(train_text), smoothing) / accumulate
                if mistake == "loss clamped":
                    loss = loss.clamp(max=2.0)
                if mistake != "zero_grad forgotten" and part == 0:
                    optimizer.zero_grad()
                loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            if mistake != "step forgotten":
                optimizer.step()
            scheduler.step()
            if judged is average:
                with torch.no_grad():
                    for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
                        slow.lerp_(fast, 0.05)
            if (step + 1) % 30 == 0:
                val_loss = validate()
                history.append((step + 1, val_loss, math.exp(min(val_loss, 20.0))))

    return Outcome(honest(judged, test_text), 1 / history[-1][2])


CASES, add = cases("grammar", train)
add("as it should be")
add("no causal mask", "A05", causal=False)
add("attention over the batch axis", "A04", batch_first=False)
add("targets not shifted", "L03", mistake="targets not shifted")
add("targets shifted backwards", "L03", mistake="targets shifted backwards")
add("targets from other windows", "L02 L01", mistake="targets from other windows")
add("half of the targets are typos", "L04", typos=0.5)
add("six sentences to learn from", "R01 D04", sentences=6, dropout=0.0)
add("rate 1e-6", "O02", lr=1e-6)
add("rate 3e-5", "O02", lr=3e-5)
add("rate 0.3", "O01", lr=0.3)
add("rate 3", "O01", lr=3.0)
add("cosine that ends at step 36", "O04", cosine=36)
add("warm-up longer than the run", "O04 O02", warmup=20_000)
add("eps of 1", "O03 O02", eps=1.0)
add("SGD clipped at 0.0005", "O11", optim="sgd", lr=0.3, clip=5e-4)
add("zero_grad forgotten", "O05", exact=True, mistake="zero_grad forgotten")
add("step forgotten", "O12", mistake="step forgotten")
add("blocks in a plain list", "O06", exact=True, mistake="blocks in a list")
add("blocks made anew after the optimizer", "O06", exact=True, mistake="blocks made anew after the optimizer")
add("features detached before the head", "O10", exact=True, mistake="features detached")
add("softmax before cross entropy", "S02", mistake="softmax in the model")
add("log_softmax over time", "S03", mistake="log_softmax over time")
add("loss clamped at 2", "S07", mistake="loss clamped")
add("second block never called", "A08", exact=True, mistake="second block not called")
add("four channels wide", "A07", width=4)
add("matrices of std 4", "I03", init=4.0)
add("dropout of 0.8", "R02", dropout=0.8)
add("weight decay of 60", "R02", decay=60.0)
add("validation in train mode", "E01", exact=True, dropout=0.2, mistake="no eval()")
add("never back to train mode", "E02", exact=True, dropout=0.2, mistake="no train() after validation")
add("graph kept in validation", "E03", exact=True, mistake="graph kept in validation")
add("rate 0.02", lr=0.02)
add("SGD of 0.3 with momentum", optim="sgd", lr=0.3)
add("one cycle", variant="one cycle", lr=0.012)
add("two windows accumulated, batch of 12", accumulate=2, batch=10)
add("clipped at 0.1", clip=0.1)
add("label smoothing", smoothing=0.03)
add("tanh in the blocks, no bias", activation=nn.Tanh(), bias=False)
add("frozen random embeddings", variant="frozen embeddings")
add("dict out, batch of 32", variant="dict", batch=32)
add("moving average judged", variant="moving average")
add("5 % typos in the targets", typos=0.05)
