"""Was the guest content? In these reviews "not" turns an opinion and "but" takes back what went before.

Embedding, LSTM and one logit; BCEWithLogitsLoss, Adam, clipping at 1, accuracy by hand, calls by hand.
"""

import copy

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

PAD, NOT, BUT, STARS = 0, 1, 2, 3  # STARS and the number after it: the stars that a guest left with the text
GOOD, BAD, FILLER = range(5, 15), range(15, 25), range(25, 60)
WORDS, LENGTH = 60, 18
BCE = nn.BCEWithLogitsLoss()


def review(rng: np.random.Generator, negations: bool) -> tuple[list[int], int]:
    """The words of a review, and 1 if it is content."""
    words, mood = [], 0
    for part in range(rng.integers(2, 5)):
        if part and rng.random() < 0.4:
            words, mood = [*words, BUT], 0
        opinion = 1 if rng.random() < 0.5 else -1
        negated = negations and rng.random() < 0.4
        said = GOOD if (opinion > 0) != negated else BAD
        words += [NOT] * negated + [int(rng.choice(said))]
        words += rng.choice(FILLER, rng.integers(0, 3)).tolist()
        mood += opinion
    return (words, int(mood > 0)) if mood else review(rng, negations)


def reviews(
    n: int, rng: np.random.Generator, content: float = 0.5, negations: bool = True, length: int = LENGTH
) -> tuple[Tensor, Tensor]:
    """Tokens (n, length) padded in front, and the answers (n, 1), ones with chance `content`."""
    wanted = rng.random(n) < content
    tokens = torch.zeros(n, length, dtype=torch.long)
    for row, answer in zip(tokens, wanted, strict=True):
        words, mood = review(rng, negations)
        while mood != answer:
            words, mood = review(rng, negations)
        row[-len(words) :] = torch.tensor(words)
    return tokens, torch.tensor(wanted[:, None], dtype=torch.float32)


class Net(nn.Module):
    """Embedding, a recurrent layer and a head that reads its last output."""

    def __init__(self, cell=nn.LSTM, width=32, drop=0.0, returns=None, mistake=""):
        super().__init__()
        self.embed = nn.Embedding(WORDS, 24, padding_idx=PAD)
        if mistake != "mean of the words":
            self.cell = cell(24, width, batch_first=mistake != "batch_first forgotten")
        self.drop = nn.Dropout(drop)
        self.head = nn.Linear(24 if mistake == "mean of the words" else width, 1)
        self.returns, self.mistake = returns, mistake

    def forward(self, tokens: Tensor) -> Tensor | dict[str, Tensor]:
        x = self.embed(tokens)
        if self.mistake == "mean of the words":
            last = x.sum(1) / (tokens != PAD).sum(1, keepdim=True)
        else:
            last = self.cell(x)[0][:, -1]
        if self.mistake == "state detached":
            last = last.detach()
        logit = self.head(self.drop(last))
        if self.mistake == "sigmoid in the net":
            logit = logit.sigmoid()
        return {"logit": logit, "state": last} if self.returns is dict else logit


def logits(model: nn.Module, tokens: Tensor) -> Tensor:
    out = model(tokens)
    return out["logit"] if isinstance(out, dict) else out


