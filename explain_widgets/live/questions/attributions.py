"""What a live model is asked about what its outputs rest on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.live.attribution.methods import Method
from explain_widgets.live.attribution.reader import AttributionCost
from explain_widgets.live.batches import Batches
from explain_widgets.live.gradients import differentiated
from explain_widgets.live.modules import kept_bytes
from explain_widgets.live.questions.answering import Answering
from explain_widgets.live.runs import Run
from explain_widgets.live.targets import Target


class AttributionQuestions(Answering):
    """The side of a `LiveModel` that is asked for gradients by parameters and for attributions."""

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
