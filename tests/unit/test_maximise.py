"""The input that maximises a channel, a unit or a class: against the samples, beside everything."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_models import IMAGES, UNCOPYABLE, WIDTH, Classifier, Cnn, Draws, Recurrent, X
from snapshot import untouched
from threads import in_thread
from torch import Tensor, nn

import explain_widgets as xw
from explain_widgets.live.ascent import AscentStep


class Classic(nn.Module):
    """The classic convolutional network, for digits of 28 × 28."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.relu = nn.ReLU(inplace=True)
        self.linear1, self.linear2 = nn.Linear(400, 120), nn.Linear(120, 84)
        self.head = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.relu(self.conv1(x)), 2)
        x = F.max_pool2d(self.relu(self.conv2(x)), 2).flatten(1)
        return self.head(F.relu(self.linear2(F.relu(self.linear1(x)))))


@pytest.fixture(scope="module")
def digits() -> tuple[Classic, Tensor, Tensor]:
    """Trained in a few seconds; with all images (0…1) and labels."""
    from sklearn.datasets import load_digits

    torch.manual_seed(0)
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    images = F.interpolate(images, (28, 28), mode="bilinear")
    labels = torch.tensor(data.target)
    model = Classic()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    order = torch.randperm(len(images))
    train, test = order[:1400], order[1400:]
    for _ in range(10):
        for batch in train[torch.randperm(1400)].split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    model.zero_grad()
    model.eval()
    with torch.no_grad():
        assert (model(images[test]).argmax(1) == labels[test]).float().mean() > 0.95
    return model, images, labels


# --- what is found ----------------------------------------------------------------------------


def test_pictures_of_classes(digits: Any) -> None:
    """Each is its class beyond all samples, and looks like that digit rather than another."""
    model, images, labels = digits
    live = xw.LiveModel(model, images, labels=labels)
    with torch.no_grad():
        best = model(images).amax(0)
    means = torch.stack([images[labels == digit].mean(0).flatten() for digit in range(10)])
    looks_right = 0
    for digit in range(10):
        steps = list(live.maximise(None, digit, steps=48))
        last = steps[-1]
        assert len(steps) == 49
        assert last.value > max(steps[0].value, float(best[digit]))
        with torch.no_grad():
            scores = model(last.image)[0]
        assert last.value == pytest.approx(float(scores[digit]), rel=1e-5)
        assert int(scores.argmax()) == digit
        likeness = torch.corrcoef(torch.cat([last.image.flatten()[None], means]))[0, 1:]
        looks_right += int(likeness.argmax()) == digit
    assert looks_right >= 7  # by chance: 1


@pytest.mark.parametrize("layer", ["conv1", "relu", "conv2", "relu:1", "linear1"])
@pytest.mark.parametrize("parametrisation", ["frequency", "pixels"])
def test_pictures_of_channels(digits: Any, layer: str, parametrisation: Any) -> None:
    model, images, _ = digits
    live = xw.LiveModel(model, images[:50])
    samples = torch.cat([live.activation(layer, index) for index in range(50)])
    means = samples.flatten(2).mean(2) if samples.ndim > 2 else samples
    channel = int(means.amax(0).argmax())
    steps = list(live.maximise(layer, channel, steps=24, parametrisation=parametrisation))
    last = steps[-1]
    assert last.value > max(steps[0].value, float(means[:, channel].max()))
    shown = xw.LiveModel(model, last.image).activation(layer)[0, channel]
    assert last.value == pytest.approx(float(shown.mean()), rel=1e-4)
    assert 0 <= float(last.image.min()) < float(last.image.max()) <= 1


def test_a_unit_is_moved_by_what_it_sees_alone(digits: Any) -> None:
    model, images, _ = digits
    live = xw.LiveModel(model, images[:50])
    last = live.maximised("conv2", 3, position=(5, 5), steps=24, jitter=0)
    with torch.no_grad():
        pooled = F.max_pool2d(F.relu(model.conv1(last.image)), 2)
        assert last.value == pytest.approx(float(model.conv2(pooled)[0, 3, 5, 5]))
    assert last.value > max(float(live.activation("conv2", i)[0, 3, 5, 5]) for i in range(50))
    # Its field are the rows and columns 8 to 21; turning and scaling bring others near.
    seen = torch.zeros(28, 28, dtype=torch.bool)
    seen[6:24, 6:24] = True
    inside, elsewhere = last.image[0, 0][seen], last.image[0, 0][~seen]
    assert float(elsewhere.std()) < float(inside.std()) / 4


