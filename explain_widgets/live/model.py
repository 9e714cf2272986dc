"""LiveModel: a model and its samples, looked into one run at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from explain_widgets.analysis.alignment import Alignment
from explain_widgets.analysis.ascent import Reduce
from explain_widgets.analysis.attention import Attention
from explain_widgets.analysis.attribution import Attribution
from explain_widgets.analysis.feature_maps import Layout
from explain_widgets.analysis.filters import Filters
from explain_widgets.live.access import Access
from explain_widgets.live.ascent import AscentStep, ascend
from explain_widgets.live.attention import AttentionLayer
from explain_widgets.live.attention.ablation import HeadAblation
from explain_widgets.live.attention_reader import AttentionReader
from explain_widgets.live.attribution.methods import Method
from explain_widgets.live.attribution.reader import AttributionCost, AttributionReader
from explain_widgets.live.batches import Batches
from explain_widgets.live.entries import Calls, Entry
from explain_widgets.live.feature_reader import FeatureLayer, FeatureReader
from explain_widgets.live.filter_reader import FilterReader
from explain_widgets.live.freshness import STEPS, WeightState, weight_state
from explain_widgets.live.goal import Goal
from explain_widgets.live.gradients import differentiated
from explain_widgets.live.head_statistics import HeadSummary, head_summaries
from explain_widgets.live.home import Home
from explain_widgets.live.lookup import GENERATED, Table
from explain_widgets.live.losses import loss_of
from explain_widgets.live.modules import ModuleRow, flat_tensors, kept_bytes, model_device
from explain_widgets.live.muting import Mute
from explain_widgets.live.outputs import OutputChange, output_change
from explain_widgets.live.recorder import Wanted
from explain_widgets.live.runs import Call, Gradients, Run, Runner
from explain_widgets.live.samples import Sample, Samples, Token
from explain_widgets.live.sought import AscentOptions
from explain_widgets.live.store import Store, parse_memory
from explain_widgets.live.structure.questions import Structure
from explain_widgets.live.structure_reader import StructureReader
from explain_widgets.live.targets import Target, logits, target_value
from explain_widgets.live.trust.questions import Trust
from explain_widgets.live.without import Without, WithoutReader

READ_DURING_TRAINING = "read during training"


class LiveModel(Trust, Structure):
    """A model and its samples, alive: what is read is computed from the model as it is now.

    The model itself is never touched: runs happen on a structural copy that shares its parameters
    (see `explain_widgets.live.twin`), in evaluation mode, one at a time. What was read is kept
    while neither weights nor structure change.

    Parameters
    ----------
    model : nn.Module
        Any module, on any device, compiled or not.
    samples
        The inputs, as `Samples` takes them: a tensor (first axis = samples), a tuple or dict of
        tensors, a list of strings (with ``tokenizer``), a list of images (with ``transform``), a
        ``Dataset`` or ``DataLoader``; or a `Samples`.
    labels, tokenizer, class_names, transform, denormalize
        See `Samples`.
    forward
        ``forward(model, *args, **kwargs)``, for models not called as ``model(...)``.
    memory
        How much may be kept of what was read, on the model's device: bytes or ``"2GB"`` (the
        default). Past it the least recently used is read again when asked for.
    train_mode
        Run in training mode (dropout, batch statistics) instead of evaluation mode. Parts that are
        in evaluation mode while the model is in training (frozen normalisation) stay so.

    Examples
    --------
    >>> import torch, explain_widgets as xw
    >>> live = xw.LiveModel(torch.nn.MultiheadAttention(8, 2), (torch.randn(3, 5, 8),) * 3)
    >>> live.attention(0, sample=2).weights(head=1).shape
    torch.Size([1, 1])
    """

    def __init__(
        self,
        model: nn.Module,
        samples: Any,
        *,
        labels: Any = None,
        tokenizer: Any = None,
        class_names: Any = None,
        transform: Callable[[Any], Tensor] | None = None,
        denormalize: Callable[[Tensor], Any] | None = None,
        forward: Callable[..., Any] | None = None,
        memory: int | str | None = None,
        train_mode: bool = False,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}.")
        self.samples = _as_samples(
            samples,
            labels=labels,
            tokenizer=tokenizer,
            class_names=class_names,
            transform=transform,
            denormalize=denormalize,
        )
        self._runner = Runner(model, forward, train_mode)
        self._store = Store(parse_memory(memory))
        self._tables: dict[int, Table] = {}
        self._state: WeightState | None = None
        self._mixed = False
        self._attention = AttentionReader(
            self._run, self._target, self._sample, self._store, self._tables
        )
        self._features = FeatureReader(
            self._run, self._inputs, self._target, lambda: self.model, self._store, self._tables
        )
        self._filters = FilterReader(self._run, lambda: self.model, self._store, self._features)
        self._known: dict[Hashable, Any] = {}
        self._structure = StructureReader(
            self._run,
            lambda sample: _copied(self._inputs(sample)),
            self._target,
            lambda: self.model,
            self._store,
            self._keep_scores,
        )
        self._access = Access(
            self.samples,
            self._sample,
            self._reading,
            self._run,
            self._lend,
            self._target,
            self._last_position,
            lambda: self.model,
            lambda: self._revision,
            self._store,
            self._known,
        )
        self._attributions = AttributionReader(self._access, self._features)
        self._without = WithoutReader(self._access, self._attention, self._features)
        self._revision = 0
        self._lock = threading.RLock()
        self._questions = 0  # nested ones count: they belong to the outermost
        self._closed = False
        STEPS.start()

    @property
    def model(self) -> nn.Module:
        """The user's model (inside ``torch.compile`` or DataParallel wrappers)."""
        return self._runner.model

    @property
    def device(self) -> torch.device:
        """Where samples are moved to: the device of the model's first parameter or buffer."""
        return model_device(self.model)

    @property
    def status(self) -> str:
        """What should be said with everything that was just read, or ""."""
        training = self._mixed or self._runner.training_nearby()
        return READ_DURING_TRAINING if training else ""

    @property
    def revision(self) -> int:
        """Number of the state of the model that was read last: it grows with each change seen."""
        return self._revision

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

    def modules(self, sample: int = 0) -> list[ModuleRow]:
        """The module table in call order; modules that were not called come last."""
        with self._reading():
            return self._table(sample).rows

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

    def parameter_gradients(
        self, sample: int = 0, target: Target = None, names: Iterable[str] | None = None
    ) -> dict[str, Tensor | None]:
        """D target / d parameter for every parameter; ``.grad`` is not touched.

        Parameters
        ----------
        sample, target
            As in `gradient`.
        names
            Only of these parameters; None: of all.

        Returns
        -------
        dict
            Name of the parameter to a tensor of its shape; None where the target does not depend
            on it. Frozen parameters are differentiated as well. A shared parameter appears once.
        """
        found: dict[str, Tensor | None] = {}
        wanted = None if names is None else set(names)

        def differentiate(run: Run) -> None:
            scalar = self._target(run.output, target, sample)
            all_of = run.parameters
            chosen = [name for name in all_of if wanted is None or name in wanted]
            tensors = {name: all_of[name] for name in chosen if all_of[name].requires_grad}
            slopes = differentiated(scalar, list(tensors.values()), "the parameters")
            values = dict(zip(tensors, slopes, strict=True))
            found.update((name, values.get(name)) for name in chosen)

        with self._reading():
            self._run(sample, None, "parameters", differentiate)
        return found

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

    def batches(self, sample: int = 0, target: Target = None) -> Batches:
        """The model on altered versions of a sample, many in one run, with or without gradients.

        Parameters
        ----------
        sample
            Which sample.
        target
            As in `gradient`; None: the class that is predicted for the sample, for all of them.

        Returns
        -------
        Batches
            ``.scores({"0": inputs})``: the target's value for each of ``inputs``, (entries,);
            arguments go by name, positional ones by number.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(4, 3), torch.randn(5, 4))
        >>> live.batches(sample=1, target=2).scores({"0": torch.zeros(8, 4)}).shape
        torch.Size([8])
        """
        with self._reading():
            rows = self._features.table(sample).rows
        return Batches(self._access, sample, target, entry_bytes=kept_bytes(rows))

    def attribute(
        self,
        method: str,
        sample: int = 0,
        target: Target = None,
        layer: int | str | None = None,
        **options: Any,
    ) -> Attribution:
        """How much each part of the input, or of a layer, has to do with the target.

        Parameters
        ----------
        method
            A name of `attribution_methods`.
        sample
            Which sample.
        target
            As in `gradient`; or a loss with the sample's label: ``"cross_entropy"``, ``"mse"``,
            ``"binary_cross_entropy"``.
        layer
            Name or index of a module, for methods that attribute to layers; None or ``"input"``:
            to the input.
            Of token ids the numbers are those of their embeddings. Grad-CAM takes the last layer
            that has maps.
        **options
            Those of the method; and ``inputs``, names of the inputs where not all are wanted,
            ``entry`` as in `activation`.

        Returns
        -------
        Attribution
            Its ``values``, its ``completeness_gap`` where the method promises a sum, and in
            ``note`` what was chosen and approximated.

        Raises
        ------
        ValueError, TypeError
            When there is no such method or option, or a method has no answer for this model.
        LayerError, GradientError, TargetError
            When there is no such layer, gradient or target.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(4, 3), torch.randn(5, 4))
        >>> live.attribute("integrated_gradients", sample=2, target=1).values.shape
        torch.Size([1, 4])
        """
        return deque(self.attribution_steps(method, sample, target, layer, **options), 1).pop()

    def attribution_steps(
        self,
        method: str,
        sample: int = 0,
        target: Target = None,
        layer: int | str | None = None,
        **options: Any,
    ) -> Iterator[Attribution]:
        """`attribute`, refined step by step; between two steps others may ask.

        Closing the iterator ends the work. Each attribution says its ``step`` of how many
        ``steps``; the last is that of `attribute`.
        """
        return self._attributions.steps(method, sample, target, layer, options)

    def read_gradients(self, sample: int = 0, target: Target = None) -> None:
        """Read the gradients of the input and of all layers in one pass, for what is asked next.

        `gradient`, and the attributions ``"gradient"``, ``"saliency"``, ``"input_x_gradient"`` and
        ``"grad_cam"`` of any layer, then answer from what is kept while there is room for it.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Conv2d(3, 6, 5), torch.rand(2, 3, 28, 28))
        >>> live.read_gradients(sample=1, target=lambda output: output[0, 2].mean())
        """
        self._attributions.read_gradients(sample, target)

    def attribution_methods(self, sample: int = 0) -> list[Method]:
        """The methods of attribution, with options, sources, and why one has no answer here.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(4, 3), torch.randn(5, 4))
        >>> [m.reason for m in live.attribution_methods() if m.name == "guided_backprop"]
        ['this forward has no ReLU, so that it would be the plain gradient']
        """
        return self._attributions.methods(sample)

    def attribution_cost(
        self,
        method: str,
        sample: int = 0,
        target: Target = None,
        layer: int | str | None = None,
        **options: Any,
    ) -> AttributionCost:
        """What `attribute` would take now, in runs, seconds and memory; 0 where it is kept.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(4, 3), torch.randn(5, 4))
        >>> live.attribution_cost("integrated_gradients", n_steps=20).backwards
        20
        """
        return self._attributions.cost(method, sample, target, layer, options)

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
        return list(head_summaries(self, sample, every))

    def with_model(self, model: nn.Module) -> LiveModel:
        """Another model on the same samples, called and run in the same way.

        Examples
        --------
        >>> import copy, torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(3, 2), torch.randn(4, 3))
        >>> torch.equal(live.with_model(copy.deepcopy(live.model)).output(1), live.output(1))
        True
        """
        return self._beside(model, self.samples)

    def with_samples(self, samples: Samples) -> LiveModel:
        """The same model on other samples, called and run in the same way.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(3, 2), torch.randn(4, 3))
        >>> live.with_samples(xw.Samples(torch.zeros(1, 3))).class_scores().shape
        torch.Size([2])
        """
        return self._beside(self.model, samples)

    def with_context(
        self, context: Callable[[nn.Module], AbstractContextManager[Any]]
    ) -> LiveModel:
        """The same model on the same samples, with each forward inside a context.

        Parameters
        ----------
        context
            Called before each forward with the module that runs, which is not the user's own: it
            may set hooks there and take them away.

        Examples
        --------
        >>> import contextlib, torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(3, 2), torch.randn(4, 3))
        >>> @contextlib.contextmanager
        ... def doubled(module):
        ...     handle = module.register_forward_hook(lambda module, inputs, output: 2 * output)
        ...     yield
        ...     handle.remove()
        >>> torch.equal(live.with_context(doubled).output(), 2 * live.output())
        True
        """
        own = self._runner.how["forward"]

        def forward(model: nn.Module, *args: Any, **kwargs: Any) -> Any:
            with context(model):
                return model(*args, **kwargs) if own is None else own(model, *args, **kwargs)

        return self._beside(self.model, self.samples, forward=forward)

    def _beside(self, model: nn.Module, samples: Samples, **changed: Any) -> LiveModel:
        memory, how = self._store.limit, {**self._runner.how, **changed}
        other = LiveModel(model, samples, memory=memory, **how)
        # Wherever it was made: a cell that runs in the notebook's thread is beside both.
        other._runner.home = self.home
        return other

    def reading(self) -> AbstractContextManager[None]:
        """Several questions as one: whether the model has changed is asked once, at its beginning.

        Nobody else asks meanwhile, so it is not to be kept open for long.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(4, 3), torch.randn(2, 4))
        >>> with live.reading(): both = live.activation(""), live.gradient("", target=0)
        """
        return self._reading()

    @property
    def home(self) -> Home:
        """The notebook's own thread, in which every run is allowed."""
        return self._runner.home

    @property
    def is_home(self) -> bool:
        """Whether the calling thread is `home`."""
        return self.home.is_current()

    def call_when_free(self, function: Callable[[], None]) -> bool:
        """Call ``function`` in the notebook's thread once no cell runs; False: there is no way."""
        return self.home.call_when_free(function)

    def refresh(self) -> None:
        """Forget what was read: the next question runs the model again."""
        with self._lock:
            self._store.clear()
            self._tables.clear()
            self._state = None
            self._revision += 1

    def close(self) -> None:
        """Give back everything: what was read, and the watch over optimizer steps."""
        self.refresh()
        if not self._closed:
            self._closed = True
            STEPS.stop()

    # What is read is kept under its key until the weights or the structure change.

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """One question at a time, answered from what is kept if nothing has changed since.

        Asked once a question: a model that is being trained has changed again by its end.
        """
        # What is kept must not depend on the caller: inference tensors know no gradients.
        with self._lock, torch.inference_mode(False):
            if self._questions == 0:
                self._check_fresh()
            self._questions += 1
            try:
                yield
            finally:
                self._questions -= 1

    def _kept(self, key: Hashable, read: Callable[[], _T]) -> _T:
        found: _T | None = self._store.get(key)
        return read() if found is None else found

    def _check_fresh(self) -> None:
        rebuilt = self._runner.follow()
        if rebuilt:
            self._attention.model_changed()
            self._features.model_changed()
            self._known.clear()
        state = weight_state(self._runner.tensors())
        if rebuilt or self._mixed or state != self._state:
            if self._state is not None and state != self._state:
                self._runner.weights_moved()
            self.refresh()
            self._mixed = False
            self._state = state

    def _table(self, sample: int) -> Table:
        if sample not in self._tables:
            self._run(sample, Wanted())
        return self._tables[sample]

    def _run(
        self,
        sample: int,
        wanted: Wanted | None,
        gradients: Gradients = "none",
        then: Callable[[Run], None] = lambda run: None,
        inputs: tuple[tuple[Any, ...], dict[str, Any]] | None = None,
    ) -> Run:
        args, kwargs = inputs or _copied(self._inputs(sample))
        run = self._runner.run(args, kwargs, wanted, gradients, then)
        self._mixed = self._mixed or run.mixed
        # A run of something else than the sample, or of a part of it, is not what the table shows.
        if run.recorder is not None and inputs is None and (not wanted or not wanted.outputs):
            known = self._tables.get(sample)
            rows, calls = run.recorder.table(), self._shared(run.recorder.calls)
            self._tables[sample] = (
                Table(rows, calls) if known is None else replace(known, rows=rows, calls=calls)
            )
        return run

    def _lend(self, action: Callable[[nn.Module, Call], None], **how: bool) -> None:
        self._mixed = self._runner.lend(action, **how).mixed or self._mixed

    def _shared(self, calls: Calls) -> Calls:
        """The same as known of another sample, where they are equal: there may be thousands."""
        latest = next(reversed(self._tables.values()), None)
        return latest.calls if latest is not None and latest.calls == calls else calls

    def _inputs(self, sample: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        loaded = self._sample(sample)
        return loaded.args, loaded.kwargs

    def _sample(self, sample: int) -> Sample:
        return self.home.read(self.samples, sample, self.device)

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

    def _target(self, output: Any, target: Target, sample: int) -> Tensor:
        last = self._last_position(sample)
        if isinstance(target, str):
            target = loss_of(target, self._sample(sample), last)
        return target_value(output, target, last)

    def _last_position(self, sample: int) -> int:
        loaded = self._sample(sample)
        # The words that an encoder-decoder predicts follow those of its decoder.
        decoded = "decoder_input_ids" in loaded.kwargs
        _, stop = loaded.valid_of("decoder_input_ids") if decoded else loaded.valid
        return stop - 1


_T = TypeVar("_T")


def _as_samples(samples: Any, **options: Any) -> Samples:
    given = [name for name, value in options.items() if value is not None]
    if not isinstance(samples, Samples):
        return Samples(samples, **options)
    if given:
        raise TypeError(f"Samples are made already: pass {', '.join(given)} to Samples(...).")
    return samples


def _detached(value: Any) -> Any:
    return torch.utils._pytree.tree_map_only(Tensor, Tensor.detach, value)


def _copied(inputs: _T) -> _T:
    """Inputs of their own for a model that begins in place: the samples are the user's."""
    copies: dict[int, Tensor] = {}  # what is given twice is one tensor for the model, too

    def copy(tensor: Tensor) -> Tensor:
        return copies.setdefault(id(tensor), tensor.clone())

    return torch.utils._pytree.tree_map_only(Tensor, copy, inputs)


def _bytes(value: Any) -> int:
    return sum(tensor.nbytes for tensor in flat_tensors(value))
