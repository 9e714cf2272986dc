"""What an attribution says about small changes, and what comes true: infidelity and sensitivity.

After Yeh, Hsieh, Suggala, Inouye and Ravikumar (2019), "On the (In)fidelity and Sensitivity of
Explanations". And the completeness gap: what an attribution that should add up leaves over.
"""

from __future__ import annotations

import torch
from torch import Tensor


def infidelity(explained: Tensor, changes: Tensor, scaled: bool = False) -> float:
    """How far an attribution is off when it foretells changes of the output.

    INFD(Φ, f, x) = E_I[(IᵀΦ − (f(x) − f(x − I)))²], over perturbations I of the input (definition
    2.1 of Yeh et al. 2019). Where Φ is in shares of the output (input × gradient, integrated
    gradients), I is 1 for what is replaced by the baseline and 0 else; where it is a gradient, I
    is what is taken off the input.

    Parameters
    ----------
    explained
        (n,): IᵀΦ for each perturbation.
    changes
        (n,): f(x) − f(x − I) for each.
    scaled
        Of β Φ in the place of Φ, with the β that makes it smallest,
        β = E[IᵀΦ (f(x) − f(x − I))] / E[(IᵀΦ)²]: for attributions of which only the proportions
        mean something.

    Returns
    -------
    float
        0 or more, in squares of the unit of the output; 0: all changes are foretold.

    Raises
    ------
    ValueError
        When the shapes differ or there is no perturbation.

    Examples
    --------
    >>> explained, changes = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0])
    >>> infidelity(explained, changes), infidelity(explained, changes, scaled=True)
    (2.5, 0.0)
    """
    if explained.ndim != 1 or explained.shape != changes.shape or len(changes) == 0:
        raise ValueError(
            f"explained {tuple(explained.shape)} and changes {tuple(changes.shape)} must both be "
            "(n,), one number or more for each perturbation."
        )
    said, came = explained.double(), changes.to(explained.device).double()
    if scaled:
        square = said.square().sum()
        said = said * torch.where(square == 0, 0.0, (said * came).sum() / square)
    return float((said - came).square().mean())


def sensitivity(attribution: Tensor, perturbed: Tensor) -> Tensor:
    """How far an attribution moves when its input moves a little; the largest is SENS_MAX.

    ‖Φ(f, y) − Φ(f, x)‖₂ / ‖Φ(f, x)‖₂ for each of some y with ‖y − x‖∞ ≤ r. SENS_MAX of Yeh et al.
    2019 (definition 3.1) is the largest of them, which they write without the division.

    Parameters
    ----------
    attribution
        Any shape: that of the input x.
    perturbed
        (n, *shape): those of the inputs y.

    Returns
    -------
    Tensor
        (n,), float64, 0 or more. An attribution that is 0 everywhere is not divided by its norm.

    Raises
    ------
    ValueError
        When the shapes do not fit or n is 0.

    Examples
    --------
    >>> sensitivity(torch.tensor([3.0, 4.0]), torch.tensor([[3.0, 4.0], [3.0, 5.0]])).tolist()
    [0.0, 0.2]
    """
    if perturbed.shape[1:] != attribution.shape or perturbed.ndim < 1 or len(perturbed) == 0:
        raise ValueError(
            f"perturbed {tuple(perturbed.shape)} must be one or more attributions of shape "
            f"{tuple(attribution.shape)}."
        )
    here, there = attribution.detach().double(), perturbed.detach().double()
    length = torch.linalg.vector_norm(here)
    moved = torch.linalg.vector_norm((there - here).flatten(1), dim=1)
    return moved / torch.where(length == 0, 1.0, length)


def random_removals(count: int, features: int, generator: torch.Generator) -> Tensor:
    """Masks that keep a random share of features: all sizes alike likely, at least one goes.

    The number that goes is drawn evenly from 1…features, then which they are: small and large
    removals count alike, as in sensitivity-n over all n (Ancona et al. 2018, "Towards better
    understanding of gradient-based attribution methods").

    Returns
    -------
    Tensor
        (count, features), bool, on the device of ``generator``: True where a feature is kept.

    Examples
    --------
    >>> keep = random_removals(5, 8, torch.Generator().manual_seed(0))
    >>> keep.shape, bool(keep.all(1).any())
    (torch.Size([5, 8]), False)
    """
    device = generator.device
    sizes = torch.randint(1, features + 1, (count, 1), generator=generator, device=device)
    draws = torch.rand((count, features), generator=generator, device=device, dtype=torch.float32)
    return draws.argsort(1).argsort(1) >= sizes


def completeness_gap(total: float, at_input: float, at_baseline: float) -> float:
    """What an attribution that should add up leaves over: Σ Φ − (f(x) − f(x′)).

    Completeness (Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks",
    proposition 1): the attributions of all inputs add up to the difference between the outputs at
    the input x and at the baseline x′. Numerical integration leaves a gap, and so do methods that
    promise nothing.

    Returns
    -------
    float
        In the unit of the output; 0: complete, above 0: too much was handed out.

    Examples
    --------
    >>> completeness_gap(0.5, at_input=2.0, at_baseline=1.5)
    0.0
    """
    return total - (at_input - at_baseline)