def test_squares_show_a_pattern_where_the_mean_is_maximised_by_a_plain_picture() -> None:
    """As of a first convolution: an edge answers to stripes, on average to nothing."""
    edge = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular", bias=False)
    with torch.no_grad():
        edge.weight[:] = torch.tensor([-1.0, 0, 1]).expand(3, 3)
    live = xw.LiveModel(edge, torch.rand(4, 1, 24, 24))
    last = live.maximised("", 0, reduce="squares", steps=32)
    with torch.no_grad():
        answer = edge(last.image)
    assert last.value == pytest.approx(float(answer.relu().square().mean()), rel=1e-5)
    across, down = (last.image.diff(dim=axis).abs().mean() for axis in (3, 2))
    assert float(across) > 2 * float(down)


def test_any_callable_of_the_activation_or_the_output(digits: Any) -> None:
    model, images, _ = digits
    live = xw.LiveModel(model, images[:10])
    margin = live.maximised(None, lambda output: output[0, 3] - output[0, 8], steps=16)
    with torch.no_grad():
        scores = model(margin.image)[0]
    assert margin.value == pytest.approx(float(scores[3] - scores[8]), rel=1e-4)
    both = live.maximised("conv2", lambda maps: maps[0, 1].mean() + maps[0, 2].mean(), steps=16)
    shown = xw.LiveModel(model, both.image).activation("conv2")[0]
    assert both.value == pytest.approx(float(shown[1].mean() + shown[2].mean()), rel=1e-4)


def test_from_the_sample(digits: Any) -> None:
    model, images, _ = digits
    live = xw.LiveModel(model, images)
    steps = list(live.maximise(None, 3, 4, start="sample", steps=24))
    assert (steps[0].image - images[4]).abs().max() < 0.021  # white is not quite white
    with torch.no_grad():
        plain = float(model(images[4:5])[0, 3])
    assert steps[-1].value > plain
    # It stays near the sample: nearer than what was sought from noise.
    far = live.maximised(None, 3, 4, steps=24)
    distances = [(step.image - images[4]).square().mean() for step in (steps[-1], far)]
    assert distances[0] < distances[1]
    assert "from the sample" in steps[0].note


def test_a_silent_channel_is_woken_or_said_to_be_silent() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    with torch.no_grad():
        model[0].weight[:] = torch.tensor([-1.0, 2, -1]).expand(2, 1, 3, 3)
        model[0].bias[:] = torch.tensor([-0.3, -100])
    live = xw.LiveModel(model, torch.rand(2, 1, 16, 16))
    woken = live.maximised("1", 0, steps=24)
    assert woken.value > 0
    assert "begun" in woken.note
    assert "no gradient is felt" not in woken.note
    silent = live.maximised("1", 1, steps=24)
    assert silent.value == 0
    assert "no gradient is felt here" in silent.note


# --- what it may hold -------------------------------------------------------------------------


def test_values_are_those_of_pictures() -> None:
    """Normalised as for ImageNet: known when said, guessed from a photograph."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pictures = (torch.rand(3, 3, 16, 16) * 255).round() / 255
    samples = (pictures - mean[:, None, None]) / std[:, None, None]
    for given in ((mean.tolist(), std.tolist()), None):
        live = xw.LiveModel(Cnn().eval(), xw.Samples(samples, denormalize=given))
        last = live.maximised("features.0", 1, steps=24, decay=0, learning_rate=1)
        undone = last.image * std[:, None, None] + mean[:, None, None]
        assert torch.allclose(undone, last.picture, atol=1e-5)
        assert -1e-5 < float(undone.min()) < 0.1
        assert 0.9 < float(undone.max()) < 1 + 1e-5
        assert "values of pictures" in last.note


def test_values_are_within_those_of_the_samples() -> None:
    table = torch.stack([torch.arange(10.0), torch.full((10,), 3.0), -torch.arange(10.0)], 1)
    live = xw.LiveModel(nn.Linear(3, 2), table)
    last = live.maximised("", 0, steps=64, learning_rate=1, decay=0)
    assert tuple(last.image.shape) == (1, 3)
    assert 0 <= float(last.image[0, 0]) <= 9
    assert float(last.image[0, 1]) == 3
    assert -9 <= float(last.image[0, 2]) <= 0
    with torch.no_grad():
        assert last.value > float(live.model(table)[:, 0].max()) - 0.1
    assert last.note.startswith("values within those of all 10 samples")
    odd = Cnn().eval()
    live = xw.LiveModel(odd, xw.Samples(IMAGES, denormalize=lambda image: image.sigmoid()))
    last = live.maximised("features.0", 1, steps=24, decay=0, learning_rate=1)
    low, high = IMAGES.amin((0, 2, 3)), IMAGES.amax((0, 2, 3))
    assert (last.image.amin((0, 2, 3)) >= low - 1e-5).all()
    assert (last.image.amax((0, 2, 3)) <= high + 1e-5).all()


class Sums(nn.Module):
    """A channel of anything."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x).sum().reshape(1, 1)


