"""What a method of attribution is, and which options it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from explain_widgets.analysis.attribution import Attribution
from explain_widgets.live.attribution.facts import Facts

LayerUse: TypeAlias = Literal["never", "optional", "required"]


@dataclass(frozen=True)
class Option:
    """One option of a method.

    Attributes
    ----------
    name, default
        As it is given.
    words
        What it does.
    low, high
        Between which numbers it is; None: no limit.
    choices
        Which values it may have; empty: any.
    """

    name: str
    default: Any
    words: str
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()

    def check(self, value: Any) -> None:
        """Raise ValueError for a value that it cannot have."""
        if self.choices and value not in self.choices:
            listed = ", ".join(map(repr, self.choices))
            raise ValueError(f"{self.name}={value!r} must be one of {listed}.")
        if self.low is None or value is None:
            return
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        is_whole = not isinstance(self.default, int) or isinstance(value, int)
        above = self.high is not None and is_number and value > self.high
        if not is_number or not is_whole or value < self.low or above:
            limits = f"{self.low:g} or more" if self.high is None else f"{self.low:g}…{self.high:g}"
            raise ValueError(f"{self.name}={value!r} must be a number, {limits}.")


@dataclass(frozen=True)
class Passes:
    """How often the model runs: forwards without gradients, and forwards with a backward."""

    forwards: float = 0
    backwards: float = 0


@dataclass(frozen=True)
class Method:
    """A method of attribution.

    Attributes
    ----------
    name, title
        As it is asked for, and as people call it.
    definition
        What its values are, in one line.
    source
        Where it was published.
    work
        Called with the question and the options; gives refined attributions.
    passes
        How often the model runs, by the options and the number of features or windows.
    options
        What it takes beside a layer, with defaults.
    layer
        Whether it attributes to a layer.
    needs_baseline
        Whether the input is compared with a baseline.
    is_progressive
        Whether there are results on the way.
    of_neuron
        Whether the target is a neuron of the layer: ``neuron_selector`` picks it.
    limit
        Why it has no answer for a forward, or "".
    reason
        That answer for the model and the sample that were asked about; "": it can be used.
    """

    name: str
    title: str
    definition: str
    source: str
    work: Callable[..., Iterator[Attribution]]
    passes: Callable[[Mapping[str, Any], int], Passes]
    options: tuple[Option, ...] = ()
    layer: LayerUse = "never"
    is_progressive: bool = False
    of_neuron: bool = False
    limit: Callable[[Facts], str] | None = None
    reason: str = ""

    @property
    def needs_baseline(self) -> bool:
        """Whether the input is compared with a baseline."""
        return any(option.name == "baselines" for option in self.options)

    def filled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options with their defaults.

        Raises
        ------
        TypeError
            When there is no such option.
        ValueError
            When one is out of its range.
        """
        known = {option.name: option for option in self.options}
        for name, value in given.items():
            if name not in known:
                listed = ", ".join(known) or "none"
                raise TypeError(f"{self.name} has no option {name!r}; its options are {listed}.")
            known[name].check(value)
        return {name: given.get(name, option.default) for name, option in known.items()}
