"""Row sums and pooled pictures of attention on a GPU, by one Triton kernel each.

The same as `attention` computes with torch operations, without blocks of scores in the GPU's
memory. Where this does not apply, or kernels do not run, the torch operations do: nothing needs it.

So far the kernels were compiled for GPUs but run in Triton's interpreter only: how fast they are,
nobody has measured. Each is compiled when it is first needed, in a second or some, for a dtype, a
head size, kinds of score steps and one of four ways to cut up pixels; Triton keeps it on the disk.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from explain_widgets.analysis.pooling import Window, clip_edges
from explain_widgets.analysis.row_sums import sums_of_parts
from explain_widgets.analysis.score_steps import Bias, Causal, Masked, Ranges, ScoreStep, Span

if TYPE_CHECKING:
    from explain_widgets.analysis.attention import Attention

DEVICES = {"cuda"}
"""Types of devices whose tensors the kernels are given; "cpu" works in Triton's interpreter."""

# Kinds of score steps as kernels know them. LIMIT, RANGE: a row looks at the keys from the first to
# before the second of two int32; others are hidden with −∞, so that they need no look, or filled.
LIMIT, RANGE, MASK, BIAS = 0, 1, 2, 3

# Rows and keys of a block of scores; multiplications of one start of a kernel, up to some
# milliseconds; how many programs keep a GPU busy.
_BLOCK = 64
_WORK = 2**35
_PROGRAMS = 512
# The first triton that compiles the kernels.
_OLDEST = (3, 4)
_MOST_CHANNELS = 256
_DTYPES = {torch.float32, torch.float16, torch.bfloat16}
_OFF: list[str] = []  # why kernels are not started any more


class _Step(NamedTuple):
    """A score step as kernels take it: a tensor, its strides, and what hidden scores become."""

    tensor: Tensor
    to_head: int
    to_row: int
    to_key: int
    fill: float


