"""The two sides of an attention call: which tokens its queries and keys are, and which count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized

import torch
from torch import Tensor

from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.score_steps import Span
from explain_widgets.live.attention import AttentionLayer
from explain_widgets.live.lookup import GENERATED
from explain_widgets.live.samples import Sample, Token
from explain_widgets.live.samples.groups import is_punctuation


def token_names(
    layer: AttentionLayer | Attention, lists: Mapping[str, Sized]
) -> tuple[str | None, str | None]:
    """Which list of tokens labels the queries and the keys: one of that length.

    Where several are as long: between a decoder and its encoder the queries are the decoder's
    tokens and the keys the encoder's; within a decoder both are the decoder's.
    """

    def of_length(count: int, decoder: bool) -> str | None:
        fitting = [name for name, tokens in lists.items() if len(tokens) == count]
        # What was generated is what the decoder reads.
        in_decoder = {name for name in fitting if "decoder" in name or name == GENERATED}
        return min(fitting, key=lambda name: (name in in_decoder) != decoder, default=None)

    is_cross = layer.kind == "cross"
    in_decoder = is_cross or "decoder" in layer.name
    return of_length(layer.queries, in_decoder), of_length(layer.keys, in_decoder and not is_cross)


def valid_span(name: str | None, count: int, sample: Sample) -> Span:
    """Which of ``count`` positions, of tokens of this name, are no padding at either end."""
    if name is None or name == GENERATED:
        return 0, count
    found = sample.valid_of(name)
    return found if found[1] <= count else (0, count)


def same_tokens(layer: AttentionLayer, ids: Mapping[str, Tensor]) -> Tensor | None:
    """Ids of the tokens, (tokens,), where queries and keys are the same ones; else None."""
    query, key = token_names(layer, ids)
    return ids[query] if query is not None and query == key and layer.kind == "self" else None


def sink_mask(tokens: Sequence[Token] | None, count: int, first: int) -> Tensor:
    """(count,) bool: the first position that is no padding, separators and punctuation.

    Without tokens the first position alone.

    Examples
    --------
    >>> tokens = [Token(t, t, False, t == "[SEP]") for t in ("It", "is", ".", "[SEP]")]
    >>> sink_mask(tokens, 4, 0).tolist(), sink_mask(None, 3, 0).tolist()
    ([True, False, True, True], [True, False, False])
    """
    sinks = torch.zeros(count, dtype=torch.bool)
    sinks[first] = True
    if tokens is not None:
        sinks |= torch.tensor([token.special or is_punctuation(token) for token in tokens])
    return sinks
