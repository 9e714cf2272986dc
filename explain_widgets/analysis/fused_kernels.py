"""Triton kernels of attention, which `fused` starts. Apart, since importing them needs triton.

``source`` is (query, key, scale, heads that share a key, strides of query, strides of key).
``steps`` has five entries for each score step: a tensor, its three strides, and fill. ``FORM`` is
(kinds of the steps, channels, how many of these at a time, whether they are widened to single
precision). Places in tensors are counted in 64 bits: long inputs need them.
"""

from __future__ import annotations

import triton
import triton.language as tl

from explain_widgets.analysis.fused import BIAS, LIMIT, MASK

_LIMIT, _MASK, _BIAS = tl.constexpr(LIMIT), tl.constexpr(MASK), tl.constexpr(BIAS)
_INFINITY = tl.constexpr(float("inf"))

# What differs from one start to the next: nothing is compiled anew for these.
_CHANGING = [
    "first_head", "heads", "first_row", "every", "rows", "start", "stop", "split",
    "height", "width", "tall", "wide",
]  # fmt: skip


@triton.jit
def _bounds(
    rows: tl.tensor,
    in_rows: tl.tensor,
    start: tl.tensor,
    stop: tl.tensor,
    steps: tl.tuple,
    FORM: tl.constexpr,
) -> tl.tuple:
    """The part of the keys [start, stop) outside of which none of ``rows`` looks at any."""
    low, high = start, stop
    for number in tl.static_range(len(FORM[0])):
        if FORM[0][number] == _LIMIT:
            ranges, to_stops = steps[5 * number], steps[5 * number + 1]
            starts = tl.load(ranges + rows, mask=in_rows, other=stop)
            stops = tl.load(ranges + to_stops + rows, mask=in_rows, other=start)
            low = tl.maximum(low, tl.min(starts, 0))
            high = tl.minimum(high, tl.max(stops, 0))
    return low, high


@triton.jit
def _product(
    source: tl.tuple,
    head: tl.tensor,
    rows: tl.tensor,
    in_rows: tl.tensor,
    keys: tl.tensor,
    in_keys: tl.tensor,
    FORM: tl.constexpr,
) -> tl.tensor:
    """Scale · query · keyᵀ of a block, (rows, keys), in float32."""
    query, key, scale, group, query_strides, key_strides = source
    queries = query + head * query_strides[0] + rows[:, None] * query_strides[1]
    others = key + head // group * key_strides[0] + keys[None, :] * key_strides[1]
    CHANNELS: tl.constexpr = FORM[1]
    BLOCK_CHANNELS: tl.constexpr = FORM[2]
    WIDEN: tl.constexpr = FORM[3]
    product = tl.zeros((rows.shape[0], keys.shape[0]), tl.float32)
    for first in range(0, CHANNELS, BLOCK_CHANNELS):
        channels = first + tl.arange(0, BLOCK_CHANNELS)
        inside = channels < CHANNELS
        q = tl.load(
            queries + channels[None, :] * query_strides[2],
            mask=in_rows[:, None] & inside[None, :],
            other=0.0,
        )
        k = tl.load(
            others + channels[:, None] * key_strides[2],
            mask=inside[:, None] & in_keys[None, :],
            other=0.0,
        )
        if WIDEN:
            q, k = q.to(tl.float32) * scale, k.to(tl.float32)
        product = tl.dot(q, k, product, input_precision="ieee")
    # Products of half precision are exact in single, so that the scale can wait.
    return product if WIDEN else product * scale


