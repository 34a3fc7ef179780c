"""Language modelling: teacher forcing, scores that say the same thing thrice, text that a seed repeats."""

import math
from collections import Counter

import pytest
import torch
from torch.nn import functional as F

import didact
from didact.data.batches import StreamSplit
from didact.data.facts import Facts
from didact.data.raw import Part
from didact.errors import UsageError
from didact.tasks.language import Language, draw_token

VOCABULARY = ("\N{REPLACEMENT CHARACTER}", "\n", "a", "b", "c")
FACTS = Facts("made", "tokens", "next", (4,), vocabulary=VOCABULARY)


@pytest.fixture
def task():
    return Language(FACTS)


@pytest.fixture
def table():
    """Logits of the next character by the last one; the unknown token looks likeliest everywhere."""
    table = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    table[:, 0] = 20.0
    return table


def test_loss_is_the_mean_over_all_positions(task, bigram):
    model = bigram(torch.randn(5, 5, generator=torch.Generator().manual_seed(0)))
    batch = torch.randint(5, (3, 4)), torch.randint(5, (3, 4))
    (step,) = task.losses(model, batch)
    logits = model(batch[0])
    expected = torch.stack(
        [F.cross_entropy(logits[b, t], batch[1][b, t]) for b in range(3) for t in range(4)]
    )
    assert step.group == "model"
    assert step.loss.item() == pytest.approx(expected.mean().item())


@pytest.mark.usefixtures("no_draws")
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_score_says_the_same_thing_three_times(task, bigram, batch_size):
    model = bigram(torch.randn(5, 5, generator=torch.Generator().manual_seed(0))).train()
    tokens = torch.randint(5, (30,), generator=torch.Generator().manual_seed(1))
    split = StreamSplit(tokens, context=4)  # 7 windows: the last batch of three holds one
    numbers = task.score(model, split, batch_size)
    by_hand = F.cross_entropy(model.table[tokens[:28]], tokens[1:29]).item()
    assert numbers["loss"] == pytest.approx(by_hand)
    assert numbers["perplexity"] == pytest.approx(math.exp(numbers["loss"]), rel=1e-12)
    assert numbers["bits_per_token"] == pytest.approx(numbers["loss"] / math.log(2), rel=1e-12)
    assert model.training


def test_knowing_nothing_costs_log2_of_the_vocabulary(task, bigram):
    numbers = task.score(bigram(torch.zeros(5, 5)), StreamSplit(torch.randint(5, (30,)), context=4))
    assert numbers["perplexity"] == pytest.approx(5)
    assert numbers["bits_per_token"] == pytest.approx(math.log2(5))


def test_surprise(task, bigram, table):
    model = bigram(table).train()
    bits = task.surprise(model, "ab?c")
    shares = table.softmax(1)
    assert bits[0] == 0
    assert bits[1:] == pytest.approx(
        [-math.log2(shares[a, b]) for a, b in ((2, 3), (3, 0), (0, 4))], rel=1e-5
    )
    assert task.surprise(model, "a") == [0]
    assert task.surprise(model, "") == []
    assert model.training, "a tool leaves no trace"


@pytest.mark.usefixtures("no_draws")
def test_the_same_seed_writes_the_same(task, bigram, table):
    model = bigram(table).train()
    first, again, other = (task.generate(model, "a", 60, seed=seed) for seed in (3, 3, 4))
    assert first == again != other
    assert len(first) == 61
    assert model.training, "a tool leaves no trace"


def test_temperature_0_is_the_likeliest_chain(task, bigram, table):
    text = task.generate(bigram(table), "a", 20, temperature=0)
    token = 2
    for character in text[1:]:
        token = int(table[token, 1:].argmax()) + 1
        assert character == VOCABULARY[token]


@pytest.mark.parametrize("temperature", [0, 1e-45, 0.01, 1.0, 100.0])
@pytest.mark.parametrize("top_k", [0, 1, 2, 99])
def test_the_unknown_token_is_never_written(task, bigram, table, temperature, top_k):
    text = task.generate(bigram(table), "ab", 50, temperature, top_k)
    assert len(text) == 52
    assert VOCABULARY[0] not in text


def test_top_1_is_the_likeliest(task, bigram, table):
    assert task.generate(bigram(table), "a", 20, top_k=1) == task.generate(
        bigram(table), "a", 20, temperature=0
    )


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, 0), (0.5, 0), (2.0, 2)])
def test_draws_follow_the_softmax(temperature, top_k):
    logits = torch.tensor([9.0, 0.0, 1.0, 2.0, 0.5])
    shares = torch.where(logits >= 1 if top_k else logits > -1, logits / temperature, -torch.inf)
    shares[0] = -torch.inf
    shares = shares.softmax(0)
    generator = torch.Generator().manual_seed(0)
    drawn = Counter(draw_token(logits, temperature, top_k, generator) for _ in range(4000))
    for token in range(5):
        assert drawn[token] / 4000 == pytest.approx(shares[token].item(), abs=0.03)  # 4 standard errors
    assert logits[0] == 9, "the caller's logits are left as they were"


def test_top_k_keeps_k_of_equals():
    generator = torch.Generator().manual_seed(0)
    drawn = {draw_token(torch.zeros(9), 1.0, 3, generator) for _ in range(200)}
    assert len(drawn) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": -1},
        {"temperature": -0.1},
        {"top_k": -1},
        {"temperature": math.nan},
        {"temperature": math.inf},
    ],
)
def test_impossible_settings_are_refused(task, bigram, table, wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        task.generate(bigram(table), "a", **({"length": 5} | wrong))


def test_edges(task, bigram, table):
    assert task.generate(bigram(table), "ab", 0) == "ab"
    assert len(task.generate(bigram(table), "", 5)) == 5
    assert task.generate(bigram(table), "", 5, seed=1) == task.generate(bigram(table), "\n", 5, seed=1)[1:]


@pytest.mark.parametrize("name", ["lstm", "elman"])
def test_writing_with_a_state_is_reading_from_the_start(task, name):
    """One character at a time with the state carried along = the whole text read anew each time."""
    torch.manual_seed(0)
    model = didact.build(name, vocab_size=5, embedding_dim=4, hidden_dim=8, num_layers=2, dropout=0.5)
    text = task.generate(model, "ab", 12, temperature=0)
    model.eval()
    for end in range(2, len(text)):
        tokens = torch.tensor([[VOCABULARY.index(character) for character in text[:end]]])
        assert VOCABULARY[int(model(tokens)[0, -1, 1:].argmax()) + 1] == text[end]


def test_decode(task):
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    for answer, row in zip(task.decode(logits), logits[:, -1].softmax(1), strict=True):
        assert answer["next"] == VOCABULARY[row.argmax()]
        assert answer["best"] == pytest.approx(dict(zip(VOCABULARY, row.tolist(), strict=True)))


def test_examine(task, bigram, table):
    split = StreamSplit(torch.randint(5, (30,)), context=4)
    outcome = task.examine(bigram(table), split, Part(["abc\nabc" * 100]))
    read, written = outcome.exhibits
    assert read.text.startswith("abc\nabc")
    assert len(read.text) == len(read.bits)
    assert written.text.startswith("abc\n")
    assert outcome.numbers == task.score(bigram(table), split)
