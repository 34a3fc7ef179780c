"""Short padded requests are sorted into five intents: the verb decides, unless "not" stands before it.

An embedding, a bidirectional LSTM and attention pooling; AdamW with warm-up, explicit calls to the doctor.
"""

import copy

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

PAD, NOT, VERBS, FILLERS, VOCABULARY = 0, 1, 2, 17, 60  # intent i owns three verbs, from VERBS + 3 i
INTENTS, LENGTH, VALIDATION = 5, 14, 300


def write_request(rng: np.random.Generator, intent: int) -> list[int]:
    """Fillers, a verb of the intent, and two verbs of other intents, each behind a "not"."""
    words = rng.integers(FILLERS, VOCABULARY, rng.integers(3, 9)).tolist()
    words.insert(rng.integers(len(words) + 1), VERBS + 3 * intent + rng.integers(3))
    other = (intent + rng.integers(1, INTENTS)) % INTENTS
    at = rng.choice([0, len(words)])
    words[at:at] = [NOT, VERBS + 3 * other + rng.integers(3)]
    return words + [PAD] * (LENGTH - len(words))


def collect(rng: np.random.Generator, rows: int, shares: list[float] | None = None) -> tuple[Tensor, Tensor]:
    intents = rng.choice(INTENTS, rows, p=shares)
    return torch.tensor([write_request(rng, i) for i in intents]), torch.from_numpy(intents)


class Reader(nn.Module):
    def __init__(self, hidden: int, dropout: float, pooling: str, mistake: str) -> None:
        super().__init__()
        self.pooling, self.mistake = pooling, mistake
        self.embed = nn.Embedding(VOCABULARY, 24, padding_idx=PAD)
        self.encoder = nn.LSTM(24, hidden, batch_first=mistake != "rows taken for time", bidirectional=True)
        if pooling != "max":
            self.attention = nn.Linear(2 * hidden, 1)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(2 * hidden, 6 if mistake == "counted from one" else INTENTS)

    def forward(self, tokens: Tensor) -> Tensor:
        padding = (tokens == PAD).unsqueeze(-1)
        states = self.encoder(self.drop(self.embed(tokens)))[0]
        if self.mistake == "encoder detached":
            states = states.detach()
        if self.pooling == "attention":
            weights = self.attention(states).masked_fill(padding, -1e9).softmax(dim=1)
            pooled = (weights * states).sum(dim=1)
        elif self.pooling == "max":
            pooled = states.masked_fill(padding, -1e9).amax(dim=1)
        else:
            pooled = states.masked_fill(padding, 0).mean(dim=1)
        scores = self.head(self.drop(pooled))
        return scores.softmax(dim=-1) if self.mistake == "softmax in the model" else scores


