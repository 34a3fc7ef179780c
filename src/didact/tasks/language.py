"""Language modelling: the next character, given all before it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.data.batches import Batch, Split, ordered_batches
from didact.data.encode import encode_text
from didact.data.raw import Part
from didact.errors import UsageError
from didact.tasks.exhibits import Passage
from didact.tasks.metrics import bits, token_nll
from didact.tasks.task import Numbers, Outcome, Step, Task, device_of

SHOWN_CHARACTERS = 400


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

    @torch.inference_mode()
    def score(self, model: nn.Module, split: Split, batch_size: int = 64, workers: int = 0) -> Numbers:
        """Loss in nats, bits per token and perplexity; every window starts without a past."""
        training, device = model.training, device_of(model)
        model.eval()
        total, count = 0.0, 0
        for batch in ordered_batches(split, batch_size):
            tokens, following = (tensor.to(device) for tensor in batch)
            total += token_nll(model(tokens).float(), following).double().sum().item()
            count += following.numel()
        model.train(training)
        nats = total / count
        return {"loss": nats, "bits_per_token": bits(nats), "perplexity": float(torch.tensor(nats).exp())}

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

    @torch.inference_mode()
    def surprise(self, model: nn.Module, text: str) -> list[float]:
        """Bits of surprise at each character of a text; the first one has no past and counts 0."""
        model.eval()
        tokens = encode_text(self.facts, text).to(device_of(model))[None]
        if tokens.shape[1] < 2:
            return [0.0] * tokens.shape[1]
        nats = token_nll(model(tokens[:, :-1]).float(), tokens[:, 1:])[0]
        return [0.0] + [bits(value) for value in nats.tolist()]

    @torch.inference_mode()
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
            UsageError: A negative length, temperature or top_k.
        """
        for name, value in {"length": length, "temperature": temperature, "top_k": top_k}.items():
            if value < 0:
                raise UsageError(f"{name}={value}: it must not be negative")
        model.eval()
        device, generator = device_of(model), torch.Generator().manual_seed(seed)
        tokens, written = encode_text(self.facts, prompt or "\n").to(device)[None], []
        state = None
        for _ in range(length):
            logits, state = model.forward_with_state(tokens, state)  # type: ignore[operator]
            token = draw_token(logits[0, -1].float().cpu(), temperature, top_k, generator)
            written.append(self.facts.vocabulary[token])
            tokens = torch.tensor([[token]], device=device)
        return prompt + "".join(written)


def draw_token(logits: Tensor, temperature: float, top_k: int, generator: torch.Generator) -> int:
    """Draw a token from logits (V,); index 0, the unknown token, is never drawn."""
    logits = logits.clone()
    logits[0] = -torch.inf
    if temperature == 0:
        return int(logits.argmax())
    if top_k:
        logits[logits < logits.topk(min(top_k, len(logits))).values[-1]] = -torch.inf
    return int(torch.multinomial((logits / temperature).softmax(0), 1, generator=generator))
