"""What every head of a model does, in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explain_widgets.analysis.head_statistics import HeadStatistics
from explain_widgets.live.sides import same_tokens, sink_mask, token_names, valid_span

if TYPE_CHECKING:
    from explain_widgets.live.model import LiveModel


@dataclass(frozen=True)
class HeadSummary:
    """The statistics of one head of a model.

    Attributes
    ----------
    layer
        Name of the attention call.
    layer_index
        Its index in `LiveModel.attention_layers`.
    head
        Index of the head.
    statistics
        Its numbers.
    """

    layer: str
    layer_index: int
    head: int
    statistics: HeadStatistics

    def to_dict(self) -> dict[str, Any]:
        """Everything as one flat row of numbers; without what the single keys receive.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> layer = torch.nn.TransformerEncoderLayer(16, 2, batch_first=True)
        >>> live = xw.LiveModel(layer, torch.randn(3, 5, 16))
        >>> list(live.head_statistics()[1].to_dict())[:5]
        ['layer', 'layer_index', 'head', 'entropy', 'distance']
        """
        row = {"layer": self.layer, "layer_index": self.layer_index, "head": self.head}
        row |= vars(self.statistics)
        del row["received"]
        return row


def head_summaries(live: LiveModel, sample: int, every: int) -> Iterator[HeadSummary]:
    """The statistics of all heads of all attention calls, one after the other."""
    shown = live.samples[sample]
    for index, layer in enumerate(live.attention_layers(sample)):
        attention = live.attention(index, sample)
        ids, lists = live.token_ids(sample), live.token_lists(sample)
        query, key = token_names(layer, ids)
        rows, keys = valid_span(query, layer.queries, shown), valid_span(key, layer.keys, shown)
        tokens = None if key is None else lists.get(key)
        sinks = sink_mask(tokens, layer.keys, keys[0])
        same = same_tokens(layer, ids)
        for head in range(attention.heads):
            found = attention.statistics(head, rows, keys, same, sinks, every)
            yield HeadSummary(layer.name, index, head, found)