class Bag(nn.Module):
    """Attention pooling straight over the embeddings: the order of the words is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 48, padding_idx=PAD)
        self.attention = nn.Linear(48, 1)
        self.head = nn.Sequential(nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, INTENTS))

    def forward(self, tokens: Tensor) -> Tensor:
        words = self.embed(tokens)
        weights = self.attention(words).masked_fill((tokens == PAD).unsqueeze(-1), -1e9).softmax(dim=1)
        return self.head((weights * words).sum(dim=1))


def shuffle_words(tokens: Tensor) -> Tensor:
    order = torch.rand(tokens.shape).masked_fill(tokens == PAD, 2.0).argsort(dim=1)
    return tokens.gather(1, order)


def accuracy(model: nn.Module, tokens: Tensor, intents: Tensor) -> float:
    return (model(tokens).argmax(dim=1) == intents).float().mean().item()


def train(
    seed: int,
    doctor,
    *,
    rows: int = 1500,
    copies: int = 1,
    shares: list[float] | None = None,
    label_noise: float = 0.0,
    batch: int = 50,
    epochs: int = 10,
    lr: float = 5e-3,
    warmup: int = 40,
    gamma: float = 1.0,
    hidden: int = 24,
    dropout: float = 0.1,
    pooling: str = "attention",
    freeze_embedding: bool = False,
    smoothing: float = 0.0,
    clip: float | None = None,
    accumulate: int = 1,
    ema: float = 0.0,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)

    tokens, intents = collect(rng, (rows + VALIDATION) // copies, shares)
    test_tokens, test_intents = collect(rng, 1000)
    if copies > 1:
        tokens, intents = tokens.repeat(copies, 1), intents.repeat(copies)
        order = torch.from_numpy(rng.permutation(len(tokens)))
        tokens, intents = tokens[order], intents[order]
    if mistake == "routing tag":  # written by whoever labelled the request: it is not there in use
        tokens[:, -1] = FILLERS + intents
    if mistake == "counted from one":
        intents = intents + 1
    if mistake == "labels shuffled":
        intents = intents[torch.randperm(len(intents))]
    noisy = torch.rand(len(intents)) < label_noise
    intents = torch.where(noisy, torch.randint(INTENTS, intents.shape), intents)
    val_tokens, val_intents = tokens[:VALIDATION], intents[:VALIDATION]
    tokens, intents = tokens[VALIDATION:], intents[VALIDATION:]
    if mistake == "newest intent missing":
        tokens, intents = tokens[intents < 4], intents[intents < 4]
    if mistake == "another vocabulary":  # the training words were numbered in the order of another set
        tokens = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(VOCABULARY - 1)])[tokens]
    dataset = TensorDataset(tokens, intents)
    loader = DataLoader(dataset, batch, shuffle=True, generator=torch.Generator().manual_seed(seed))

    model = Bag() if pooling == "bag" else Reader(hidden, dropout, pooling, mistake)
    if mistake == "all weights zero":
        for weight in model.parameters():
            nn.init.zeros_(weight)
    if freeze_embedding:
        model.embed.requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    if mistake == "head replaced":
        model.head = nn.Sequential(nn.Linear(2 * hidden, 32), nn.Tanh(), nn.Linear(32, INTENTS))
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / warmup) * gamma**step
    )
    loss_fn = nn.CrossEntropyLoss(label_smoothing=smoothing)
    average = copy.deepcopy(model)

    doctor.on_start(model, optimizer, loss_fn, loader)
    val_accuracy = 0.0
    for epoch in range(epochs):
        if mistake == "tokens reshuffled alone" and epoch >= 2:
            dataset.tensors = (tokens[torch.randperm(len(tokens))], intents)
        if mistake != "never back in train mode" or epoch == 0:
            model.train()
        total = 0.0
        for step, (words, labels) in enumerate(loader, start=1):
            if mistake == "words shuffled":  # an augmentation that moves each "not"
                words = shuffle_words(words)
            loss = loss_fn(model(words), labels)
            (loss / accumulate).backward()
            total += loss.item()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            if step % accumulate == 0:
                optimizer.step()
                if mistake != "gradients kept":
                    optimizer.zero_grad()
                if mistake != "warm-up counted in epochs":
                    scheduler.step()
                if ema:
                    for kept, now in zip(average.parameters(), model.parameters(), strict=True):
                        kept.data.lerp_(now.data, 1 - ema)
            doctor.on_step(loss, (words, labels))
        if mistake == "warm-up counted in epochs":
            scheduler.step()

        if mistake != "validated in train mode":
            model.eval()
        with torch.no_grad():
            val_loss = loss_fn(model(val_tokens), val_intents).item()
            val_accuracy = accuracy(model, val_tokens, val_intents)
        doctor.on_epoch({"loss": total / len(loader)}, {"loss": val_loss, "acc": val_accuracy})

    final = average if ema else model
    final.eval()
    with torch.no_grad():
        return Outcome(accuracy(final, test_tokens, test_intents), val_accuracy)


CASES, add = cases("intents", train)
add("as it should be")

add("nearly all requests of one intent", "D02", shares=[0.98, 0.005, 0.005, 0.005, 0.005], epochs=5)
add("newest intent not in the training rows", "D04", mistake="newest intent missing")
add("copied twenty times, then split", "D06", copies=20)
add("tag of the labeller in the request", "D07", mistake="routing tag")
add("requests reshuffled without their labels", "L01", mistake="tokens reshuffled alone")
add("labels joined in another order", "L02", mistake="labels shuffled")
add("intents counted from one", "L05", exact=True, mistake="counted from one")
add("training words numbered otherwise", "P02", mistake="another vocabulary")
add("words shuffled as an augmentation", "P03", mistake="words shuffled")
add("batch_first forgotten", "A04", exact=True, mistake="rows taken for time")
add("pooling with no order", "A06", pooling="bag")
add("attention layer never called", "A08", exact=True, pooling="mean")
add("every weight zero", "I01", mistake="all weights zero")
add("softmax before the loss", "S02", exact=True, mistake="softmax in the model")
add("lr 0.3", "O01", lr=0.3)
add("lr 2", "O01", lr=2.0)
add("lr 1e-5", "O02", lr=1e-5)
add("warm-up counted in epochs", "O04 O02", warmup=2000, mistake="warm-up counted in epochs")
add("decay of an epoch at each batch", "O04", gamma=0.8, warmup=1)
add("zero_grad never called", "O05", exact=True, mistake="gradients kept")
add("optimizer built before the head", "O06", exact=True, mistake="head replaced")
add("encoder detached", "O10", exact=True, mistake="encoder detached")
add("a hundred rows learnt by heart", "R01", rows=100, batch=10, epochs=30)
add("validated in train mode", "E01", exact=True, dropout=0.3, mistake="validated in train mode")
add("train mode once, before the first epoch", "E02", exact=True, mistake="never back in train mode")

add("lr 0.02", lr=0.02)
add("warm-up over half of the run", warmup=150)
add("label smoothing 0.1 and dropout 0.4", smoothing=0.1, dropout=0.4, epochs=14)
add("two batches of 25 a step", batch=25, accumulate=2)
add("clipped at 0.5", clip=0.5)
add("random embedding, frozen", freeze_embedding=True)
add("unbalanced, and the largest state pooled", shares=[0.4, 0.3, 0.1, 0.1, 0.1], pooling="max")
add("five per cent of labels wrong", label_noise=0.06)
add("averaged copy is used", ema=0.97)
