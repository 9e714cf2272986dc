"""Many altered versions of a sample in one run: against the model called on each by itself."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from small_models import IMAGES, Cnn, Draws, X
from snapshot import untouched
from torch import Tensor, nn

import explain_widgets as xw


class Two(nn.Module):
    """Two inputs, a mask among them, and a dictionary as output."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, ids: Tensor, *, scale: Tensor, mask: Tensor) -> dict[str, Tensor]:
        words = self.embed(ids) * mask[..., None]
        return {"logits": self.head(words.mean(1) * scale), "words": words}


class Mixes(nn.Module):
    """Entries of a batch influence each other."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.mean(1) - x.mean((0, 1)) / 2)


class OneOnly(nn.Module):
    """Takes one sample at a time."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(1, -1)[:, :4]


def test_scores_and_gradients_are_those_of_each_alone() -> None:
    model = Cnn().eval()
    live = xw.LiveModel(model, IMAGES)
    altered = torch.randn(70, 3, 8, 8)
    with untouched(model):
        batches = live.batches(sample=1)
        scores = batches.scores({"0": altered})
        passed = batches.gradients({"0": altered}, ("0", ("features.2", "")))
    expected = model(IMAGES[1:2])[0].argmax()
    assert batches.target == expected
    one = [model(image[None])[0, expected] for image in altered]
    assert torch.allclose(scores, torch.stack(one), atol=1e-6)
    leaf = altered.clone().requires_grad_()
    maps = model.features[:3](leaf)
    out = model.head(model.features[3:](maps.clone()).mean((2, 3)))[:, expected].sum()
    by_input, by_maps = torch.autograd.grad(out, [leaf, maps])
    assert torch.allclose(passed.gradients["0"], by_input, atol=1e-6)
    assert torch.allclose(passed.gradients["features.2", ""], by_maps, atol=1e-6)
    assert torch.allclose(passed.activations["features.2", ""], maps, atol=1e-6)


def test_ids_what_calls_return_and_what_is_repeated() -> None:
    model = Two().eval()
    inputs = {
        "ids": torch.randint(11, (3, 5)),
        "scale": torch.rand(3, 6),
        "mask": torch.tensor([[1, 1, 1, 1, 0]] * 3),
    }
    live = xw.LiveModel(model, inputs)
    batches = live.batches(sample=2, target=1)
    rest = {name: inputs[name][2:].repeat(7, 1) for name in ("scale", "mask")}
    ids = torch.randint(11, (7, 5))
    expected = model(ids, **rest)["logits"][:, 1]
    assert torch.allclose(batches.scores({"ids": ids}), expected, atol=1e-6)
    words = model.embed(ids).detach().requires_grad_()
    spot = ("embed", "")
    passed = batches.gradients({spot: words.detach()}, (spot,))
    expected = model.head((words * rest["mask"][..., None]).mean(1) * rest["scale"])[:, 1]
    (gradient,) = torch.autograd.grad(expected.sum(), words)
    assert torch.allclose(passed.scores, expected, atol=1e-6)
    assert torch.allclose(passed.gradients[spot], gradient, atol=1e-6)


@pytest.mark.parametrize(("model", "x"), [(Mixes(), X), (OneOnly(), IMAGES)])
def test_entries_that_influence_each_other_are_run_one_by_one(model: nn.Module, x: Tensor) -> None:
    batches = xw.LiveModel(model, x).batches(target=1)
    altered = torch.randn(4, *x.shape[1:])
    expected = torch.stack([model(one[None])[0, 1] for one in altered])
    assert torch.allclose(batches.scores({"0": altered}), expected, atol=1e-6)
    assert "one by one" in batches.note
    gradients = batches.gradients({"0": altered}, ("0",)).gradients["0"]
    leaf = altered[2:3].clone().requires_grad_()
    (one,) = torch.autograd.grad(model(leaf)[0, 1], leaf)
    assert torch.allclose(gradients[2:3], one, atol=1e-6)


def test_a_model_that_writes_into_its_input_leaves_the_samples_as_they_are() -> None:
    class Centred(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sub_(1).relu_().flatten(1)

    data = X.clone()
    live = xw.LiveModel(Centred(), data)
    assert float(live.output(0)[0, 0]) == pytest.approx(float(X[0, 0, 0]) - 1)
    altered = torch.full((2, 5, 8), 3.0)
    gradients = live.batches(0, 3).gradients({"0": altered}, ("0",)).gradients["0"]
    assert gradients.flatten(1).nonzero().tolist() == [[0, 3], [1, 3]]
    assert torch.equal(data, X)
    assert torch.equal(altered, torch.full((2, 5, 8), 3.0))


@pytest.mark.parametrize(
    ("loss", "label", "expected"),
    [
        ("cross_entropy", 2, lambda out: F.cross_entropy(out, torch.tensor([2]))),
        ("mse", [1.0, 2.0, 3.0, 4.0], lambda out: (out - torch.arange(1.0, 5)).square().mean()),
        ("mse", 2, lambda out: (out - torch.eye(4)[2]).square().mean()),
        (
            "binary_cross_entropy",
            [0, 1, 1, 0],
            lambda out: F.binary_cross_entropy_with_logits(out, torch.tensor([[0.0, 1, 1, 0]])),
        ),
    ],
)
def test_losses_are_targets_everywhere(loss: str, label: object, expected: object) -> None:
    model = Cnn().eval()
    live = xw.LiveModel(model, IMAGES, labels=[label] * 3)
    leaf = IMAGES[:1].clone().requires_grad_()
    value = expected(model(leaf))  # type: ignore[operator]
    (gradient,) = torch.autograd.grad(value, leaf)
    assert live.batches(0, loss).score == pytest.approx(value.item(), rel=1e-6)
    assert torch.allclose(live.gradient("input", 0, loss), gradient, atol=1e-6)
    assert live.gradient("head", 0, loss).shape == (1, 4)


def test_losses_that_cannot_be_taken() -> None:
    live = xw.LiveModel(Cnn().eval(), IMAGES, labels=[0, 9, None])
    for loss, sample, said in [
        ("hinge", 0, 'is no loss: write "cross_entropy"'),
        ("cross_entropy", 1, "The label 9 is none of the classes 0 to 3"),
        ("mse", 1, "has 1 values and the output 4"),
    ]:
        with pytest.raises(xw.TargetError, match=said):
            live.gradient("input", sample, loss)
    with pytest.raises(xw.TargetError, match="pass labels="):
        xw.LiveModel(Cnn().eval(), IMAGES).gradient("input", 0, "mse")


def test_a_model_that_draws_leaves_the_generators_alone() -> None:
    model = Draws()
    with untouched(model):
        xw.LiveModel(model, X).batches(0, 1).scores(
            {"0": torch.randn(3, 5, 8, generator=torch.Generator())}
        )
