"""What all explorers share: the kernel side of the request protocol, errors, lifetime."""

from __future__ import annotations

import base64
import io
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakValueDictionary

import anywidget
import matplotlib.figure
import torch
import traitlets
from IPython.display import display

from explain_widgets.live.errors import ExplainError, NeedsHomeThreadError
from explain_widgets.live.home import Home
from explain_widgets.live.model import LiveModel
from explain_widgets.live.samples import Samples
from explain_widgets.pictures.colormaps import SEQUENTIAL, check_colormap
from explain_widgets.widgets.answers import Answers
from explain_widgets.widgets.charts import ChartKind, Following
from explain_widgets.widgets.protocol import Reply, Request, pack, read_request
from explain_widgets.widgets.worker import Job, Pause, Worker, worker_of

if TYPE_CHECKING:
    import bqplot

_STATIC = Path(__file__).parent.parent / "static"
# A picture that goes out before the handler returns does not wait until the front end has drawn its
# signs that the kernel was busy and is idle again: 10 of 50 ms in JupyterLab.
_AT_ONCE = 0.03
_STILL_BYTES = 60_000
_STILL_DPI = (80, 60, 40)


def bundle(name: str) -> Path:
    """The built front end of an explorer.

    Raises
    ------
    FileNotFoundError
        When it was not built.
    """
    path = _STATIC / name
    if not path.exists():
        raise FileNotFoundError(
            f"The front end {name} is not built: run pip install . (or npm run build in js/)."
        )
    return path


