"""How far methods agree with each other, over samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from explain_widgets.analysis.ranks import agreement
from explain_widgets.live.access import Access
from explain_widgets.live.targets import Target
from explain_widgets.live.trust.picks import Methods, picked
from explain_widgets.live.trust.replaceable import replaceable

if TYPE_CHECKING:
    from explain_widgets.live.model import LiveModel


@dataclass(frozen=True, eq=False)
class Agreement:
    """The rank correlations of methods with each other, so far.

    Attributes
    ----------
    names
        Of the methods.
    samples
        The samples that were asked about.
    matrices
        (samples, methods, methods), float64, −1…1; NaN where a method tells no features apart.
    count
        How many samples there will be.
    """

    names: tuple[str, ...]
    samples: tuple[int, ...]
    matrices: Tensor
    count: int

    @property
    def mean(self) -> Tensor:
        """(methods, methods): the mean over the samples where both tell features apart."""
        return self.matrices.nanmean(0)


def agreement_steps(
    live: LiveModel,
    access: Access,
    methods: Methods,
    samples: Iterable[int],
    target: Target = None,
    absolute: bool = False,
    patch: int | None = None,
) -> Iterator[Agreement]:
    """The agreement of methods, over more and more samples; see `LiveModel.agreement`."""
    asked, indices = picked(methods), list(samples)
    if not indices:
        raise ValueError("samples must be one or more indices.")
    found: list[list[Tensor]] = []
    for done, sample in enumerate(indices, 1):
        with access.reading():
            loaded = access.sample(sample)
        features = replaceable(access, loaded, patch=patch)
        goal = live.batches(sample, target).target
        sums = [features.sums(one.attribute(live, sample, goal)) for one in asked]
        found.append([one.abs() for one in sums] if absolute else sums)
        names = tuple(one.name for one in asked)
        yield Agreement(names, tuple(indices[:done]), agreement(found), len(indices))
