"""The baseline of language modelling: an n-gram with interpolated Kneser-Ney smoothing (Kneser and Ney 1995).

The probability of a character after a context is what was counted, less a discount; what the discount sets
aside is shared out by the next shorter context, which counts in how many different contexts a character was
seen instead of how often.
"""

import math
from collections import Counter

DISCOUNT = 0.75


class NGram:
    """Character n-gram of a text.

    Args:
        text: What to count.
        order: Characters in a gram: 5 looks back at four.
        vocabulary_size: Characters that could come; by default those of the text and one unknown.

    Example:
        >>> NGram("abracadabra " * 20, order=3).bits("abracadabra")
    """

    def __init__(self, text: str, order: int = 5, vocabulary_size: int = 0):
        self.order = order
        self.vocabulary_size = vocabulary_size or len(set(text)) + 1
        grams = Counter(text[i : i + order] for i in range(len(text) - order + 1))
        self.counts: list[Counter[str]] = [grams]
        for _ in range(order - 1):  # how many different characters precede each shorter gram
            self.counts.insert(0, Counter(gram[1:] for gram in self.counts[0]))
        self.totals: list[Counter[str]] = []
        self.followers: list[Counter[str]] = []
        for counts in self.counts:
            total: Counter[str] = Counter()
            for gram, count in counts.items():
                total[gram[:-1]] += count
            self.totals.append(total)
            self.followers.append(Counter(gram[:-1] for gram in counts))

    def probability(self, context: str, char: str) -> float:
        """P(char | the last ``order - 1`` characters of the context)."""
        probability = 1 / self.vocabulary_size
        for length in range(self.order):
            past = context[len(context) - length :] if length else ""
            if len(past) < length or past not in self.totals[length]:
                break
            counted = max(self.counts[length][past + char] - DISCOUNT, 0)
            set_aside = DISCOUNT * self.followers[length][past]
            probability = (counted + set_aside * probability) / self.totals[length][past]
        return probability

    def bits(self, text: str) -> float:
        """Mean bits of surprise per character of a text, the first one left out."""
        surprises = (
            -math.log2(self.probability(text[max(i - self.order + 1, 0) : i], text[i]))
            for i in range(1, len(text))
        )
        return sum(surprises) / (len(text) - 1)
