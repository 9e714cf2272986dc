"""Tokens put together into words and sentences."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from typing import Literal, TypeAlias

from explain_widgets.live.samples.tokens import Token, read

Units: TypeAlias = Literal["tokens", "words", "sentences"]

_ENDS = tuple(".!?…。！？")
_CLOSING = tuple("\"'”’)]»")


def is_punctuation(token: Token) -> bool:
    """Whether a token is nothing but signs.

    Examples
    --------
    >>> is_punctuation(Token("...", "...", True, False))
    True
    """
    return not token.special and all(unicodedata.category(c)[0] in "PS" for c in token.text)


def unit_edges(tokens: Sequence[Token], units: Units) -> list[int]:
    """Borders of words or sentences: unit i is tokens [edges[i], edges[i + 1]).

    A word is a token and those that are joined to it; punctuation and special tokens stand by
    themselves. A sentence ends with its full stop, question or exclamation mark, quotes included,
    where a space follows.

    Examples
    --------
    >>> tokens = [Token(t, t, j, False) for t, j in [("token", 0), ("ise", 1), (".", 1), ("So", 0)]]
    >>> unit_edges(tokens, "words"), unit_edges(tokens, "sentences")
    ([0, 2, 3, 4], [0, 3, 4])
    """
    edges = [0]
    for position, (before, token) in enumerate(itertools.pairwise(tokens), start=1):
        if units == "words":
            goes_on = token.joined and not is_punctuation(token) and not is_punctuation(before)
        else:
            goes_on = token.joined or not _ends(tokens[edges[-1] : position])
        if units == "tokens" or token.special or before.special or not goes_on:
            edges.append(position)
    return [*edges, len(tokens)] if tokens else [0]


def _ends(sentence: Sequence[Token]) -> bool:
    text = sentence[-1].text.rstrip("".join(_CLOSING)) or "".join(
        token.text for token in sentence[-3:]
    ).rstrip("".join(_CLOSING))
    return text.endswith(_ENDS)


def united(tokens: Sequence[Token], edges: Sequence[int]) -> list[Token]:
    """Each unit as one token.

    Examples
    --------
    >>> tokens = [Token("token", "token", False, False), Token("ise", "##ise", True, False)]
    >>> united(tokens, [0, 2])
    [Token(text='tokenise', raw='token ##ise', joined=False, special=False, generated=False)]
    """
    found = []
    for start, stop in itertools.pairwise(edges):
        some = tokens[start:stop]
        found.append(
            Token(
                read(some),
                " ".join(token.raw for token in some),
                some[0].joined,
                all(token.special for token in some),
                any(token.generated for token in some),
            )
        )
    return found
