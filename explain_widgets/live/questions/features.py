"""What a live model is asked about its layers: activations, maps, gradients, filters."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import Tensor

from explain_widgets.analysis.alignment import Alignment
from explain_widgets.analysis.ascent import Reduce
from explain_widgets.analysis.feature_maps import Layout
from explain_widgets.analysis.filters import Filters
from explain_widgets.live.ascent import AscentStep, ascend
from explain_widgets.live.attention.ablation import HeadAblation
from explain_widgets.live.entries import Entry
from explain_widgets.live.feature_reader import FeatureLayer
from explain_widgets.live.goal import Goal
from explain_widgets.live.muting import Mute
from explain_widgets.live.questions.answering import Answering
from explain_widgets.live.sought import AscentOptions
from explain_widgets.live.targets import Target


class FeatureQuestions(Answering):
    """The side of a `LiveModel` that is asked about layers, and what drives them most."""

    def feature_layers(self, sample: int = 0) -> list[FeatureLayer]:
        """Every module whose output can be shown as maps, in call order, the model itself last.

        One forward reads them all; `activation` then answers from what is kept of it.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Conv2d(3, 6, 5), torch.rand(2, 3, 28, 28))
        >>> live.feature_layers()[0].words
        '6 channels of 24 × 24'
        """
        with self._reading():
            return self._features.layers(sample)

    def entries(self, layer: int | str, sample: int = 0) -> list[Entry]:
        """The tensors that a module returns: ``name`` (for ``entry=``), ``shape`` and ``dtype``.

        Raises
        ------
        LayerError
            When there is no such layer, or it was never called.
        """
        with self._reading():
            return self._features.entries(layer, sample)

    def layout(
        self,
        layer: int | str,
        sample: int = 0,
        entry: int | str | None = None,
        layout: str | Iterable[str] | None = None,
    ) -> Layout:
        """How an activation is laid out as channels of maps.

        Parameters
        ----------
        layer, sample, entry
            As in `activation`.
        layout
            To have it otherwise, as `choose_layout` takes it: ``"channels_last"``, or the role of
            each axis.

        Raises
        ------
        LayerError
            As in `activation`.
        ValueError
            When ``layout`` does not fit; the text says what does.
        """
        with self._reading():
            return self._features.layout(layer, sample, entry, layout)

    def alignment(
        self,
        layer: int | str,
        sample: int = 0,
        entry: int | str | None = None,
        layout: str | Iterable[str] | None = None,
    ) -> Alignment:
        """Where the positions of a layer's maps lie on the input.

        The input is followed through the operations of one forward (kernel sizes, strides,
        padding, dilation; tokens back to their patches); where the way is not understood the map
        counts as stretched over the input. ``.source`` says which.

        Parameters
        ----------
        layer, sample, entry, layout
            As in `layout`.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Conv2d(3, 6, 5, stride=2), torch.rand(2, 3, 29, 29))
        >>> live.alignment("").box(y=1, x=0)
        (2, 0, 7, 5)
        """
        with self._reading():
            return self._features.alignment(layer, sample, entry, layout)

    def activation(
        self,
        layer: int | str,
        sample: int = 0,
        entry: int | str | None = None,
        *,
        ablate: Iterable[HeadAblation] = (),
        mute: Iterable[Mute] = (),
    ) -> Tensor:
        """The output tensor of a module.

        Parameters
        ----------
        layer
            A name of ``named_modules()`` (``"block:1"`` for its second call), or an index into
            `modules`.
        sample
            Which sample.
        entry
            Of several tensors in the output, the one by this name (``"1.0"``,
            ``"hidden_states.3"``) or index of `entries`; None: the first of floating point.
        ablate, mute
            What is taken out of the forward, as in `output`.

        Returns
        -------
        Tensor
            As the module returned it, before later in-place operations, detached, on its device.

        Raises
        ------
        LayerError
            When there is no such layer or entry, it was never called, or it returns no tensor.
        """
        with self._reading():
            without = self._without.checked(ablate, mute, sample)
            wanted = self._without.wanted(without, sample)
            return self._features.activation(layer, sample, entry, without, wanted)

    def gradient(
        self,
        layer: int | str,
        sample: int = 0,
        target: Target = None,
        entry: int | str | None = None,
    ) -> Tensor:
        """D target / d activation of a module, or of the input (``layer="input"``).

        One backward reads those of all layers, where the target is a class or None.

        Parameters
        ----------
        layer, entry
            As in `activation`; ``"input"``: the first input tensor of floating point, or the one
            of this name (or number, of positional arguments).
        sample
            Which sample.
        target
            A class index, a callable from the output to a scalar, or None: the predicted class or
            next token.

        Returns
        -------
        Tensor
            Shape and dtype of the activation.

        Raises
        ------
        LayerError, GradientError, TargetError
            When the layer, its gradient or the target does not exist.
        """
        with self._reading():
            return self._features.gradient(layer, sample, target, entry)

    def has_activation(
        self, layer: int | str, sample: int = 0, entry: int | str | None = None
    ) -> bool:
        """Whether `activation` answers from what is kept, without running the model.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.ReLU(), torch.randn(2, 4))
        >>> live.has_activation(""), live.activation("").shape, live.has_activation("")
        (False, torch.Size([1, 4]), True)
        """
        with self._reading():
            return self._features.has_activation(layer, sample, entry)

    def has_gradient(
        self,
        layer: int | str,
        sample: int = 0,
        target: Target = None,
        entry: int | str | None = None,
    ) -> bool:
        """Whether `gradient` answers from what is kept, without running the model.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(4, 3), torch.randn(2, 4))
        >>> live.gradient("", target=1).shape, live.has_gradient("", target=2)
        (torch.Size([1, 3]), False)
        """
        with self._reading():
            return self._features.has_gradient(layer, sample, target, entry)

    def filters(self, layer: int | str, sample: int = 0) -> Filters:
        """The weights of a convolution or linear layer, laid out for pictures.

        As the layer computes with them: normalised, parametrised, quantised or adapted.

        Parameters
        ----------
        layer
            A name of ``named_modules()``, or an index into `modules`.
        sample
            In whose forward it is looked up what the layer sees (the image, a map).

        Raises
        ------
        LayerError
            When there is no such layer, or it has no such weights; the text names some that have.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Conv2d(3, 6, 5), torch.rand(2, 3, 28, 28))
        >>> live.filters("").rgb().shape
        torch.Size([6, 3, 5, 5])
        """
        with self._reading():
            return self._filters.filters(layer, sample)

    def maximise(
        self,
        layer: int | str | None,
        channel: int | Callable[[Any], Tensor],
        sample: int = 0,
        *,
        position: int | tuple[int, ...] | None = None,
        reduce: Reduce = "mean",
        entry: int | str | None = None,
        layout: str | Iterable[str] | None = None,
        **options: Any,
    ) -> Iterator[AscentStep]:
        """Seek the input that a channel, a unit or a class answers to most, a step at a time.

        One run a step; between two steps others may ask. Closing the iterator ends it.

        Parameters
        ----------
        layer, entry, layout
            As in `layout`; ``layer=None``: the model's output.
        channel
            Index of a channel; of the output, of a class, whose logit is maximised. Or a callable
            from the activation (or output) to a scalar.
        sample
            Where to start, and what the other inputs are.
        position
            Of one unit, on the map of the channel: (row, column), or a number where there is one
            row. None: all positions.
        reduce
            Of all positions: the ``"mean"``; or the mean of the ``"squares"`` of positive values,
            which shows patterns also where the mean is linear in the input and a plain picture
            maximises it, as of a first convolution.
        **options
            How it is sought, see `AscentOptions`: ``start``, ``steps``, ``seed``, ``jitter``, ….

        Returns
        -------
        Iterator
            An `AscentStep` for the start and for each step, with ``image``, shaped as the input,
            and ``value``.

        Raises
        ------
        GradientError
            When the input has no gradient (token ids), or the channel does not depend on it.
        LayerError, ChannelError, TargetError
            When there is no such layer, channel, position or class.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Conv2d(1, 4, 3), torch.rand(2, 1, 16, 16))
        >>> for step in live.maximise("", 3, position=(6, 6), steps=8): picture = step.image
        """
        settings = AscentOptions(**options)
        spot, laid_out = None, None
        if layer is not None:
            with self._reading():
                spot = self._features.spot(layer, sample, entry)
                laid_out = self._features.layout(layer, sample, entry, layout)
        goal = Goal(channel, spot, laid_out, position, reduce)
        return ascend(self._access, goal, sample, settings)

    def maximised(
        self,
        layer: int | str | None,
        channel: int | Callable[[Any], Tensor],
        sample: int = 0,
        **options: Any,
    ) -> AscentStep:
        """The last step of `maximise`, which takes the same."""
        return deque(self.maximise(layer, channel, sample, **options), maxlen=1).pop()