@triton.jit
def _scores(
    source: tl.tuple,
    steps: tl.tuple,
    head: tl.tensor,
    rows: tl.tensor,
    in_rows: tl.tensor,
    keys: tl.tensor,
    in_keys: tl.tensor,
    FORM: tl.constexpr,
) -> tl.tensor:
    """What goes into the softmax, for a block of one head: (rows, keys), in float32."""
    head = head.to(tl.int64)
    keys = keys.to(tl.int64)
    scores = _product(source, head, rows, in_rows, keys, in_keys, FORM)
    inside = in_rows[:, None] & in_keys[None, :]
    for number in tl.static_range(len(FORM[0])):
        tensor, to_head = steps[5 * number], steps[5 * number + 1]
        to_row, to_key, fill = steps[5 * number + 2], steps[5 * number + 3], steps[5 * number + 4]
        places = tensor + head * to_head + rows[:, None] * to_row + keys[None, :] * to_key
        if FORM[0][number] == _BIAS:
            scores += tl.load(places, mask=inside, other=0.0).to(tl.float32)
        elif FORM[0][number] == _MASK:
            scores = tl.where(tl.load(places, mask=inside, other=0) == 0, fill, scores)
        else:
            starts = tl.load(tensor + rows, mask=in_rows, other=0)
            stops = tl.load(tensor + to_head + rows, mask=in_rows, other=0)
            hidden = (keys[None, :] < starts[:, None]) | (keys[None, :] >= stops[:, None])
            scores = tl.where(hidden, fill, scores)
    return scores