@pytest.mark.parametrize(
    "shape",
    [(1, 3, 9, 7), (1, 9, 7, 3), (1, 9, 9), (1, 5, 20), (1, 12), (1, 12, 6, 6), (1, 1, 5, 6, 7),
     (1, 4, 3, 8, 8), (6,)],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_inputs_of_every_form(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    samples = [torch.rand(shape).to(dtype) for _ in range(3)]
    live = xw.LiveModel(Sums(), [(sample, 0) for sample in samples])
    like = live.samples[1].args[0]
    steps = list(live.maximise("", 0, 1, steps=6))
    assert steps[-1].image.shape == like.shape
    assert steps[-1].image.dtype == dtype
    assert steps[-1].value > steps[0].value
    assert steps[-1].image.isfinite().all()
    assert 0 <= float(steps[-1].picture.min()) <= float(steps[-1].picture.max()) <= 1


def test_the_other_inputs_stay_as_they_are() -> None:
    class Asks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.see = nn.Embedding(9, 4), nn.Linear(12, 4)
            self.seen: list[Any] = []

        def forward(self, input_ids: Tensor, image: Tensor, mask: Tensor, scale: Tensor) -> Tensor:
            self.seen.append((input_ids.clone(), mask.clone(), scale.clone()))
            return (self.words(input_ids).mean(1) + self.see(image.flatten(1))) * scale

    data = {
        "mask": torch.ones(2, 5),  # of floating point, and no input to be sought
        "input_ids": torch.arange(10).reshape(2, 5) % 9,
        "image": torch.rand(2, 3, 2, 2),
        "scale": torch.tensor([[2.0], [3.0]]),
    }
    model = Asks()
    live = xw.LiveModel(model, data)
    last = live.maximised("", 2, 1, steps=8)
    assert last.image.shape == (1, 3, 2, 2)
    with torch.no_grad():
        rest = {name: value[1:] for name, value in data.items()}
        expected = model(**{**rest, "image": last.image})[0, 2]
    assert last.value == pytest.approx(float(expected), rel=1e-5)


def test_shapes_that_differ_from_sample_to_sample() -> None:
    samples = [(torch.rand(length, 4), 0) for length in (5, 9, 4)]
    live = xw.LiveModel(nn.Linear(4, 2), samples)
    last = live.maximised("", 1, 1, position=3, steps=8)
    assert last.image.shape == (1, 9, 4)
    assert 0 <= float(last.image.min()) <= float(last.image.max()) <= 1


# --- by seed, and nothing else ----------------------------------------------------------------


def test_the_seed_alone_decides() -> None:
    model = Cnn().eval()
    live = xw.LiveModel(model, IMAGES)
    first = live.maximised("features.3", 1, steps=6, seed=3)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    before = torch.get_rng_state()
    again = live.maximised("features.3", 1, steps=6, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(again.image, first.image)
    assert again.value == first.value
    elsewhere = in_thread(lambda: live.maximised("features.3", 1, steps=6, seed=3))
    assert torch.equal(elsewhere.image, first.image)
    other = live.maximised("features.3", 1, steps=6, seed=4)
    assert not torch.equal(other.image, first.image)
    assert "seed 3" in first.note


@pytest.mark.parametrize("kind", UNCOPYABLE.values(), ids=UNCOPYABLE)
def test_models_that_cannot_be_copied(kind: Any) -> None:
    model = Cnn().eval()
    expected = xw.LiveModel(model, IMAGES).maximised("features.3", 1, steps=4)
    awkward = kind(model)
    with untouched(awkward):
        found = xw.LiveModel(awkward, IMAGES).maximised("features.3", 1, steps=4)
    assert torch.allclose(found.image, expected.image, atol=1e-6)


def test_frozen_models_in_every_mode() -> None:
    model = Cnn().train().requires_grad_(False)
    with untouched(model):
        for train_mode in (False, True):
            live = xw.LiveModel(model, IMAGES, train_mode=train_mode)
            steps = list(live.maximise(None, 2, steps=8))
            assert steps[-1].value > steps[0].value
    compiled = xw.LiveModel(torch.compile(model), IMAGES)
    expected = xw.LiveModel(model, IMAGES).maximised(None, 2, steps=4)
    assert torch.equal(compiled.maximised(None, 2, steps=4).image, expected.image)


def test_models_that_draw_random_numbers() -> None:
    model = Draws("dropout")
    live = xw.LiveModel(model, X)
    with untouched(model):
        assert live.maximised(None, 1, steps=3).image.shape == X[:1].shape
    with pytest.raises(xw.NeedsHomeThreadError):
        in_thread(lambda: live.maximised(None, 1, steps=3))


def test_recurrent_layers_in_place_layers_and_tokens() -> None:
    for model, layer, position in [
        (Recurrent(), "cells", 4),
        (Classifier(), "block1.feed.0", (0, 2)),
        (Classifier(), "block2", 0),
    ]:
        steps = list(xw.LiveModel(model.eval(), X).maximise(layer, 2, position=position, steps=8))
        assert steps[-1].value > steps[0].value


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_beside_a_mode_of_the_caller(mode: Any) -> None:
    model = Cnn().eval()
    live = xw.LiveModel(model, IMAGES)
    expected = live.maximised(None, 1, steps=4)
    found: list[AscentStep] = []
    live = xw.LiveModel(model, torch.utils.data.TensorDataset(IMAGES))  # read within the mode
    with mode():
        steps = map(found.append, live.maximise(None, 1, steps=4))
        for _ in steps:
            assert not torch.is_grad_enabled()  # between steps the caller's mode is as it was
            assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
        assert torch.equal(found[-1].image, expected.image)
    assert not found[-1].image.is_inference()


# --- step by step -----------------------------------------------------------------------------


def test_others_are_served_between_the_steps_and_stopping_leaves_nothing() -> None:
    model = Cnn().train()
    live = xw.LiveModel(model, IMAGES)
    plain = live.output()
    with untouched(model):
        steps = live.maximise("features.3", 1, steps=1000)
        first = next(steps)
        assert torch.equal(in_thread(live.output), plain)
        in_thread(lambda: live.output(1, mute=[("features.0", 1, "mean")]))
        second = next(steps)
        steps.close()  # type: ignore[attr-defined]
    assert (first.step, second.step, first.steps) == (0, 1, 1000)
    assert live._lock.acquire(blocking=False)
    live._lock.release()
    assert torch.equal(live.output(), plain)
    assert live.status == ""


def test_it_is_not_taken_for_training() -> None:
    live = xw.LiveModel(Cnn().eval(), IMAGES)
    in_thread(lambda: live.maximised(None, 1, steps=4))
    assert live.status == ""
    assert live.revision == xw.LiveModel(Cnn().eval(), IMAGES).revision + 1


def test_the_model_may_change_on_the_way() -> None:
    model = Cnn().eval()
    live = xw.LiveModel(model, IMAGES)
    steps = live.maximise(None, 1, steps=6)
    next(steps)
    with torch.no_grad():
        model.head.bias[1] += 100
    assert next(steps).value > 50
    model.head = nn.Linear(6, 4)
    assert next(steps).value < 50


class Watched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, 4), nn.Linear(4, 4)
        self.ran: list[str] = []

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        Watched.calls.append("second")
        return self.second(x)

    calls: list[str] = []  # noqa: RUF012


def test_what_follows_the_layer_does_not_run() -> None:
    live = xw.LiveModel(Watched(), X)
    rows = [(row.name, row.calls) for row in live.modules()]
    Watched.calls.clear()
    live.maximised("first", 1, steps=4, position=2)
    assert Watched.calls == []
    assert [(row.name, row.calls) for row in live.modules()] == rows
    live.maximised("second", 1, steps=4, position=2)
    assert len(Watched.calls) == 5
    assert [(row.name, row.calls) for row in live.modules()] == rows


def test_a_model_that_catches_everything_is_ended_all_the_same() -> None:
    class Catches(Watched):
        def forward(self, x: Tensor) -> Tensor:
            try:
                x = self.first(x)
            except Exception:  # noqa: BLE001
                return x
            return self.second(x)

    steps = list(xw.LiveModel(Catches(), X).maximise("first", 1, steps=8, position=2))
    assert steps[-1].value > steps[0].value


def memory() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def test_memory_does_not_grow_with_the_steps() -> None:
    class Wide(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([torch.sin(x * number) for number in range(1, 17)]).sum((0, 2, 3))

    live = xw.LiveModel(Wide(), torch.rand(1, 3, 256, 256))  # about 25 MB a step
    used = []
    for step in live.maximise("", 1, steps=24):
        if step.step in (8, 24):
            gc.collect()
            used.append(memory())
    assert used[1] - used[0] < 100e6


# --- errors -----------------------------------------------------------------------------------


def test_text_has_no_values_in_between() -> None:
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3))
    live = xw.LiveModel(model, {"input": torch.arange(6).reshape(2, 3)})
    with pytest.raises(xw.GradientError, match=r"token ids .* Look for the samples that drive it"):
        live.maximised("1", 2)
    masked = xw.LiveModel(
        Masked(), {"input_ids": torch.arange(6).reshape(2, 3), "attention_mask": torch.ones(2, 3)}
    )
    with pytest.raises(xw.GradientError, match="token ids"):
        masked.maximised("words", 2)


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 4)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.words(input_ids) * attention_mask[..., None]


