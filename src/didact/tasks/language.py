"""Language modelling: the next character, given all before it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.data.batches import Batch, Split, StreamSplit
from didact.data.encode import encode_text
from didact.data.raw import Part
from didact.errors import UsageError
from didact.tasks.exhibits import Passage
from didact.tasks.metrics import bits, token_nll
from didact.tasks.task import Numbers, Outcome, Step, Task, evaluating

SHOWN_CHARACTERS = 400
SCORED_ROWS = 16  # rows that a split is read in


@dataclass
class Language(Task):
    """Teacher forcing: the true past is given, the next token is scored (notes 002, section 6.3)."""

    name = "language"
    metric = "bits_per_token"

    def losses(self, model: nn.Module, batch: Batch) -> Iterator[Step]:
        """One step: mean cross-entropy over all positions, tokens (B, T) -> logits (B, T, V)."""
        tokens, following = batch
        logits = model(tokens)
        yield Step("model", F.cross_entropy(logits.flatten(0, 1), following.flatten()))

    def score(self, model: nn.Module, split: Split, batch_size: int = 64, workers: int = 0) -> Numbers:
        """Loss in nats, bits per token and perplexity, the state carried from window to window."""
        total, count = 0.0, 0
        with evaluating(model) as device:
            state = None
            for tokens, following in _side_by_side(split):
                logits, state = model.forward_with_state(tokens.to(device), state)  # type: ignore[operator]
                total += token_nll(logits.float(), following.to(device)).double().sum().item()
                count += following.numel()
        nats = torch.tensor(total / count, dtype=torch.float64)
        return {"loss": nats.item(), "bits_per_token": bits(nats.item()), "perplexity": nats.exp().item()}

    def examine(self, model: nn.Module, split: Split, part: Part, batch_size: int = 64) -> Outcome:
        """The numbers, a passage of the split with its surprises, and a passage that the model writes."""
        excerpt = part.items[0][:SHOWN_CHARACTERS]
        read = Passage(
            excerpt, self.surprise(model, excerpt), "bits of surprise at each character of unseen text"
        )
        prompt = excerpt.split("\n", 1)[0] + "\n"
        written = Passage(
            self.generate(model, prompt, SHOWN_CHARACTERS, temperature=0.7, seed=0),
            [],
            "what the model writes after the first line, at temperature 0.7",
        )
        return Outcome(self.score(model, split, batch_size), [read, written])

    def decode(self, outputs: Tensor) -> list[dict[str, Any]]:
        """The likeliest next token of each row, and the best five."""
        shares, tokens = outputs[:, -1].softmax(1).topk(min(5, outputs.shape[-1]), dim=1)
        return [
            {
                "next": self.facts.vocabulary[best[0]],
                "best": {self.facts.vocabulary[t]: p for t, p in zip(best, row, strict=True)},
            }
            for best, row in zip(tokens.tolist(), shares.tolist(), strict=True)
        ]

    def surprise(self, model: nn.Module, text: str) -> list[float]:
        """Bits of surprise at each character of a text; the first one has no past and counts 0."""
        if len(text) < 2:
            return [0.0] * len(text)
        with evaluating(model) as device:
            tokens = encode_text(self.facts, text).to(device)[None]
            nats = token_nll(model(tokens[:, :-1]).float(), tokens[:, 1:])[0]
        return [0.0] + [bits(value) for value in nats.tolist()]

    def generate(
        self,
        model: nn.Module,
        prompt: str,
        length: int,
        temperature: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
    ) -> str:
        """Continue a prompt, one character at a time, each drawn from the model's own prediction.

        Args:
            model: A language model with ``forward_with_state``.
            prompt: What to continue; an empty one starts a line.
            length: Characters to write.
            temperature: Divides the logits; 0 always takes the likeliest.
            top_k: Draw among this many likeliest only; 0 draws among all.
            seed: The same seed writes the same text.

        Raises:
            UsageError: A length, temperature or top_k that is negative or no finite number.
        """
        for name, value in {"length": length, "temperature": temperature, "top_k": top_k}.items():
            if not 0 <= value < math.inf:
                raise UsageError(f"{name}={value}: it must be finite and not negative")
        generator, written, state = torch.Generator().manual_seed(seed), [], None
        with evaluating(model) as device:
            tokens = encode_text(self.facts, prompt or "\n").to(device)[None]
            for _ in range(length):
                logits, state = model.forward_with_state(tokens, state)  # type: ignore[operator]
                token = draw_token(logits[0, -1].float().cpu(), temperature, top_k, generator)
                written.append(self.facts.vocabulary[token])
                tokens = torch.tensor([[token]], device=device)
        return prompt + "".join(written)


def _side_by_side(split: Split) -> Iterator[Batch]:
    """Cut a stream into a few long rows and read them side by side, a window (B, T) at a time.

    Few rows, so that almost every token is scored with all of its past; the last tokens that fill no row
    are left out.
    """
    assert isinstance(split, StreamSplit)
    tokens, rows = split.tokens, max(min(SCORED_ROWS, (len(split.tokens) - 1) // split.context), 1)
    length = (len(tokens) - 1) // rows
    inputs, following = (tokens[shift : shift + rows * length].view(rows, length) for shift in (0, 1))
    yield from zip(inputs.split(split.context, 1), following.split(split.context, 1), strict=True)


def draw_token(logits: Tensor, temperature: float, top_k: int, generator: torch.Generator) -> int:
    """Draw a token from logits (V,); index 0, the unknown token, is never drawn."""
    logits = logits.double() - logits[1:].max()  # the likeliest at 0, so that no temperature overflows
    logits[0] = -torch.inf
    if temperature == 0:
        return int(logits.argmax())
    if top_k:
        kept = logits.topk(min(top_k, len(logits)))
        logits = torch.full_like(logits, -torch.inf).scatter(0, kept.indices, kept.values)
    return int(torch.multinomial((logits / temperature).softmax(0), 1, generator=generator))
