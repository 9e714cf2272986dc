"""The layer table of a model, as torchinfo prints it: of one trace, parameters counted once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, TypedDict

from explain_widgets.live.modules import Shape
from explain_widgets.live.structure.trace import OUTSIDE, ModuleCall, StoredTensor, Trace

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SummaryRow:
    """A module in the layer table.

    Attributes
    ----------
    name, type
        Its path (the root is ``""``), its class.
    depth
        How many modules it is in.
    calls
        How often it ran; 0: never.
    input_shapes, output_shapes
        Of the tensors that went in and came out at the first call.
    parameters, trainable, buffers
        Elements of the parameters in it and below (of those that ask for gradients; of the
        buffers), shared ones counted once.
    share
        Of all parameters of the model.
    flops, seconds
        All calls together, with what is called inside; of a container that is never called itself,
        those of its parts.
    bytes
        Of its parameters and buffers.
    output_bytes
        Of what came out, all calls together.
    held
        Bytes kept for the backward; 0 where none was asked for.
    backward_flops, backward_seconds
        Of the backward through all calls; 0 where none was asked for.
    """

    name: str
    type: str
    depth: int
    calls: int
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    parameters: int
    trainable: int
    buffers: int
    share: float
    flops: int
    seconds: float
    bytes: int
    output_bytes: int
    held: int
    backward_flops: int
    backward_seconds: float

    @property
    def is_used(self) -> bool:
        """Whether it, or what it contains, ran."""
        return bool(self.calls or self.flops or self.seconds)


class Summary:
    """The layer table; as text it is its ``str``.

    Parameters
    ----------
    trace
        Of a forward.
    modules
        Paths and class names of all modules of the model, as listed by ``named_modules()``.
    depth
        How deep the text goes; None: all of it. Rows are there for all.
    """

    def __init__(
        self, trace: Trace, modules: Sequence[tuple[str, str]], depth: int | None = None
    ) -> None:
        if depth is not None and depth < 1:
            raise ValueError(f"depth={depth}: the text goes one module deep at least.")
        self.trace = trace
        self.rows = _rows(trace, modules)
        self._depth = depth

    @property
    def parameters(self) -> int:
        """Elements of all parameters, shared ones counted once."""
        return self.trace.parameter_count

    @property
    def trainable(self) -> int:
        """Elements of the parameters that ask for gradients."""
        return sum(one.numel for one in self.trace.parameters if one.trainable)

    @property
    def flops(self) -> int:
        """Floating-point operations of the forward."""
        return self.trace.flops

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def __repr__(self) -> str:
        return str(self)

    def to_dataframe(self) -> pd.DataFrame:
        """The rows as a table with a column for each of their attributes, named by their paths.

        Raises
        ------
        ImportError
            When pandas is not installed.
        """
        try:
            import pandas as pd  # noqa: PLC0415 (optional)
        except ImportError as error:
            raise ImportError(
                "The table as a DataFrame needs pandas: pip install pandas. "
                "print(summary) and summary.rows do without."
            ) from error
        return pd.DataFrame([asdict(row) for row in self.rows]).set_index("name")


# --- rows ---------------------------------------------------------------------------------------


def _rows(trace: Trace, modules: Sequence[tuple[str, str]]) -> list[SummaryRow]:
    calls: dict[str, list[ModuleCall]] = {path: [] for path, _ in modules}
    first: dict[str, int] = {}
    for number, call in enumerate(trace.calls):
        calls[call.path].append(call)
        for path in _above(call.path):
            first.setdefault(path, number)
    own = _below(trace.parameters, calls)
    buffers = _below(trace.buffers, calls)
    total = max(1, trace.parameter_count)
    rows = {
        path: _row(trace, path, kind, calls[path], own[path], buffers[path], total)
        for path, kind in modules
    }
    _fill_containers(rows, trace)
    return [rows[path] for path in _in_order(list(rows), first)]


def _row(
    trace: Trace,
    path: str,
    kind: str,
    calls: Sequence[ModuleCall],
    parameters: Sequence[StoredTensor],
    buffers: Sequence[StoredTensor],
    total: int,
) -> SummaryRow:
    count = sum(one.numel for one in parameters)
    outputs = [trace.tensors[number] for call in calls for number in call.outputs]
    shapes: tuple[tuple[Shape, ...], tuple[Shape, ...]] = ((), ())
    if calls:
        numbers = calls[0].inputs, calls[0].outputs
        shapes = (
            tuple(trace.tensors[number].shape for number in numbers[0]),
            tuple(trace.tensors[number].shape for number in numbers[1]),
        )
    # A module that calls itself, however deep, is counted at the outer call.
    outer = [call for call in calls if not _is_inside(trace, call, path)]
    return SummaryRow(
        name=path,
        type=kind,
        depth=path.count(".") + 1 if path else 0,
        calls=len(calls),
        input_shapes=shapes[0],
        output_shapes=shapes[1],
        parameters=count,
        trainable=sum(one.numel for one in parameters if one.trainable),
        buffers=sum(one.numel for one in buffers),
        share=count / total,
        bytes=sum(one.bytes for one in (*parameters, *buffers)),
        output_bytes=sum(tensor.bytes for tensor in outputs),
        **_sums(outer),
    )


class _Sums(TypedDict):
    """What all calls of a module have together."""

    flops: int
    seconds: float
    held: int
    backward_flops: int
    backward_seconds: float


def _sums(calls: Sequence[ModuleCall]) -> _Sums:
    return {
        "flops": sum(call.flops for call in calls),
        "seconds": sum(call.seconds for call in calls),
        "held": sum(call.held for call in calls),
        "backward_flops": sum(call.backward_flops for call in calls),
        "backward_seconds": sum(call.backward_seconds for call in calls),
    }


def _is_inside(trace: Trace, call: ModuleCall, path: str) -> bool:
    number = call.parent
    while number != OUTSIDE:
        if trace.calls[number].path == path:
            return True
        number = trace.calls[number].parent
    return False


def _above(path: str) -> Iterator[str]:
    """A path and those of the modules around it."""
    while path:
        yield path
        path = path.rpartition(".")[0]
    yield ""


def _below(
    stored: Sequence[StoredTensor], paths: dict[str, list[ModuleCall]]
) -> dict[str, list[StoredTensor]]:
    """The tensors in each module and below, each once there."""
    found: dict[str, list[StoredTensor]] = {path: [] for path in paths}
    for tensor in stored:
        for path in {path for owner in tensor.owners for path in _above(owner)}:
            if path in found:
                found[path].append(tensor)
    return found


def _fill_containers(rows: dict[str, SummaryRow], trace: Trace) -> None:
    """What is never called itself (a list of layers) has what is called from outside of it."""
    waiting = {path for path, row in rows.items() if not row.calls}
    inside: dict[str, list[ModuleCall]] = {path: [] for path in waiting}
    for call in trace.calls:
        parent = trace.calls[call.parent].path if call.parent != OUTSIDE else None
        around = set() if parent is None else set(_above(parent))
        for path in _above(call.path):
            if path in waiting and path not in around:
                inside[path].append(call)
    for path, calls in inside.items():
        rows[path] = replace(rows[path], **_sums(calls))


def _in_order(paths: Sequence[str], first: dict[str, int]) -> list[str]:
    """The tree from top to bottom, parts by their first call; what was never called comes last."""
    children: dict[str, list[str]] = {path: [] for path in paths}
    roots = []
    for path in paths:
        above = path.rpartition(".")[0]
        if path and above in children:
            children[above].append(path)
        else:
            roots.append(path)
    ordered, stack = [], roots[::-1]
    while stack:
        path = stack.pop()
        ordered.append(path)
        inside = sorted(children[path], key=lambda one: first.get(one, math.inf))
        stack.extend(reversed(inside))
    return ordered


# --- text ---------------------------------------------------------------------------------------

_HEADERS = (
    "Layer (type: name)", "Input", "Output", "Params", "%", "FLOPs", "Time", "Memory", "Trainable",
)  # fmt: skip
_BACKWARD_HEADERS = "Kept", "FLOPs back", "Time back"


def _lines(summary: Summary) -> Iterator[str]:
    depth = summary._depth
    rows = [row for row in summary.rows if depth is None or row.depth <= depth]
    trace = summary.trace
    more = 3 if trace.backward_seconds else 1 if trace.backward else 0
    table = [
        _HEADERS + _BACKWARD_HEADERS[:more],
        *(
            _cells(row, branch) + _backward_cells(row)[:more]
            for row, branch in zip(rows, _tree(rows), strict=True)
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rule = "=" * (sum(widths) + 2 * (len(widths) - 1))
    for number, line in enumerate(table):
        if number < 2:
            yield rule
        left = [cell.ljust(width) for cell, width in zip(line[:3], widths[:3], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(line[3:], widths[3:], strict=True)]
        yield "  ".join((*left, *right)).rstrip()
    yield rule
    yield from _totals(summary)
    yield rule


def _tree(rows: Sequence[SummaryRow]) -> list[str]:
    """What is drawn before each row: "│    ├─"."""
    branches: list[str] = []
    open_below: set[int] = set()  # depths at which another row follows
    for row in reversed(rows):
        lines = ["│    " if depth in open_below else "     " for depth in range(1, row.depth)]
        end = ("├─" if row.depth in open_below else "└─") if row.depth else ""
        branches.append("".join(lines) + end)
        open_below = {depth for depth in open_below if depth < row.depth} | {row.depth}
    return branches[::-1]


def _cells(row: SummaryRow, branch: str) -> tuple[str, ...]:
    name = row.name.rpartition(".")[2]
    if row.depth and "." in row.name and row.depth != row.name.count(".") + 1:
        name = row.name
    label = f"{branch}{row.type}" + (f": {name}" if name else "")
    if row.calls > 1:
        label += f" × {row.calls}"
    return (
        label,
        _shapes(row.input_shapes),
        _shapes(row.output_shapes) if row.is_used else "(not called)",
        f"{row.parameters:,}" if row.parameters else "–",
        f"{100 * row.share:.2f}" if row.parameters else "–",
        quantity(row.flops) if row.flops else "–",
        f"{1e3 * row.seconds:.2f} ms" if row.seconds else "–",
        byte_size(row.output_bytes) if row.output_bytes else "–",
        _trainable(row),
    )


def _backward_cells(row: SummaryRow) -> tuple[str, ...]:
    return (
        byte_size(row.held) if row.held else "–",
        quantity(row.backward_flops) if row.backward_flops else "–",
        f"{1e3 * row.backward_seconds:.2f} ms" if row.backward_seconds else "–",
    )


def _trainable(row: SummaryRow) -> str:
    if not row.parameters:
        return "–"
    if row.trainable in (0, row.parameters):
        return "yes" if row.trainable else "no"
    return "partly"


def _shapes(shapes: Sequence[Shape]) -> str:
    words = [f"[{', '.join(map(str, shape))}]" for shape in shapes]
    return " ".join(words[:2]) + (f" +{len(words) - 2}" if len(words) > 2 else "")


def _totals(summary: Summary) -> Iterator[str]:
    trace = summary.trace
    frozen = summary.parameters - summary.trainable
    weights = sum(one.bytes for one in (*trace.parameters, *trace.buffers))
    made = {number for one in trace.operations for number in one.outputs}
    yield (
        f"Parameters: {summary.parameters:,} ({quantity(summary.parameters)}), trainable "
        f"{summary.trainable:,}, frozen {frozen:,}; shared ones counted once"
    )
    flops, seconds = (
        (
            f", of the backward {quantity(trace.backward_flops)}",
            f", of the backward through them {1e3 * trace.backward_seconds:.2f} ms",
        )
        if trace.backward_seconds
        else ("", "")
    )
    yield f"FLOPs: {quantity(trace.flops)}{flops} (a multiplication with its addition counts 2)"
    yield f"Time in modules: {1e3 * trace.seconds:.2f} ms{seconds}"
    held = f", held for the backward {byte_size(trace.held)}" if trace.backward else ""
    yield (
        f"Memory: parameters and buffers {byte_size(weights)}, tensors made by operations, views "
        f"too, {byte_size(sum(trace.tensors[number].bytes for number in made))}{held}"
    )
    if trace.note:
        yield f"Note: {trace.note}"
    if trace.failure is not None:
        failure = trace.failure
        where = trace.calls[failure.call].name if failure.call != OUTSIDE else ""
        met = f" of {_shapes(failure.shapes)}" if failure.shapes else ""
        yield (
            f"Failed in {where or 'the model'}: {failure.operation or 'its own code'}{met} raised "
            f"{failure.type}: {failure.message}"
        )


def quantity(count: float) -> str:
    """A number in a few digits: "124.4 M".

    Examples
    --------
    >>> quantity(124_439_808), quantity(950)
    ('124.4 M', '950')
    """
    return _scaled(count, 1000, ("", "k", "M", "G", "T", "P"))


def byte_size(count: float) -> str:
    """Bytes in a few digits: "12.6 MB".

    Examples
    --------
    >>> byte_size(12_582_912), byte_size(20)
    ('12.6 MB', '20 B')
    """
    return _scaled(count, 1000, ("B", "kB", "MB", "GB", "TB", "PB"))


def _scaled(count: float, step: int, units: Sequence[str]) -> str:
    place = 0
    while round(count, 1) >= step and place < len(units) - 1:
        count, place = count / step, place + 1
    digits = f"{count:,.1f}" if place else f"{count:,.0f}"
    return f"{digits} {units[place]}".rstrip()