class Explorer(anywidget.AnyWidget):
    """Base of the explorers.

    A subclass makes what answers its requests: an `Answers` of its own.

    Parameters
    ----------
    model
        A `LiveModel`, or a model to make one of with ``samples`` and ``options``.
    samples, **options
        As for `LiveModel`; only with a model.

    Attributes
    ----------
    samples
        What is looked at.
    live
        The live model that is looked into; None where an explorer shows samples alone.
    """

    samples: Samples
    live: LiveModel | None

    # How the still picture is cut out; None where figures have no margin: it is drawn only once.
    _still_cut: Literal["tight"] | None = "tight"

    sample = traitlets.Int(0).tag(sync=True)
    """Index of the sample."""

    sample_count = traitlets.Int(0).tag(sync=True)
    """How many samples there are to pick from (one more than read, where the end is unknown)."""

    colormap = traitlets.Unicode("Blues").tag(sync=True)
    """Any colour map of matplotlib, by name."""

    colormaps = traitlets.List(traitlets.Unicode(), list(SEQUENTIAL)).tag(sync=True)
    """What the menu of colour maps offers."""

    can_append = traitlets.Bool(False).tag(sync=True)
    """Whether a new sentence can be typed in."""

    still = traitlets.Unicode(read_only=True).tag(sync=True)
    """Names the still picture that a saved notebook keeps: live views hide it."""

    def __init__(self, model: Any, samples: Any = None, **options: Any) -> None:
        traits = {name: options.pop(name) for name in list(options) if self.has_trait(name)}
        self.samples, self.live = self._open(model, samples, options)
        self._owns_live = self.live is not model
        self._home = Home() if self.live is None else self.live.home
        # Those that follow, by name; they are held by what they observe, until they end.
        self._charts: WeakValueDictionary[str, Following] = WeakValueDictionary()
        super().__init__(sample_count=self._count_samples(), can_append=self.samples.reads_text)
        self._answers = self._make_answers()
        self.on_msg(self._receive)
        self._prepare()
        with self.hold_trait_notifications():
            for name, value in traits.items():
                setattr(self, name, value)

    def _open(
        self, model: Any, samples: Any, options: dict[str, Any]
    ) -> tuple[Samples, LiveModel | None]:
        """What is looked at, and the live model of it."""
        live = as_live(model, samples, options)
        return live.samples, live

    def _make_answers(self) -> Answers:
        """What answers the requests."""
        return Answers(self.samples)

    def _prepare(self) -> None:
        """What a subclass reads before its traits are set."""

    @traitlets.default("still")
    def _name_still(self) -> str:
        return uuid.uuid4().hex

    # Public: every picture is also data.

    def data(self) -> dict[str, Any]:
        """The tensors that are shown now, by name."""
        raise NotImplementedError

    def figure(self) -> matplotlib.figure.Figure:
        """What is shown now as a matplotlib figure."""
        raise NotImplementedError

    def chart(self, name: str) -> bqplot.Figure:
        """What is shown now as a live bqplot figure, to put beside the explorer.

        It follows the explorer until either is closed; the same name gives the same figure.

        Raises
        ------
        ValueError
            When there is no such chart; the text says what there is.
        """
        kinds = self._chart_kinds()
        if name not in kinds:
            names = " or ".join(f'"{kind}"' for kind in kinds) or "none"
            raise ValueError(f"There is no chart {name!r}: {type(self).__name__} has {names}.")
        known = self._charts.get(name)
        if known is None or not known.is_open:
            known = Following(self, kinds[name], self._worker, self._home, sentence)
            self._charts[name] = known
        return known.chart.figure

    def _chart_kinds(self) -> dict[str, ChartKind]:
        """The charts of a subclass, by name."""
        return {}

    def close(self) -> None:
        """Close the widget and its charts and give back what it holds.

        A live model of one's own stays.
        """
        for following in list(self.__dict__.get("_charts", {}).values()):
            following.end()
        live = self.__dict__.get("live")  # what failed to be made owns nothing
        if live is not None and self._owns_live:
            live.close()
        super().close()

    def open(self) -> None:
        """Open the comm; messages keep the way that the front end chose for them."""
        super().open()
        self._keep_subshells()

    # The protocol.

    def _receive(self, _: object, message: object, buffers: object) -> None:
        request = read_request(message)
        if request is None:
            return
        if request.kind == "ping":
            # At once: it says that the kernel is there, also while the worker is at work.
            self._post_reply(request, Reply(), time.perf_counter(), partial=False)
            return
        if request.kind == "stop":
            self._worker.stop(str(request.selection.get("id")))
            return
        job = Job(
            key=(self.model_id, request.view, request.kind),
            identity=request.id,
            steps=self._answer(request),
            superseded=lambda: self._post(request, {"superseded": True}),
            stopped=lambda: self._post(request, {"content": {"stopped": True}, "arrays": {}}),
            is_patient=request.kind in self._answers.patient,
        )
        self._worker.submit(job)
        job.moved.wait(_AT_ONCE)

    @property
    def _worker(self) -> Worker:
        return worker_of(self.samples if self.live is None else self.live)

    def _answer(self, request: Request, at_home: bool = False) -> Iterator[Pause | None]:
        """Answer in steps; whatever goes wrong becomes an error reply."""
        try:
            started = time.perf_counter()
            last: Reply | None = None
            is_sent = False
            for reply in self._answers.to(request):
                # More follows what came before: it is shown while that is worked out.
                if last is not None and not is_sent:
                    self._post_reply(request, last, started, partial=True)
                    is_sent = True
                    yield None
                if isinstance(reply, Reply):
                    last, is_sent = reply, False
                else:
                    yield reply
            # An answer may have read samples further, or added one.
            self.sample_count = self._count_samples()
            if last is not None:
                self._post_reply(request, last, started, partial=False)
        except NeedsHomeThreadError as error:
            if not at_home and self._home.call_when_free(lambda: self._answer_at_home(request)):
                self._post(request, {"waiting": str(error)})
            else:
                self._post(request, {"error": str(error)})
        except Exception as error:  # noqa: BLE001 (the widget stays alive)
            self._post(request, {"error": sentence(error)})

    def _answer_at_home(self, request: Request) -> None:
        for _ in self._answer(request, at_home=True):
            pass

    def _post_reply(self, request: Request, reply: Reply, started: float, partial: bool) -> None:
        arrays, buffer = pack(reply, request.pad)
        message: dict[str, Any] = {"content": reply.content, "arrays": arrays}
        message["milliseconds"] = (time.perf_counter() - started) * 1000
        if partial:
            message["partial"] = True
        self._post(request, message, [buffer])

    def _post(
        self, request: Request, message: dict[str, Any], buffers: list[bytes] | None = None
    ) -> None:
        self.send({"id": request.id, "kind": request.kind, **message}, buffers)
        self._keep_subshells()

    def _keep_subshells(self) -> None:
        # ipykernel 7.4 sends every message of a comm to the shell that wrote to it last: the main
        # one, for a widget made in a cell, which is blocked while a cell runs. Without its routing
        # table a message goes where the front end sent it: to the subshell that is free.
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = None
            self.comm._reply_subshell_ids.clear()

    # Samples.

    @traitlets.validate("sample")
    def _check_sample(self, proposal: Any) -> int:
        value, count = proposal["value"], self._count_samples()
        if not 0 <= value < count:
            raise traitlets.TraitError(f"sample must be 0 to {count - 1}, not {value}.")
        return int(value)

    @traitlets.validate("colormap")
    def _check_colormap(self, proposal: Any) -> str:
        try:
            check_colormap(proposal["value"])
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from error
        return str(proposal["value"])

    def _count_samples(self) -> int:
        return sample_count(self.samples)

    # A saved notebook shows a still picture where no kernel is. A front end that knows widgets
    # never falls back to another type of the same output: the picture is an output of its own,
    # which the live view hides as long as it is there.

    def _ipython_display_(self, **kwargs: Any) -> None:
        shown = self._repr_mimebundle_(**kwargs)
        if shown is None:
            return
        data, metadata = shown
        display(data, metadata=metadata, raw=True)
        display({"text/html": self._still_page()}, raw=True)

    def _still_figure(self) -> matplotlib.figure.Figure:
        return self.figure()

    def _still_page(self) -> str:
        picture = base64.b64encode(self._still()).decode()
        return (
            f'<div data-explain-widgets-still="{self.still}">'
            f'<img alt="Still picture of {type(self).__name__}" '
            f'src="data:image/png;base64,{picture}">'
            "<p>A still picture: run the cell for the live widget.</p></div>"
        )

    def _still(self) -> bytes:
        figure = self._still_figure()
        for dpi in _STILL_DPI:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=dpi, bbox_inches=self._still_cut)
            if buffer.tell() <= _STILL_BYTES:
                break
        return buffer.getvalue()


def sample_count(samples: Samples) -> int:
    """How many there are to pick from: one more than was read, where the end is unknown."""
    return samples.read_so_far + 1 if samples.count is None else samples.count


def sentence(error: Exception) -> str:
    """What the user reads of an error: one sentence with the cause and the way out."""
    if isinstance(error, torch.OutOfMemoryError):
        return f"Out of memory: {error} Pick a smaller window, or LiveModel(memory=…) with less."
    if isinstance(error, (ExplainError, traitlets.TraitError, IndexError)):
        return str(error)
    return f"{type(error).__name__}: {error}"


def as_live(model: Any, samples: Any, options: dict[str, Any]) -> LiveModel:
    """The live model that was given, or one made of a model and its samples."""
    if not isinstance(model, LiveModel):
        if samples is None:
            raise TypeError("Pass a LiveModel, or a model and its samples.")
        return LiveModel(model, samples, **options)
    if samples is not None or options:
        extra = ", ".join((["samples"] if samples is not None else []) + list(options))
        raise TypeError(f"{extra}: a LiveModel has its own; pass these when making it.")
    return model
