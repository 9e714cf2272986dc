"""What answers the requests of attribution explorers; see docs/protocol.md."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.live.errors import TargetError
from explain_widgets.live.feature_reader import FeatureLayer
from explain_widgets.live.model import LiveModel
from explain_widgets.live.targets import scores_in
from explain_widgets.pictures.quantise import signed_picture
from explain_widgets.widgets.answers import exact
from explain_widgets.widgets.attribution.asked import Asked, Handling, Questions, handling
from explain_widgets.widgets.attribution.forms import limit_of, scores_of
from explain_widgets.widgets.attribution.parameters import PARAMETER_WORDS, parameter_norms
from explain_widgets.widgets.attribution.trust import TrustAnswers
from explain_widgets.widgets.attribution.words import (
    footer,
    losses_message,
    method_message,
    statistics_message,
    target_words,
    title_of,
    unit_of,
)
from explain_widgets.widgets.features.words import overlay_message, size_of
from explain_widgets.widgets.layers import MapsAnswers
from explain_widgets.widgets.protocol import Reply
from explain_widgets.widgets.targets import classes_message
from explain_widgets.widgets.tokens import token_message

_PARTIAL_SECONDS = 0.25


class AttributionAnswers(TrustAnswers, MapsAnswers):
    """Answers from the attributions of a live model.

    Attributes
    ----------
    questions
        Reads what selections ask for.
    layers
        The layers of the sample that was described last.
    """

    def __init__(self, live: LiveModel) -> None:
        super().__init__(live.samples)
        self._live = live
        self.questions = Questions(live)
        self.layers: list[FeatureLayer] = live.feature_layers()

    def answer_sample(self, selection: dict[str, Any]) -> Reply:
        """What there is to pick from in a sample."""
        index = int(selection["sample"])
        self.layers = self._live.feature_layers(index)
        sample = self._samples[index]
        classes = classes_message(self._live, index)
        return Reply(
            {
                "sample": index,
                "title": sample.title,
                "has_image": sample.image is not None,
                "probabilities": self._probabilities(index) if classes["classes"] else [],
                "has_vocabulary": self._has_vocabulary(index, classes["classes"]),
                "tokens": [token_message(token) for token in sample.tokens or ()],
                "positions": self._positions(index),
                "losses": losses_message(sample),
                "methods": [method_message(one) for one in self._live.attribution_methods(index)],
                "layers": [{"name": one.name, "size": size_of(one)} for one in self.layers],
                **classes,
                "footer": self._live.status,
            }
        )

    def _has_vocabulary(self, index: int, classes: list[str]) -> bool:
        """Whether the output is about tokens, too many for a menu."""
        if classes or not self._samples.reads_text:
            return False
        try:
            return self._live.class_scores(index).numel() > 1
        except TargetError:
            return False

    def _positions(self, index: int) -> int:
        """How many positions of the output have scores of their own; 0: there is one row."""
        scores = scores_in(self._live.output(index))
        return scores.shape[1] if isinstance(scores, Tensor) and scores.ndim == 3 else 0

    def _probabilities(self, index: int) -> list[float]:
        probabilities: list[float] = self._live.class_scores(index).double().softmax(0).tolist()
        return probabilities

    def answer_token(self, selection: dict[str, Any]) -> Reply:
        """The index in the vocabulary of a token that was typed in."""
        return Reply({"target": self._samples.token_id(str(selection["text"]))})

    def answer_cost(self, selection: dict[str, Any]) -> Reply:
        """What a method will take, in words."""
        asked = self.questions.asked(selection)
        return Reply({"words": self._live.attribution_cost(**asked.call).words})

    answer_other_cost = answer_cost

    def answer_attribution(self, selection: dict[str, Any]) -> Iterator[Reply | None]:
        """An attribution, refined step by step where the method is."""
        asked, how = self.questions.asked(selection), handling(selection)
        sent = float("-inf")
        for found in self._live.attribution_steps(**asked.call):
            if found.is_final or time.monotonic() - sent > _PARTIAL_SECONDS:
                sent = time.monotonic()
                yield self._shown(asked, how, found)
            else:
                yield None

    answer_other = answer_attribution

    def _shown(self, asked: Asked, how: Handling, found: Attribution) -> Reply:
        sample = self._samples[asked.sample]
        scores = scores_of(self._live, sample, found, how)
        limit, clipped = limit_of(scores.values, how.clip)
        height, width = scores.values.shape
        overlay = None
        if scores.on_image:
            whole = {"top": 0.0, "left": 0.0, "height": 1.0, "width": 1.0}
            alignment = scores.alignment
            placed = alignment and overlay_message(alignment, (height, width))
            overlay = whole if alignment is None else placed
        arrays: dict[str, Any] = {"values": exact(scores.values)}
        if scores.form == "map":
            arrays["map"] = signed_picture(scores.values.float().cpu().numpy(), limit)
        words = self.target_words(asked)
        content = {
            "form": scores.form,
            "title": title_of(asked, words, found.layer),
            "words": unit_of(asked, how),
            "height": height,
            "width": width,
            "overlay": overlay,
            "tokens": [token_message(token) for token in scores.tokens],
            "names": list(scores.names),
            "limit": limit,
            "clipped": clipped,
            "statistics": statistics_message(found, scores, clipped),
            "note": found.note,
            "step": found.step,
            "steps": found.steps,
            "footer": footer(self._live, asked, scores, limit),
        }
        return Reply(content, arrays)

    def target_words(self, asked: Asked) -> str:
        """The target of what is asked, in words."""
        try:
            scores = self._scores_at(asked)
        except TargetError:
            predicted, count = None, 0
        else:
            predicted, count = int(scores.argmax()), scores.numel()
        words = target_words(asked.sent, self._samples[asked.sample], predicted, count)
        return words if asked.position is None else f"{words} at position {asked.position}"

    def _scores_at(self, asked: Asked) -> Tensor:
        """The scores that classes are predicted from, at the position that is asked about."""
        if asked.position is None:
            return self._live.class_scores(asked.sample)
        scores: Tensor = scores_in(self._live.output(asked.sample))
        return scores[0, asked.position]

    def answer_parameters(self, selection: dict[str, Any]) -> Reply:
        """One number for each tensor of parameters."""
        sample, measure = int(selection["sample"]), str(selection["measure"])
        target = self.questions.target(selection.get("target"), selection.get("position"))
        rows = parameter_norms(self._live, sample, target, measure)
        return Reply(
            {
                "names": [row.name for row in rows],
                "modules": [row.module for row in rows],
                "states": [row.state for row in rows],
                "words": PARAMETER_WORDS[measure],
                "footer": " · ".join(
                    part for part in (f"{len(rows)} tensors", self._live.status) if part
                ),
            },
            {"values": np.array([row.value for row in rows], np.float32)},
        )
