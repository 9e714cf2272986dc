"""What a live model is asked about its attention, and the tokens that it is over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from torch import Tensor

from explain_widgets.analysis.attention import Attention
from explain_widgets.live.attention import AttentionLayer
from explain_widgets.live.attention.ablation import HeadAblation
from explain_widgets.live.head_statistics import HeadSummary, head_summaries
from explain_widgets.live.lookup import GENERATED
from explain_widgets.live.questions.answering import Answering
from explain_widgets.live.samples import Token
from explain_widgets.live.targets import Target

if TYPE_CHECKING:
    from explain_widgets.live.model import LiveModel


class AttentionQuestions(Answering):
    """The side of a `LiveModel` that is asked about attention and tokens."""

    def attention_layers(self, sample: int = 0, derived: bool = False) -> list[AttentionLayer]:
        """Every attention call of the forward, in call order.

        Parameters
        ----------
        sample
            Which sample.
        derived
            List behind them what is made of each stack of at least two layers of self-attention
            over the same positions: ``"rollout"`` and ``"flow"`` (Abnar and Zuidema 2020), whose
            head i is what comes through the layers 0 to i. Of several stacks with their part of
            the model: ``"encoder.layers · rollout"``. Where positions are pooled the note begins
            with "approximate". How stacks are told: `explain_widgets.live.attention.stacks`.

        Raises
        ------
        NoAttentionError
            When none was found; the text says what was looked for and what ran.
        """
        with self._reading():
            made = self._attention.made_layers(sample).values() if derived else ()
            return [*self._attention.layers(sample), *(one.layer for one in made)]

    def attention(
        self, layer: int | str = 0, sample: int = 0, ablate: Iterable[HeadAblation] = ()
    ) -> Attention:
        """One attention call: its weights, rows, tiles and statistics, computed when asked for.

        Parameters
        ----------
        layer
            An index into `attention_layers`, or a name there; also the name of a rollout or flow.
        sample
            Which sample.
        ablate
            Heads that are taken out of the forward, as in `output`. Their own weights are shown as
            they are; those of later layers as they become.

        Raises
        ------
        LayerError, NoAttentionError
            When there is no such call, or none at all.
        ValueError
            When there is no such head to ablate.
        ImportError
            When scipy is not installed, which flows are computed with.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> layer = torch.nn.TransformerEncoderLayer(16, 4, batch_first=True)
        >>> live = xw.LiveModel(torch.nn.TransformerEncoder(layer, 3), torch.randn(2, 5, 16))
        >>> live.attention("rollout").weights(head=2).shape
        torch.Size([5, 5])
        """
        with self._reading():
            return self._attention.attention(layer, sample, ablate)

    def gradient_attention(
        self, layer: int | str = 0, sample: int = 0, target: Target = None
    ) -> Attention:
        """Gradient × attention of one call, (∇A ⊙ A)⁺: which weights raise the target.

        ∇A = d target / d A, taken for all calls in one backward (Chefer, Gur and Wolf 2021,
        "Generic Attention-model Explainability", equation 5 before the mean over heads).

        Parameters
        ----------
        layer
            An index into `attention_layers`, or a name there. The name of a rollout: the measures
            of all its layers, rolled out (their equation 6).
        sample
            Which sample.
        target
            A class index, a callable from the output to a scalar, or None: the predicted class or
            next token. What was read is kept by it, callables by identity.

        Returns
        -------
        Attention
            Its weights are the measure, ≥ 0; they do not sum to one.

        Raises
        ------
        LayerError, NoAttentionError, GradientError, TargetError
            When the call, its gradient or the target does not exist.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> layer = torch.nn.TransformerEncoderLayer(16, 4, batch_first=True)
        >>> live = xw.LiveModel(layer, torch.randn(3, 5, 16))
        >>> live.gradient_attention(0, target=lambda output: output[0, 2, 7]).weights(head=1).shape
        torch.Size([5, 5])
        """
        with self._reading():
            return self._attention.gradient(layer, sample, target)

    def token_lists(self, sample: int = 0) -> dict[str, list[Token]]:
        """The tokens of a sample by the name of their argument, and those that were generated.

        Returns
        -------
        dict
            As `Sample.token_lists`. Where ``forward`` has generated text, ``"generated"`` holds
            what the attention over it is about: the prompt (for an encoder-decoder the tokens its
            decoder began with) and the new tokens (``token.generated``), but for the last, which
            was written and not read.
        """
        with self._reading():
            loaded = self.samples[sample]
            lists = dict(loaded.token_lists)
            layers, ids = self._generation(sample)
            tokens = None if ids is None else loaded.read_tokens(ids)
            if tokens is not None:
                prompt = layers[0].prompt or 0
                lists[GENERATED] = [
                    token._replace(generated=position >= prompt)
                    for position, token in enumerate(tokens)
                ]
            return lists

    def token_ids(self, sample: int = 0) -> dict[str, Tensor]:
        """The ids, (tokens,), of `token_lists` by the same names; they need no tokenizer."""
        with self._reading():
            ids = self.samples[sample].token_ids
            generated = self._generation(sample)[1]
            return ids if generated is None else {**ids, GENERATED: generated}

    def _generation(self, sample: int) -> tuple[list[AttentionLayer], Tensor | None]:
        """The attention over generated text, and the ids (tokens,) that it was about."""
        table = self._tables.get(sample)
        if table is None or table.attention is None or table.generated is None:
            return [], None
        layers = [layer for layer in table.attention if layer.prompt is not None]
        queries = max((layer.queries for layer in layers), default=0)
        # Without the prompt (it was given as embeddings) the places of its tokens are unknown.
        is_whole = 0 < queries <= len(table.generated)
        return layers, table.generated[:queries] if is_whole else None

    def head_statistics(self, sample: int = 0, every: int = 1) -> list[HeadSummary]:
        """What every head of every attention call does, in numbers.

        Over the queries that are no padding. Sinks are the first token, separators and
        punctuation; without a tokenizer the first position alone. The induction score needs the ids
        of tokens, and one that comes twice.

        Parameters
        ----------
        sample
            Which sample.
        every
            Look at each ``every``-th query only, where an input is long: a quick estimate.

        Returns
        -------
        list of HeadSummary
            By layer and head; ``to_dict()`` of each is the row of a table.

        Examples
        --------
        >>> import pandas, torch, explain_widgets as xw
        >>> layer = torch.nn.TransformerEncoderLayer(16, 2, batch_first=True)
        >>> live = xw.LiveModel(layer, torch.randn(3, 5, 16))
        >>> pandas.DataFrame([one.to_dict() for one in live.head_statistics()])["head"].tolist()
        [0, 1]
        """
        return list(head_summaries(cast("LiveModel", self), sample, every))
