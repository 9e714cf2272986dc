"""The charts of the feature explorer, for the user's own boxes."""

from __future__ import annotations

from explain_widgets.widgets.features.maps import NAMES, MapReader, MapsOf, binned, picked
from explain_widgets.widgets.histogram_chart import HistogramShown


def histogram_shown(reader: MapReader, of: MapsOf, channel: int) -> HistogramShown:
    """The histogram of one channel, as beside its map in the widget."""
    own = picked(reader.maps(of), channel)
    edges, counts = binned(own)
    beyond = own.numel() - int(counts.sum())
    where = "" if of.show == "filters" else f"sample {of.sample}"
    parts = [of.layer or "(model)", where, f"{beyond:,} not finite" if beyond else ""]
    return HistogramShown(
        edges.cpu().numpy(),
        counts.cpu().numpy(),
        " · ".join(part for part in parts if part),
        f"{NAMES[of.show]}, {reader.name(of, channel)}",
        "numbers",
    )
