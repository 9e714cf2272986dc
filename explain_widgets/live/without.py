"""What is taken out of a run: attention heads and channels, as they were written and as it runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from explain_widgets.live.access import Access, finished
from explain_widgets.live.attention.ablation import NONE, Ablations, HeadAblation
from explain_widgets.live.attention_reader import AttentionReader
from explain_widgets.live.channel_means import Reading, mean_note, means_of
from explain_widgets.live.feature_reader import FeatureReader
from explain_widgets.live.muting import LayoutOf, Mute, Mutes, Muting, checked
from explain_widgets.live.recorder import Wanted


@dataclass(frozen=True)
class Without:
    """Attention heads and channels that a run leaves out; false: none."""

    heads: Ablations = NONE
    channels: Mutes = frozenset()

    def __bool__(self) -> bool:
        return bool(self.heads or self.channels)


class WithoutReader:
    """The side of a live model that leaves things out of its runs.

    Parameters
    ----------
    access
        To the live model.
    attention, features
        Its other sides, which know heads and layouts.
    """

    def __init__(
        self,
        access: Access,
        attention: AttentionReader,
        features: FeatureReader,
    ) -> None:
        self._access = access
        self._attention = attention
        self._features = features

    def checked(self, ablate: Iterable[HeadAblation], mute: Iterable[Mute], sample: int) -> Without:
        """What is to be left out as it was written, with layers by name.

        Raises
        ------
        LayerError, ValueError
            When there is no such layer, head or channel.
        """
        heads, given = self._attention.ablations(ablate, sample), list(mute)
        if not given:
            return Without(heads)
        table = self._features.table(sample)
        channels = checked(given, table.rows, table.calls, self._layout_of(sample))
        return Without(heads, channels)

    def wanted(self, without: Without, sample: int) -> Wanted | None:
        """What a run needs to leave it out; None: a plain run."""
        wanted = self._attention.wanted(sample, without.heads)
        if without.channels:
            means = finished(self.means(without, sample))
            values = {mute: mean.values for mute, mean in means.items()}
            wanted = wanted or Wanted()
            wanted.outputs = Muting(without.channels, self._layout_of(sample), values)
        return wanted

    def means(self, without: Without, sample: int) -> Reading:
        """The means that its channels are muted to, read sample by sample."""
        return means_of(self._access, without.channels, self._layout_of(sample))

    def note(self, without: Without, sample: int) -> str:
        """What its means were read from, or ""."""
        means = finished(self.means(without, sample))
        return mean_note(means.values(), self._access.samples.count)

    def _layout_of(self, sample: int) -> LayoutOf:
        return lambda mute: self._features.layout(mute.layer, sample, mute.entry, mute.layout)
