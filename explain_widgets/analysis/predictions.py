"""What class scores say: the predicted class, its probability, the loss against a label."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

# Scores that sum to one this closely, none below zero, are probabilities already.
_SUM_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Prediction:
    """What a model says about one sample.

    Attributes
    ----------
    index
        The class of the largest score; None where the model returns a single number.
    value
        The probability of that class; of a single number, the number itself.
    loss
        Cross-entropy against the label, −ln of its probability; None without label or classes.
    count
        How many classes there are.
    as_they_are
        The scores are probabilities: no softmax was taken.
    """

    index: int | None
    value: float
    loss: float | None
    count: int
    as_they_are: bool = False

    @property
    def answer(self) -> int | float:
        """The class, or the single number."""
        return self.value if self.index is None else self.index

    @property
    def probability(self) -> float | None:
        """The probability of the class; None where the model returns a single number."""
        return None if self.index is None else self.value


def are_probabilities(scores: Tensor) -> bool:
    """Whether ``scores``, (classes,), are probabilities already: of a model that ends in a softmax.

    Examples
    --------
    >>> import torch
    >>> are_probabilities(torch.tensor([0.25, 0.75])), are_probabilities(torch.tensor([0.25, 0.25]))
    (True, False)
    """
    return float(scores.min()) >= 0 and abs(float(scores.double().sum()) - 1) < _SUM_TOLERANCE


def predicted(scores: Tensor, label: int | None = None) -> Prediction:
    """The prediction in ``scores``, (classes,); a single score is a value, no class.

    Probabilities are the softmax of the scores, unless the scores are probabilities already (a
    model that ends in a softmax).

    Examples
    --------
    >>> import torch
    >>> found = predicted(torch.tensor([0.0, 2.0]), label=0)
    >>> found.index, round(found.value, 4), round(found.loss, 4)
    (1, 0.8808, 2.1269)
    """
    scores = scores.detach().double().cpu()
    count = scores.numel()
    if count == 1:
        return Prediction(None, float(scores), None, count)
    as_they_are = are_probabilities(scores)
    logarithms = scores.log() if as_they_are else scores.log_softmax(0)
    index = int(scores.argmax())
    has_loss = label is not None and 0 <= label < count
    loss = 0.0 - float(logarithms[label]) if has_loss else None
    return Prediction(index, float(logarithms[index].exp()), loss, count, as_they_are)
