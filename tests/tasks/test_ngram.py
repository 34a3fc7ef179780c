"""The n-gram baseline: a distribution, and one that more context makes sharper."""

import math

import pytest

from didact.tasks.ngram import NGram

TEXT = "abracadabra " * 30


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_sum_to_one_after_any_context(order):
    model = NGram(TEXT, order)
    for context in ("", "a", "br", "abra", "zzzz", "cad", "abracad"):
        known = [model.probability(context, char) for char in "abcdr "]
        unknown = model.probability(context, "?")
        assert sum(known) + unknown == pytest.approx(1), context
        assert min(*known, unknown) > 0


def test_counted_by_hand():
    """Order 2 on "aab": the bigrams aa and ab; each letter follows one other; discount .75."""
    model = NGram("aab", 2)  # a, b and one unknown
    lower = {"a": (1 - 0.75 + 1.5 / 3) / 2, "b": (1 - 0.75 + 1.5 / 3) / 2, "?": (1.5 / 3) / 2}
    for char, share in lower.items():
        assert model.probability("", char) == pytest.approx(share)
    assert model.probability("a", "a") == pytest.approx((0.25 + 1.5 * lower["a"]) / 2)
    assert model.probability("a", "?") == pytest.approx(1.5 * lower["?"] / 2)
    assert model.probability("b", "a") == pytest.approx(lower["a"]), "nothing ever followed b"


def test_bits():
    unseen = "abracadabra abrac"
    bits = [NGram(TEXT, order).bits(unseen) for order in (1, 2, 3)]
    assert bits == sorted(bits, reverse=True)
    assert bits[0] < math.log2(7)
    assert bits[-1] < 0.5
    model = NGram(TEXT, 3)
    surprises = [-math.log2(model.probability(unseen[:i], unseen[i])) for i in range(1, len(unseen))]
    assert model.bits(unseen) == pytest.approx(sum(surprises) / len(surprises))


def test_the_vocabulary_may_be_larger_than_the_text():
    assert NGram("aaaa", 2, vocabulary_size=100).probability("a", "z") < NGram("aaaa", 2).probability(
        "a", "z"
    )