def train(
    seed,
    doctor,
    *,
    rows=1600,
    epochs=10,
    batch=32,
    lr=0.01,
    optimizer=torch.optim.Adam,
    decay=0.0,
    clip=1.0,
    warmup=0,
    loss=BCE,
    noisy=0.0,
    content=0.5,
    length=LENGTH,
    net=None,
    mistake="",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = reviews(rows, rng, content, mistake != "trained on another site", length)
    val_x, val_y = reviews(300, rng, content, length=length)
    fresh_x, fresh_y = reviews(600, rng, length=length)

    if mistake == "sorted, not shuffled":
        order = y[:, 0].argsort(stable=True)
        x, y = x[order], y[order]
    elif mistake == "answers of other reviews":
        y = y[torch.from_numpy(rng.permutation(rows))]
    elif mistake == "split after oversampling":
        picks = torch.from_numpy(rng.integers(0, 120, rows + 300))
        (x, val_x), (y, val_y) = x[picks].split([rows, 300]), y[picks].split([rows, 300])
    elif mistake == "stars left in the text":  # where it is served there are none yet
        for tokens, answers in ((x, y), (val_x, val_y)):
            tokens[:, 0], tokens[:, 1] = STARS, torch.where(answers[:, 0] > 0, 4, 5)
    elif mistake == "padded behind":  # the last output has seen nothing but padding for most of its steps
        x, val_x, fresh_x = (part.roll(LENGTH - length, 1) for part in (x, val_x, fresh_x))
    elif mistake == "validation with its own word list":
        numbers = torch.from_numpy(np.r_[0, 1 + rng.permutation(WORDS - 1)])
        val_x, fresh_x = numbers[val_x], numbers[fresh_x]
    if noisy:
        wrong = torch.from_numpy(rng.random((rows, 1)) < noisy)
        y = torch.where(wrong, 1 - y, y)
    loader = DataLoader(TensorDataset(x, y), batch, shuffle=mistake != "sorted, not shuffled")

    model = Net(**(net or {}), mistake=mistake)
    weights = list(model.parameters())
    if mistake in ("embedding not in the optimizer", "embedding frozen"):
        weights = [*model.cell.parameters(), *model.head.parameters()]
    if mistake == "embedding frozen":  # no mistake: it is meant
        model.embed.requires_grad_(False)
    opt = optimizer(weights, lr=lr, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda step: min(1.0, step / warmup) if warmup else 1.0)
    if mistake == "net copied after the optimizer":
        model = copy.deepcopy(model)
    doctor.on_start(model, opt, loss, loader)

    # The mistake: the net gives logits, not probabilities in per cent, and none is above fifty.
    threshold = {"threshold in per cent": 50, "sigmoid in the net": 0.5}.get(mistake, 0)
    for epoch in range(epochs):
        if mistake != "train() forgotten after validation" or epoch == 0:
            model.train()
        total = right = 0.0
        for tokens, answers in loader:
            out = logits(model, tokens)
            cost = loss(out, answers)
            cost.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            opt.step()
            schedule.step()
            if mistake != "gradients never zeroed":
                opt.zero_grad()
            doctor.on_step(cost, (tokens, answers))
            total += cost.item() * len(tokens)
            right += ((out > threshold) == (answers > 0.5)).sum().item()

        if mistake != "eval() forgotten":
            model.eval()
        with torch.no_grad():
            out = logits(model, val_x)
        val_loss = BCE(out, val_y).item()
        reported = ((out > threshold) == (val_y > 0.5)).float().mean().item()
        doctor.on_epoch({"loss": total / rows, "acc": right / rows}, {"loss": val_loss, "acc": reported})

    twin = Net(**(net or {}), mistake=mistake)
    twin.load_state_dict(model.state_dict())
    with torch.no_grad():
        guess = logits(twin.eval(), fresh_x) > (0.5 if mistake == "sigmoid in the net" else 0)
    right = (guess == (fresh_y > 0.5)).float()
    balanced = (right[fresh_y > 0.5].mean() + right[fresh_y < 0.5].mean()) / 2
    return Outcome(balanced.item(), reported)


CASES, add = cases("reviews", train)
add("as it should be")
add("97 of 100 content", "D02", content=0.97)
add("sorted, not shuffled", "D03", mistake="sorted, not shuffled")
add("trained on another site", "D04", mistake="trained on another site")
add("split after oversampling", "D06", mistake="split after oversampling")
add("stars left in the text", "D07", mistake="stars left in the text")
add("answers of other reviews", "L02", mistake="answers of other reviews")
add("35 % of answers wrong", "L04", noisy=0.35)
add("45 % of answers wrong", "L04", noisy=0.45)
add("validation with its own word list", "P02", mistake="validation with its own word list")
add("batch_first forgotten", "A04", mistake="batch_first forgotten")
add("mean of the words", "A06", mistake="mean of the words")
add("sigmoid in the net", "S01", exact=True, mistake="sigmoid in the net")
add("lr 0.5", "O01", lr=0.5)
add("lr 1e-5", "O02", lr=1e-5)
add("gradients never zeroed", "O05", exact=True, mistake="gradients never zeroed")
add("embedding not in the optimizer", "O06", exact=True, mistake="embedding not in the optimizer")
add("net copied after the optimizer", "O06 O12", mistake="net copied after the optimizer")
add("padded behind, plain RNN", "O09", length=60, net={"cell": nn.RNN}, mistake="padded behind")
add("state detached", "O10", exact=True, mistake="state detached")
add("SGD, clipping at 0.001", "O11", optimizer=torch.optim.SGD, lr=0.5, clip=0.001)
add("eighty reviews", "R01", rows=80, epochs=30, batch=8)
add("weight decay 0.1 in Adam", "R02", decay=0.1)
add("eval() forgotten", "E01", exact=True, net={"drop": 0.5}, mistake="eval() forgotten")
add("train() forgotten after validation", "E02", exact=True, net={"drop": 0.5},
    mistake="train() forgotten after validation")  # fmt: skip
add("threshold in per cent", "E04", exact=True, mistake="threshold in per cent")

add("GRU, a dict returned", net={"cell": nn.GRU, "returns": dict})
add("dropout 0.5", net={"drop": 0.5})
add("one in five content, weighted", content=0.2, loss=nn.BCEWithLogitsLoss(pos_weight=torch.tensor(4.0)))
add("warm-up from 0, AdamW", warmup=150, optimizer=torch.optim.AdamW, decay=0.01)
add("RMSprop, lr 0.003", optimizer=torch.optim.RMSprop, lr=0.003)
add("embedding frozen", mistake="embedding frozen", net={"width": 48})
add("5 % of answers wrong", noisy=0.05)
add("batches of 8", batch=8, epochs=5, lr=0.005)
add("no clipping, width 64", clip=0.0, net={"width": 64}, epochs=6)
