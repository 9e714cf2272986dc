"""How far methods agree with each other, over samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor

from explain_widgets.analysis.ranks import agreement
from explain_widgets.live.targets import Target
from explain_widgets.live.trust.picks import Methods, picked
from explain_widgets.live.trust.replaceable import replaceable
from explain_widgets.live.trust.side import Side, last_of


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


class Agreements(Side):
    """The side of a `LiveModel` that is asked how far methods agree."""

    def agreement_steps(
        self,
        methods: Methods,
        samples: Iterable[int] = (0,),
        target: Target = None,
        *,
        absolute: bool = False,
        patch: int | None = None,
    ) -> Iterator[Agreement]:
        """How alike methods order the features of samples: Spearman's rank correlations.

        ``agreement_steps`` answers over more and more samples; between two steps others may ask.

        Parameters
        ----------
        methods
            Names of methods; or a mapping from any names to options: ``method``, ``layer`` and
            those of the method.
        samples
            Indices of samples.
        target
            As in `attribute`; None: the class that is predicted for each sample.
        absolute
            Of magnitudes.
        patch
            As in `faithfulness`.

        Raises
        ------
        FeatureError
            When an attribution does not lie on the features of its sample.

        Examples
        --------
        >>> import torch, explain_widgets as xw
        >>> live = xw.LiveModel(torch.nn.Linear(6, 3), torch.randn(4, 6))
        >>> live.agreement(["gradient", "input_x_gradient"], samples=range(4)).matrices.shape
        torch.Size([4, 2, 2])
        """
        asked, indices = picked(methods), list(samples)
        if not indices:
            raise ValueError("samples must be one or more indices.")
        found: list[list[Tensor]] = []
        for done, sample in enumerate(indices, 1):
            with self._access.reading():
                loaded = self._access.sample(sample)
            features = replaceable(self._access, loaded, patch=patch)
            goal = self._live.batches(sample, target).target
            sums = [features.sums(one.attribute(self._live, sample, goal)) for one in asked]
            found.append([one.abs() for one in sums] if absolute else sums)
            names = tuple(one.name for one in asked)
            yield Agreement(names, tuple(indices[:done]), agreement(found), len(indices))

    agreement = last_of(agreement_steps)
