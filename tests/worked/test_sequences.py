"""Reading and writing one token at a time: the past is given in training and made in writing.

Notes 002, section 6.3; 004, L1806-1823, L1959-1972 and L2601-2609.
"""

import pytest
import torch
from torch.nn import functional as F

import didact
from didact.data.batches import StreamSplit
from didact.data.facts import Facts
from didact.tasks.language import Language
from didact.train.loop import Loop
from didact.train.recipe import make_recipe

PATTERN = "never odd or even. "
VOCABULARY = ("\N{REPLACEMENT CHARACTER}", *sorted(set(PATTERN)))
FACTS = Facts("made", "tokens", "next", (19,), vocabulary=VOCABULARY)


@pytest.fixture(scope="module", params=["elman", "lstm"])
def trained(request) -> torch.nn.Module:
    """A small language model that has read one sentence over and over."""
    torch.manual_seed(0)
    model = didact.build(request.param, vocab_size=len(VOCABULARY), embedding_dim=8, hidden_dim=24)
    tokens = torch.tensor([VOCABULARY.index(character) for character in PATTERN * 60])
    split = StreamSplit(tokens, context=19)
    recipe = make_recipe(
        request.param, given={"epochs": 12, "batch_size": 8, "lr": 0.02, "schedule": "constant"}
    )
    loop = Loop(recipe, Language(FACTS), model, {"train": split, "val": split}, torch.device("cpu"))
    loop.run()
    return model


def test_it_writes_what_it_has_read(trained: torch.nn.Module):
    """autoregressive, text-generation-rnn: each character is drawn from the model and becomes its input."""
    task = Language(FACTS)
    assert task.generate(trained, "never ", 60, temperature=0).startswith(PATTERN * 3)
    hot = task.generate(trained, "never ", 200, temperature=5.0, seed=1)
    assert hot != task.generate(trained, "never ", 200, temperature=5.0, seed=2)
    assert PATTERN not in hot[6:]  # 5 makes nearly all equally likely


def test_the_true_past_is_given_in_training():
    """teacher-forcing (002, section 6.3.2): what the model would have said is never its input."""
    model = didact.build("elman", vocab_size=5, embedding_dim=4, hidden_dim=8)
    read: list[torch.Tensor] = []
    model.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    split = StreamSplit(torch.tensor([1, 2, 3, 4, 1, 2, 3, 4, 1]), context=4)
    tokens, following = split.take(torch.tensor([0, 4]))
    next(iter(Language(FACTS).losses(model, (tokens, following))))
    assert torch.equal(read[0], torch.tensor([[1, 2, 3, 4], [1, 2, 3, 4]]))
    assert torch.equal(following, torch.tensor([[2, 3, 4, 1], [2, 3, 4, 1]]))


def test_outputs_at_every_step_and_the_sum_of_their_losses():
    """rnn-with-outputs (002, section 6.1.1): y_t = f(a_t), L = sum over t of L_t; ours is the mean, L / T."""
    model = didact.build("elman", vocab_size=5, embedding_dim=4, hidden_dim=8).double()
    tokens, following = torch.randint(5, (3, 7)), torch.randint(5, (3, 7))
    logits = model(tokens)
    assert logits.shape == (3, 7, 5)
    each = torch.stack([F.cross_entropy(logits[:, t], following[:, t]) for t in range(7)])
    (step,) = Language(FACTS).losses(model, (tokens, following))
    torch.testing.assert_close(step.loss * 7, each.sum())


@pytest.mark.parametrize("name", ["elman", "lstm"])
def test_an_embedding_is_a_product_with_one_hot_rows(name: str):
    """embedding-layer (004, L2601): ids (B, T) -> (B, T, E); torch keeps the weight as (vocabulary, E)."""
    embedding = didact.build(name, vocab_size=9, embedding_dim=4, hidden_dim=8).embedding
    tokens = torch.randint(9, (2, 6))
    assert embedding(tokens).shape == (2, 6, 4)
    assert embedding.weight.shape == (9, 4)
    torch.testing.assert_close(embedding(tokens), F.one_hot(tokens, 9).float() @ embedding.weight)


def test_elman_answers_in_sigmoid_too():
    """rnn-elman (000, section 4.1): y_t = sigmoid(W_yh h_t + b); the head is linear, what follows is free."""
    model = didact.build("elman", vocab_size=5, embedding_dim=4, hidden_dim=8).double()
    tokens = torch.randint(5, (2, 3))
    hidden, _ = model.recurrent(model.embedding(tokens))
    by_hand = torch.sigmoid(hidden @ model.head.weight.T + model.head.bias)
    torch.testing.assert_close(torch.sigmoid(model(tokens)), by_hand)
