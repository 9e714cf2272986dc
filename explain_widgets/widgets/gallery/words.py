"""What the gallery says: cards and predictions as they are sent, how pictures were made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from explain_widgets.analysis.predictions import Prediction
from explain_widgets.live.samples import Samples
from explain_widgets.widgets.gallery.cards import Card
from explain_widgets.widgets.gallery.pages import Page
from explain_widgets.widgets.gallery.ranking import View, is_wrong

_STRETCHED = "stretched: "
_MOST_NOTES = 2


def class_text(samples: Samples, index: int, count: int) -> str:
    """A class as captions call it: by its name, else by its number."""
    named = samples.class_name(index, count)
    return str(index) if named is None else named


def label_texts(class_names: Any) -> list[tuple[Any, str]]:
    """The labels that have names, and these."""
    if class_names is None:
        return []
    is_mapping = isinstance(class_names, Mapping)
    items = class_names.items() if is_mapping else enumerate(class_names)
    return [(value, str(name)) for value, name in items if isinstance(value, int | str)]


def card_message(card: Card, thumbnail: tuple[int, tuple[int, int]] | None) -> dict[str, Any]:
    """A card as it is sent; ``thumbnail``: which one it has, and its height and width."""
    message = {
        "index": card.index,
        "title": card.title,
        "label": card.label.text,
        "note": card.note or "",
        "text": card.text,
        "names": card.names,
        "values": [finite(value) for value in card.values],
        "more": card.more,
        "shape": card.shape,
        "problem": card.problem,
        "thumbnail": None,
    }
    if card.image is not None and thumbnail is not None:
        place, box = thumbnail
        message["thumbnail"] = {"place": place, "size": box, "of": card.image_size}
    return message


def prediction_message(
    card: Card, found: Prediction | None, samples: Samples
) -> dict[str, Any] | None:
    """A prediction as it is sent; None: there is none, or not yet."""
    if found is None:
        return None
    return {
        "class": None if found.index is None else class_text(samples, found.index, found.count),
        "value": finite(found.value),
        "loss": finite(found.loss),
        "wrong": is_wrong(card.label, found),
    }


def notes(page: Page, boxes: Sequence[tuple[int, int]]) -> Iterator[str]:
    """How what is on the page was made, each way once; ``boxes``: sizes of its thumbnails."""
    made = list(dict.fromkeys(card.note for card in page.cards if card.note))
    if sum(note.startswith(_STRETCHED) for note in made) > 1:
        made = [note for note in made if not note.startswith(_STRETCHED)]
        made.append("each stretched from its lowest to its highest value as black…white")
    if made:
        more = len(made) - _MOST_NOTES
        pictures = "; ".join(made[:_MOST_NOTES]) + (f" and {more} other ways" if more > 0 else "")
        yield f"pictures: {pictures}"
    pictured = [card for card in page.cards if card.image is not None]
    pairs = zip(pictured, boxes, strict=True)
    side = max((card.image_size[0] / box[0] for card, box in pairs), default=1.0)
    if side > 1:
        yield f"each pixel the mean of up to {side:.3g} × {side:.3g}"
    known = [found for found in page.predictions if found is not None and found.index is not None]
    if known:
        own = all(found.as_they_are for found in known)
        yield "probabilities as the model returns them" if own else "probabilities: softmax"


def finite(value: float | None) -> float | None:
    """A number as it is sent: those that are none as None."""
    return value if value is not None and math.isfinite(value) else None


def caption(card: Card, found: Prediction | None, samples: Samples, with_loss: bool) -> str:
    """What stands below a sample: its label, what is predicted and with which probability."""
    label = card.label.text
    if found is None:
        return label or ""
    if found.index is None:
        said = f"{found.value:.4g}" if label is None else f"{label} → {found.value:.4g}"
    else:
        named = class_text(samples, found.index, found.count)
        differs = label is not None and label != named
        said = f"{label} → {named}" if differs else named
        said += f" · {found.value:.2f}"
    wrong = "✗ " if is_wrong(card.label, found) else ""
    loss = f"\nloss {found.loss:.2f}" if with_loss and found.loss is not None else ""
    return wrong + said + loss


def card_text(card: Card) -> str:
    """What a sample that is no image is shown as, in lines."""
    if card.text is not None or not card.values:
        return card.text or card.shape
    rows = [f"{name}  {value:.4g}" for name, value in zip(card.names, card.values, strict=True)]
    return "\n".join([*rows, *([f"… {card.more:,} more"] if card.more else [])])


def heading(
    page: Page, view: View, noun: str, there: int, is_open: bool, chosen: Sequence[str]
) -> str:
    """What is on the page, in one line.

    Parameters
    ----------
    page, view
        What is shown.
    noun
        What a sample is called.
    there, is_open
        How many samples there are, and whether there may be more than these.
    chosen
        The label and the predicted class that are picked, by name.
    """
    plural = "" if there == 1 else "s"
    parts = [f"{there:,} {noun}{plural}" + (" read so far" if is_open else "")]
    if chosen or view.wrong_only:
        parts[0] = f"{page.total:,} of {parts[0]}"
    parts += chosen
    parts += ["wrong only"] if view.wrong_only else []
    if view.order != "index" or view.descending:
        way = "largest first" if view.descending else "smallest first"
        parts.append(f"by {view.order}, {way}")
    if page.searched < there:
        what = "predicted" if view.needs_predictions else "read"
        parts.append(f"among the {page.searched:,} {what}")
    return " · ".join(parts)
