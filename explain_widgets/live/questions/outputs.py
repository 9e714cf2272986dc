"""What a live model is asked about its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from explain_widgets.live.attention.ablation import HeadAblation
from explain_widgets.live.modules import flat_tensors
from explain_widgets.live.muting import Mute
from explain_widgets.live.outputs import OutputChange, output_change
from explain_widgets.live.questions.answering import Answering
from explain_widgets.live.targets import logits
from explain_widgets.live.without import Without


class OutputQuestions(Answering):
    """The side of a `LiveModel` that is asked for outputs, whole or without parts of the model."""

    def output(
        self, sample: int = 0, ablate: Iterable[HeadAblation] = (), mute: Iterable[Mute] = ()
    ) -> Any:
        """The model's output for a sample, detached, as the model itself returns it.

        Parameters
        ----------
        sample
            Which sample.
        ablate
            Attention heads that are taken out of this run: (layer, head, "zero" or "mean").
        mute
            Channels of modules that are taken out of it: (layer, channel, "zero" or "mean"), see
            `Mute`.

        Returns
        -------
        Any
            Tensors, or the containers the model returns, with every tensor detached.
        """
        with self._reading():
            without = self._without.checked(ablate, mute, sample)
            key = ("output", sample, without)
            return self._kept(key, lambda: self._read_output(sample, without))

    def class_scores(self, sample: int = 0) -> Tensor:
        """The scores that classes are predicted from: the logits of one sample.

        Unlike `output` it keeps no more than these.

        Returns
        -------
        Tensor
            (classes,), detached; (1,) where the model returns a single number. Of outputs
            (1, time, vocabulary) those at the last unpadded position.

        Raises
        ------
        TargetError
            When no class scores can be told in the model's output.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(4, 3), torch.randn(5, 4))
        >>> live.class_scores(sample=2).softmax(0).shape
        torch.Size([3])
        """
        with self._reading():
            return self._kept(("scores", sample), lambda: self._read_scores(sample))

    def output_change(
        self, ablate: Iterable[HeadAblation] = (), sample: int = 0, mute: Iterable[Mute] = ()
    ) -> OutputChange:
        """How the output changes when attention heads or channels are taken out of the forward.

        Parameters
        ----------
        ablate, sample, mute
            As in `output`.

        Raises
        ------
        ValueError
            When there is no such head or channel, or the outputs cannot be compared.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> layer = torch.nn.TransformerEncoderLayer(16, 4, batch_first=True)
        >>> live = xw.LiveModel(layer, torch.randn(3, 5, 16))
        >>> live.output_change([(0, 2, "zero")]).cosine < 1
        True
        >>> live.output_change(mute=[("linear1", 7)]).difference > 0
        True
        """
        with self._reading():
            without = self._without.checked(ablate, mute, sample)
            outputs = self.output(sample), self.output(sample, without.heads, without.channels)
            change = output_change(*outputs, self._last_position(sample))
            return replace(change, note=self._without.note(without, sample))

    def read_means(self, mute: Iterable[Mute], sample: int = 0) -> Iterator[tuple[int, int]]:
        """Read what channels are muted to by ``"mean"``: after each sample, how many of at most.

        What is read with such channels muted does this by itself, all at once; here others may
        ask in between.
        """
        with self._reading():
            without = self._without.checked((), mute, sample)
        return self._without.means(without, sample)

    def _read_output(self, sample: int, without: Without) -> Any:
        output = _detached(self._run(sample, self._without.wanted(without, sample)).output)
        self._store.put(("output", sample, without), output, _bytes(output))
        return output

    def _read_scores(self, sample: int) -> Tensor:
        output = self._store.get(("output", sample, Without()))
        if output is None:
            output = self._run(sample, None).output
        return self._keep_scores(sample, output)

    def _keep_scores(self, sample: int, output: Any) -> Tensor:
        # A copy: a row of a large output would keep all of it.
        scores = logits(output, self._last_position(sample)).detach().clone()
        self._store.put(("scores", sample), scores, scores.nbytes)
        return scores


def _detached(value: Any) -> Any:
    return torch.utils._pytree.tree_map_only(Tensor, Tensor.detach, value)


def _bytes(value: Any) -> int:
    return sum(tensor.nbytes for tensor in flat_tensors(value))