@triton.jit(do_not_specialize=_CHANGING)
def row_sums(
    source: tl.tuple,
    steps: tl.tuple,
    result: tl.tensor,
    first_head: tl.tensor,
    heads: tl.tensor,
    first_row: tl.tensor,
    every: tl.tensor,
    rows: tl.tensor,
    start: tl.tensor,
    stop: tl.tensor,
    split: tl.tensor,
    FORM: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Largest score and Σ exp (score − largest) of rows, apart for every ``split`` keys.

    ``result``: (2, heads, parts, rows), of programs (blocks of rows, parts, heads). The online
    softmax of Milakov and Gimelshein (2018).
    """
    part, head = tl.program_id(1), tl.program_id(2)
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    in_rows = places < rows
    positions = first_row + places.to(tl.int64) * every
    left = start + part * split
    left, right = _bounds(positions, in_rows, left, tl.minimum(stop, left + split), steps, FORM)
    top = tl.full((BLOCK,), -_INFINITY, tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(left, right, BLOCK):
        keys = first + tl.arange(0, BLOCK)
        in_keys = keys < right
        scores = _scores(
            source, steps, first_head + head, positions, in_rows, keys, in_keys,
            FORM,
        )  # fmt: skip
        scores = tl.where(in_keys[None, :], scores, -_INFINITY)
        before = top
        top = tl.maximum(top, tl.max(scores, 1))
        shift = tl.where(top == -_INFINITY, 0.0, top)
        total = total * tl.exp(before - shift) + tl.sum(tl.exp(scores - shift[:, None]), 1)
    parts = tl.num_programs(1)
    place = (head * parts + part).to(tl.int64) * rows + places
    tl.store(result + place, top, mask=in_rows)
    tl.store(result + (heads * parts).to(tl.int64) * rows + place, total, mask=in_rows)


@triton.jit
def _included(values: tl.tensor, others: tl.tensor, LARGEST: tl.constexpr) -> tl.tensor:
    return tl.maximum(values, others) if LARGEST else values + others


@triton.jit
def _reduced(values: tl.tensor, AXIS: tl.constexpr, LARGEST: tl.constexpr) -> tl.tensor:
    return tl.max(values, AXIS) if LARGEST else tl.sum(values, AXIS)


@triton.jit
def _weights(
    source: tl.tuple,
    steps: tl.tuple,
    sums: tl.tensor,
    first_head: tl.tensor,
    heads: tl.tensor,
    to_head: tl.tensor,
    places: tl.tensor,
    rows: tl.tensor,
    in_rows: tl.tensor,
    keys: tl.tensor,
    in_keys: tl.tensor,
    FORM: tl.constexpr,
    LARGEST_HEAD: tl.constexpr,
) -> tl.tensor:
    """Weights of a block, (rows, keys), summed over the heads or the largest of them; 0 outside."""
    weights = tl.zeros((rows.shape[0], keys.shape[0]), tl.float32)
    for head in range(heads):
        scores = _scores(
            source, steps, first_head + head, rows, in_rows, keys, in_keys,
            FORM,
        )  # fmt: skip
        place = sums + 2 * (head * to_head + places)
        top = tl.load(place, mask=in_rows, other=0.0)
        log_total = tl.load(place + 1, mask=in_rows, other=0.0)
        # Rows that are masked everywhere have no weights: exp (−∞).
        log_total = tl.where(log_total == -_INFINITY, 0.0, log_total)
        some = tl.exp(scores - top[:, None] - log_total[:, None])
        weights = _included(weights, some, LARGEST_HEAD)
    return tl.where(in_rows[:, None] & in_keys[None, :], weights, 0.0)


@triton.jit(do_not_specialize=_CHANGING)
def picture(
    source: tl.tuple,
    steps: tl.tuple,
    sums: tl.tensor,
    row_edges: tl.tensor,
    key_edges: tl.tensor,
    result: tl.tensor,
    first_head: tl.tensor,
    heads: tl.tensor,
    first_row: tl.tensor,
    every: tl.tensor,
    rows: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    tall: tl.tensor,
    wide: tl.tensor,
    FORM: tl.constexpr,
    BLOCK: tl.constexpr,
    ROW_PIECE: tl.constexpr,
    KEY_PIECE: tl.constexpr,
    LARGEST: tl.constexpr,
    LARGEST_HEAD: tl.constexpr,
) -> None:
    """Sums or maxima of the weights of bins of rows and keys, (height, width).

    A program works on some pixels: it looks at a piece of each one's rows and keys at a time,
    ``tall`` and ``wide`` being the most that any has. Bins need not be alike: pieces end with
    theirs. ``row_edges`` are counted in the rows that are looked at, as ``sums`` (heads, rows, 2).
    """
    ROW_BINS: tl.constexpr = BLOCK // ROW_PIECE
    KEY_BINS: tl.constexpr = BLOCK // KEY_PIECE
    y = tl.program_id(0) * ROW_BINS + tl.arange(0, ROW_BINS)
    x = tl.program_id(1) * KEY_BINS + tl.arange(0, KEY_BINS)
    first_places = tl.load(row_edges + y, mask=y < height, other=0)[:, None]
    stop_places = tl.load(row_edges + y + 1, mask=y < height, other=0)[:, None]
    first_keys = tl.load(key_edges + x, mask=x < width, other=0)[:, None]
    stop_keys = tl.load(key_edges + x + 1, mask=x < width, other=0)[:, None]
    left = tl.load(key_edges + tl.program_id(1) * KEY_BINS)
    right = tl.load(key_edges + tl.minimum(tl.program_id(1) * KEY_BINS + KEY_BINS, width))
    pixels = tl.zeros((ROW_BINS, KEY_BINS), tl.float32)
    for row_piece in range(0, tall, ROW_PIECE):
        places = first_places + row_piece + tl.arange(0, ROW_PIECE)[None, :]
        in_rows = tl.reshape(places < stop_places, (BLOCK,))
        places = tl.reshape(places, (BLOCK,))
        positions = first_row + places.to(tl.int64) * every
        low, high = _bounds(positions, in_rows, left, right, steps, FORM)
        strip = tl.zeros((BLOCK, KEY_BINS), tl.float32)
        for key_piece in range(0, tl.where(low < high, wide, 0), KEY_PIECE):
            keys = first_keys + key_piece + tl.arange(0, KEY_PIECE)[None, :]
            in_keys = tl.reshape(keys < stop_keys, (BLOCK,))
            keys = tl.reshape(keys, (BLOCK,))
            weights = _weights(
                source, steps, sums, first_head, heads, rows, places, positions, in_rows,
                keys, in_keys, FORM, LARGEST_HEAD,
            )  # fmt: skip
            weights = tl.reshape(weights, (BLOCK, KEY_BINS, KEY_PIECE))
            strip = _included(strip, _reduced(weights, 2, LARGEST), LARGEST)
        strip = tl.reshape(strip, (ROW_BINS, ROW_PIECE, KEY_BINS))
        pixels = _included(pixels, _reduced(strip, 1, LARGEST), LARGEST)
    tl.store(
        result + y[:, None].to(tl.int64) * width + x[None, :],
        pixels,
        mask=(y < height)[:, None] & (x < width)[None, :],
    )


# Whether the kernels are interpreted, as the environment variable TRITON_INTERPRET asks for.
INTERPRETED = not isinstance(picture, triton.JITFunction)