class Apart(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.fixed = nn.Linear(WIDTH, 4), nn.Linear(WIDTH, 4)
        self.names = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            hidden = self.frozen(x)
        return hidden + self.fixed(torch.ones(1, 5, WIDTH)) + self.names(hidden.detach())


@pytest.mark.parametrize("layer", ["frozen", "fixed", "names", None])
def test_what_does_not_depend_on_the_input(layer: Any) -> None:
    live = xw.LiveModel(Apart(), X)
    channel: Any = (lambda output: output.sum()) if layer is None else 1
    with pytest.raises(xw.GradientError, match="not depend on the input"):
        live.maximised(layer, channel)


def test_what_is_not_there() -> None:
    live = xw.LiveModel(Cnn().eval(), IMAGES)
    raises: list[tuple[Callable[[], AscentStep], str]] = [
        (lambda: live.maximised("features.0", 4), "channel 4 is out of range"),
        (lambda: live.maximised("nothing", 0), "no layer 'nothing'"),
        (lambda: live.maximised("features.0", 1, position=(8, 0)), "position .* is out of range"),
        (lambda: live.maximised("features.0", 1, position=3), "position 3 is out of range"),
        (lambda: live.maximised(None, 7), "classes 0 to 3"),
        (lambda: live.maximised(None, 1, position=2), "A position is that of a channel"),
        (lambda: live.maximised(None, None), "neither an index nor a callable"),  # type: ignore[arg-type]
        (lambda: live.maximised(None, lambda output: output), "a single element"),
    ]
    for ask, said in raises:
        with pytest.raises(xw.ExplainError, match=said):
            ask()
    for options, said in [
        ({"start": "zero"}, 'start=\'zero\' must be "noise" or "sample"'),
        ({"parametrisation": "fft"}, "parametrisation"),
        ({"steps": 0}, "steps must be 1 or more"),
        ({"learning_rate": 0}, "learning_rate more than 0"),
        ({"jitter": -1}, "jitter=-1 is out of range"),
        ({"rescale": 1}, "rescale=1 is out of range"),
        ({"reduce": "max"}, 'reduce=\'max\' must be "mean" or "squares"'),
    ]:
        with pytest.raises(ValueError, match=said):
            live.maximised(None, 1, **options)
    with pytest.raises(TypeError, match="lr"):
        live.maximised(None, 1, lr=0.1)


def test_numbers_that_are_not_finite() -> None:
    class Overflows(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * 1e30).square().mean((2, 3))

    with pytest.raises(xw.GradientError, match="not finite"):
        xw.LiveModel(Overflows(), IMAGES.abs()).maximised("", 1)


def test_every_option_has_its_effect() -> None:
    live = xw.LiveModel(Cnn().eval(), torch.rand(2, 3, 16, 16))
    plain = live.maximised(None, 1, steps=8)
    for option, value in {
        "jitter": 4, "rotate": 20, "rescale": 0.3, "blur": 1.0, "total_variation": 2.0,
        "decay": 0.0, "learning_rate": 0.5, "start": "sample", "parametrisation": "pixels",
    }.items():  # fmt: skip
        other = live.maximised(None, 1, steps=8, **{option: value})
        assert (other.image - plain.image).abs().max() > 1e-3, option
    smooth, rough = (
        live.maximised(None, 1, steps=24, total_variation=pull).image for pull in (3.0, 0.0)
    )
    assert smooth.diff(dim=-1).abs().mean() < rough.diff(dim=-1).abs().mean()


def test_two_ascents_side_by_side() -> None:
    live = xw.LiveModel(Cnn().eval(), IMAGES)
    expected = [live.maximised("features.3", channel, steps=6).image for channel in (1, 2)]
    found: dict[int, Tensor] = {}

    def seek(channel: int) -> None:
        found[channel] = live.maximised("features.3", channel, steps=6).image

    threads = [threading.Thread(target=seek, args=(channel,)) for channel in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(found[1], expected[0])
    assert torch.equal(found[2], expected[1])