@dataclass(frozen=True)
class Kernels:
    """The kernels for one attention call; see `kernels_for`.

    Attributes
    ----------
    query, key, scale
        As of the `Attention`.
    kinds, steps
        Its score steps, as kernels take them.
    """

    query: Tensor
    key: Tensor
    scale: float
    kinds: tuple[int, ...]
    steps: tuple[_Step, ...]

    def row_chunks(self, rows: Span, heads: int = 1) -> Iterator[Span]:
        """``rows`` in chunks of some milliseconds of work over all keys."""
        step = max(1, _WORK // (heads * self.key[0].numel() * _BLOCK)) * _BLOCK
        for start in range(*rows, step):
            yield start, min(start + step, rows[1])

    def sums(self, heads: Span, rows: Span, keys: Span, every: int = 1) -> Tensor | None:
        """`row_sums` of (each ``every``-th of) the rows: (heads, rows, 2).

        ``keys``: outside of which none of the rows looks at any. None: the kernel does not run.
        """
        count, head_count = len(range(*rows, every)), heads[1] - heads[0]
        blocks, length = _blocks(count), keys[1] - keys[0]
        parts = max(1, min(_PROGRAMS // (blocks * head_count), _blocks(length)))
        split = max(1, _blocks(-(-length // parts))) * _BLOCK
        parts = max(1, -(-length // split))
        result = self.query.new_empty((2, head_count, parts, count), dtype=torch.float32)
        works = self._start(
            "row_sums", (blocks, parts, head_count),
            result, heads[0], head_count, rows[0], every, count, *keys, split,
        )  # fmt: skip
        return sums_of_parts(*result.transpose(2, 3)) if works else None

    def picture(
        self, heads: Span, window: Window, some: Span, sums: Tensor, largest_head: bool
    ) -> Tensor | None:
        """Pixels of ``some`` of the queries that the window looks at: sums or maxima of weights.

        Weights are summed over the heads, or ``largest_head``. ``sums``: (heads, rows, 2) of those
        queries, all numbers. None: the kernel does not run.
        """
        edges = [edge - some[0] for edge in clip_edges(window.row_edges, some)[1]]
        height, width = len(edges) - 1, len(window.key_edges) - 1
        (tall, row_piece), (wide, key_piece) = _piece(edges), _piece(window.key_edges)
        result = sums.new_empty(height, width)
        works = self._start(
            "picture", (-(-height * row_piece // _BLOCK), -(-width * key_piece // _BLOCK)),
            sums.contiguous(), self._places(edges), self._places(window.key_edges), result,
            heads[0], heads[1] - heads[0], window.rows(some)[0], window.every, some[1] - some[0],
            height, width, tall, wide,
            ROW_PIECE=row_piece, KEY_PIECE=key_piece,
            LARGEST=window.reduce == "max", LARGEST_HEAD=largest_head,
        )  # fmt: skip
        return result if works else None

    def _places(self, edges: Sequence[int]) -> Tensor:
        return torch.tensor(edges, dtype=torch.int32).to(self.query.device)

    def _start(self, name: str, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> bool:
        """Start a kernel; False where kernels do not run here, which is said once."""
        kernels, channels = _kernels(), self.query.shape[-1]
        if kernels is None or _OFF:
            return False
        half = self.query.dtype != torch.float32
        # The interpreter multiplies bfloat16 bit patterns.
        widen = not half or (kernels.INTERPRETED and self.query.dtype == torch.bfloat16)
        some_channels = min(64 if half else 32, max(16, _power_of_two(channels)))
        source = (
            self.query, self.key, float(self.scale), self.query.shape[0] // self.key.shape[0],
            self.query.stride(), self.key.stride(),
        )  # fmt: skip
        try:
            with _on(self.query.device):
                getattr(kernels, name)[grid](
                    source,
                    tuple(part for step in self.steps for part in step),
                    *arguments,
                    FORM=(self.kinds, channels, some_channels, widen),
                    BLOCK=_BLOCK,
                    num_warps=8,
                    **constants,
                )
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001 (compilers and drivers fail each in its way)
            _switch_off(error)
            return False
        return True


def applies(attention: Attention) -> bool:
    """Whether the kernels can be asked for an attention call (steps are looked at later).

    They are for what is computed from queries and keys in single or half precision, of up to 256
    channels, on a GPU with triton beside it.
    """
    query, key = attention.query, attention.key
    return (
        query.device.type in DEVICES
        and query.dtype in _DTYPES
        and (key.dtype, key.device) == (query.dtype, query.device)
        and type(query) is type(key) is Tensor
        and query.layout == key.layout == torch.strided
        and query.numel() > 0
        and key.numel() > 0
        and query.shape[-1] == key.shape[-1] <= _MOST_CHANNELS
        and query.shape[0] % key.shape[0] == 0
        and not _OFF
        and (kernels := _kernels()) is not None
        # A user who looks for an error of his own in the interpreter is not to wait for ours.
        and (query.device.type == "cpu") == kernels.INTERPRETED
    )


def kernels_for(attention: Attention) -> Kernels | None:
    """The kernels for an attention call; None where they do not apply, or not to its steps.

    Examples
    --------
    >>> attention = Attention(torch.randn(1, 3, 4), torch.randn(1, 3, 4), scale=0.5)
    >>> kernels_for(attention) is None  # not on a GPU
    True
    """
    if not applies(attention):
        return None
    sizes = attention.heads, attention.queries, attention.keys
    kinds: list[int] = []
    steps: list[_Step] = []
    for step in attention.steps:
        made = _as_step(step, sizes, attention.query.device)
        # What hidden keys become later would show where the kernels do not look.
        if made is None or (LIMIT in kinds and made[1].fill != -math.inf):
            return None
        kinds.append(made[0])
        steps.append(made[1])
    return Kernels(attention.query, attention.key, attention.scale, tuple(kinds), tuple(steps))


def are_regular(sums: Tensor, may_be_empty: bool) -> bool:
    """Whether the weights of rows, of which these are the sums, are numbers that kernels give.

    ``may_be_empty``: rows of which all scores are −∞ are, being 0. It waits for the device.

    Examples
    --------
    >>> sums = torch.tensor([[1.5, 0.2], [0.0, -math.inf]])
    >>> are_regular(sums, may_be_empty=True), are_regular(sums, may_be_empty=False)
    (True, False)
    """
    totals = sums[..., 1]
    # Nothing is below −∞ but what is not a number.
    regular = totals >= -math.inf if may_be_empty else totals > -math.inf
    return bool(regular.all())


def _as_step(
    step: ScoreStep, sizes: tuple[int, int, int], device: torch.device
) -> tuple[int, _Step] | None:
    """The kind of a step and the step as kernels take it; None: they cannot."""
    _, queries, keys = sizes
    if isinstance(step, Causal):
        stops = torch.arange(queries, device=device) + (step.offset + 1)
        return _range(torch.zeros_like(stops), stops, keys, step.fill)
    if isinstance(step, Ranges):
        if step.starts.shape != (queries,) or step.stops.shape != (queries,):
            return None
        starts, stops = step.starts.to(device), step.stops.to(device)
        return _range(starts, stops, keys, step.fill)
    if isinstance(step, Masked):
        tensor, kind, fill = step.keep, MASK, step.fill
    elif isinstance(step, Bias):
        tensor, kind, fill = step.bias, BIAS, -math.inf
    else:
        return None
    fits = tensor.ndim == 3 and all(
        size in {1, whole} for size, whole in zip(tensor.shape, sizes, strict=True)
    )
    if not fits or tensor.device != device or type(tensor) is not Tensor:
        return None
    if isinstance(step, Bias):
        # Added to what is hidden, NaN and ∞ would show.
        if not tensor.is_floating_point() or not bool(tensor.amax() < math.inf):
            return None
    elif tensor.dtype != torch.bool:
        return None
    else:
        tensor = tensor.view(torch.uint8)
    shape_and_strides = zip(tensor.shape, tensor.stride(), strict=True)
    to_head, to_row, to_key = (0 if size == 1 else stride for size, stride in shape_and_strides)
    return kind, _Step(tensor, to_head, to_row, to_key, float(fill))


def _range(starts: Tensor, stops: Tensor, keys: int, fill: float) -> tuple[int, _Step]:
    ranges = torch.stack([starts, stops]).clamp(0, keys).to(torch.int32)
    kind = LIMIT if fill == -math.inf else RANGE
    return kind, _Step(ranges, ranges.stride(0), 1, 0, float(fill))


def _piece(edges: Sequence[int]) -> tuple[int, int]:
    """The length of the longest bin, and how much of each a block takes at a time.

    A few pixels a block, of 16 of their positions each, unless that leaves too much of it empty;
    else one position each, of many pixels.
    """
    longest = max(stop - start for start, stop in itertools.pairwise(edges))
    piece = min(16, _BLOCK)
    return longest, piece if 4 * (-longest % piece) <= longest else 1


def _blocks(count: int) -> int:
    return -(-count // _BLOCK)


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Kernels are started on the current GPU."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@functools.cache
def _kernels() -> ModuleType | None:
    """The kernels, or None without a triton that has what they need."""
    try:
        triton = importlib.import_module("triton")
        version = tuple(int(part) for part in re.findall(r"\d+", triton.__version__)[:2])
        if version < _OLDEST:
            return None
        return importlib.import_module("explain_widgets.analysis.fused_kernels")
    except Exception:  # noqa: BLE001 (also one that is half installed, or for another torch)
        return None


def _switch_off(error: Exception) -> None:
    if _OFF:
        return
    _OFF.append(f"{type(error).__name__}: {error}")
    reason = _OFF[0].strip().splitlines()[0]
    warnings.warn(
        f"The fused attention kernels do not run here ({reason}). From now on attention is computed"
        " with torch operations, which gives the same and takes longer.",
        RuntimeWarning,
        stacklevel=2,
    )
