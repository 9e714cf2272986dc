"""The means of channels over the samples: what they become when they are muted to it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from explain_widgets.analysis.feature_maps import Layout
from explain_widgets.analysis.muting import channel_means
from explain_widgets.live.access import Access, some_of
from explain_widgets.live.errors import ChannelError
from explain_widgets.live.layouts import Layouts
from explain_widgets.live.modules import flat_tensors
from explain_widgets.live.muting import LayoutOf, Mute
from explain_widgets.live.recorder import Wanted
from explain_widgets.live.runs import Run

MEAN_SAMPLES = 64
"""Means are read from no more samples than these."""


@dataclass(frozen=True)
class ChannelMean:
    """The mean of each channel of a tensor over samples and positions.

    Attributes
    ----------
    values
        (channels,) in float64.
    samples
        How many samples it was read from.
    """

    values: Tensor
    samples: int


Reading = Generator[tuple[int, int], None, dict[Mute, ChannelMean]]
"""After each sample, how many were read of how many at most; then the means."""


def means_of(access: Access, mutes: Iterable[Mute], layout_of: LayoutOf) -> Reading:
    """The means of the tensors of those ``mutes`` that need one; read where not kept.

    One go over the samples reads all of them; where the model changes meanwhile, once more, a few
    times; then nothing is kept.

    Raises
    ------
    ChannelError
        When the channels are not the same for all samples.
    """
    sought: dict[tuple[Any, ...], _Sums] = {}
    mutes = [mute for mute in mutes if mute.how == "mean"]
    for mute in mutes:
        sought.setdefault(_key(mute), _Sums(mute, layout_of(mute)))
    with access.reading():
        kept = {key: access.store.get(key) for key in sought}
    missing = {key: sums for key, sums in sought.items() if kept[key] is None}
    if missing:
        read = yield from _read(access, missing)
        if not read:
            return {}
        kept.update(read)
    return {mute: kept[_key(mute)] for mute in mutes}


def _key(mute: Mute) -> tuple[Any, ...]:
    return ("channel mean", *mute.spot, mute.layout)


_MOST_ATTEMPTS = 3


def _read(
    access: Access, sought: dict[tuple[Any, ...], _Sums]
) -> Generator[tuple[int, int], None, dict[tuple[Any, ...], ChannelMean]]:
    count = access.samples.count
    most = MEAN_SAMPLES if count is None else min(count, MEAN_SAMPLES)
    means: dict[tuple[Any, ...], ChannelMean] = {}
    for _ in range(_MOST_ATTEMPTS):
        for sums in sought.values():
            sums.begin()
        revision: int | None = None
        for number, sample in enumerate(access.some(most), 1):
            with access.reading():
                now = access.revision()
                revision = now if revision is None else revision
                if now != revision:
                    break
                run = access.run(sample.index, _wanted(sought), inputs=(sample.args, sample.kwargs))
            for sums in sought.values():
                sums.add(access, run, (sample.args, sample.kwargs))
            yield number, most
        else:
            with access.reading():
                means = {key: sums.mean() for key, sums in sought.items()}
                if revision == access.revision():
                    for key, mean in means.items():
                        access.store.put(key, mean, mean.values.nbytes)
                    return means
    return means


def _wanted(sought: dict[tuple[Any, ...], _Sums]) -> Wanted:
    spots = {sums.mute.spot for sums in sought.values()}
    return Wanted(activations=lambda spot, size: spot in spots)


@dataclass
class _Sums:
    """The channels of one tensor, summed up over samples."""

    mute: Mute
    layout: Layout
    total: Tensor | None = None
    weight: int = 0
    samples: int = 0

    def begin(self) -> None:
        """All over again."""
        self.total, self.weight, self.samples = None, 0, 0

    def add(self, access: Access, run: Run, inputs: Any) -> None:
        """Add what a run has kept; a sample for which the module was not called does not count."""
        assert run.recorder is not None
        tensor = run.recorder.activations.get(self.mute.spot)
        if tensor is None:
            return
        layout = self.layout
        if tuple(tensor.shape) != layout.shape:  # a text of another length, say
            module, tensors = access.module(), list(flat_tensors(inputs))
            layouts = Layouts(run.recorder.calls, run.recorder.table(), module, tensors)
            layout = layouts.layout(*self.mute.spot, self.mute.layout)
        mean, weight = channel_means(tensor, layout), tensor.numel() // layout.channels
        if self.total is not None and len(mean) != len(self.total):
            raise ChannelError(
                f"mute: {self.mute.layer!r} has not as many channels for all samples, so that "
                'they have no mean: mute to "zero" instead.'
            )
        self.total = mean * weight if self.total is None else self.total + mean * weight
        self.weight += weight
        self.samples += 1

    def mean(self) -> ChannelMean:
        """Of all positions of all samples."""
        if self.total is None:
            raise ChannelError(f"mute: {self.mute.layer!r} was called for none of the samples.")
        return ChannelMean(self.total / self.weight, self.samples)


def mean_note(means: Iterable[ChannelMean], count: int | None) -> str:
    """What is said of channels that are muted to these; "": there are none."""
    samples = min((mean.samples for mean in means), default=0)
    return f"mean over {some_of(samples, count)} and all positions" if samples else ""
