"""LiveModel: what is read is kept while it holds, bounded, and errors say what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from small_models import IMAGES, WIDTH, Block, Classifier, Cnn, X
from threads import in_thread
from torch import Tensor, nn

from explain_widgets import (
    ExplainError,
    LayerError,
    LiveModel,
    NoAttentionError,
    RunError,
    Samples,
)


class Counted(Classifier):
    """Counts its forwards, its own and those of its copies, where no copy reaches."""

    forwards = 0

    def forward(self, x: Tensor) -> Tensor:
        Counted.forwards += 1
        return super().forward(x)


@pytest.fixture
def model() -> Iterator[Counted]:
    Counted.forwards = 0
    return Counted()


def forwards(question: Callable[[], Any]) -> int:
    """How many forwards one question takes."""
    before = Counted.forwards
    question()
    return Counted.forwards - before


# --- kept while it holds ----------------------------------------------------------------------

QUESTIONS: dict[str, Callable[[LiveModel], Any]] = {
    "output": lambda live: live.output(1),
    "class scores": lambda live: live.class_scores(1),
    "modules": lambda live: live.modules(1),
    "activation": lambda live: live.activation("block1", 1),
    "attention layers": lambda live: live.attention_layers(1),
    "attention": lambda live: live.attention(0, 1),
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_nothing_runs_twice(model: Counted, question: Any) -> None:
    live = LiveModel(model, X)
    assert forwards(lambda: question(live)) >= 1
    for ask in (lambda: question(live), lambda: in_thread(lambda: question(live))):
        assert forwards(ask) == 0
    live.refresh()
    assert forwards(lambda: question(live)) >= 1


def test_one_run_reads_all_layers(model: Counted) -> None:
    live = LiveModel(model, X)
    live.activation("block1")
    live.attention(0)
    names = [row.name for row in live.modules()]
    assert forwards(lambda: [live.activation(name) for name in names]) == 0
    assert forwards(lambda: [live.attention(index) for index in range(2)]) == 0


def step(model: Counted) -> None:
    model(X).sum().backward()
    torch.optim.SGD(model.parameters(), 1e-9).step()


CHANGES: dict[str, Callable[[Any], Any]] = {
    "step": step,
    "data": lambda model: model.head.bias.data.add_(1),
    "in place": lambda model: model.head.bias.detach().add_(1),
    "buffer": lambda model: model.norm.running_mean.add_(1),
    "load": lambda model: model.load_state_dict(model.state_dict()),
    "assign": lambda model: model.load_state_dict(Classifier().state_dict(), assign=True),
    "layer": lambda model: setattr(model, "head", nn.Linear(WIDTH, 3)),
    "hook": lambda model: model.register_forward_hook(lambda *args: None),
    "attribute": lambda model: setattr(model.dropout, "p", 0.7),
    "dtype": lambda model: model.double().float(),
}
NO_CHANGES: dict[str, Callable[[Any], Any]] = {
    "train": lambda model: model.train(),
    "eval": lambda model: model.eval(),
    "frozen": lambda model: model.block1.eval(),
    "gradient": lambda model: model.head.bias.sum().backward(),
    "no device": lambda model: model.to("cpu"),
    "nothing": lambda model: None,
    "same": lambda model: setattr(model.dropout, "p", 0.3),
    "state hook": lambda model: model.register_state_dict_post_hook(lambda *args: None),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_read_again(model: Counted, change: Any) -> None:
    live = LiveModel(model, X)
    for question in QUESTIONS.values():
        question(live)
    change(model)
    assert forwards(lambda: live.output(1)) == 1
    with torch.no_grad():
        assert torch.equal(live.output(1), model.eval()(X[1:2]))
    assert forwards(lambda: live.attention(0, 1)) >= 1


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES)
def test_what_changes_nothing_is_not_read_again(model: Counted, change: Any) -> None:
    live = LiveModel(model, X)
    live.output(1)
    change(model)
    assert forwards(lambda: live.output(1)) == 0


def test_the_optimizers_of_others_are_no_reason_to_be_wrong() -> None:
    """A foreign step may cost a forward, never a wrong number."""
    model, other = Classifier(), nn.Linear(2, 2)
    live = LiveModel(model, X)
    before = live.output()
    other(torch.ones(1, 2)).sum().backward()
    torch.optim.SGD(other.parameters(), 0.1).step()
    assert torch.equal(live.output(), before)


@pytest.mark.parametrize(
    "layer", [nn.Linear(4096, 64), nn.Conv2d(64, 64, 9)], ids=["linear", "conv"]
)
def test_a_write_anywhere_that_raises_the_version_is_seen(layer: nn.Module) -> None:
    shape = (1, 4096) if isinstance(layer, nn.Linear) else (1, 64, 9, 9)
    live = LiveModel(layer, torch.ones(shape))
    before = live.output()
    with torch.no_grad():
        layer.weight.view(-1)[12345] += 5
    assert not torch.equal(live.output(), before)


def test_writing_into_what_was_handed_out_spoils_nothing() -> None:
    live = LiveModel(Classifier(), X)
    questions = (live.output, lambda: live.activation("block1"), lambda: live.attention(0).query)
    for question in questions:
        expected = question().clone()
        question().zero_()
        assert torch.equal(question(), expected)


# --- bounded ----------------------------------------------------------------------------------


class Tall(nn.Module):
    """Ten blocks of equal size."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block() for _ in range(10)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


@pytest.mark.parametrize("memory", ["5KB", 700])
def test_memory_bounds_what_is_kept(memory: Any) -> None:
    model, data = Tall().eval(), X[:, :3]
    free, live = LiveModel(model, data), LiveModel(model, data, memory=memory)
    for sample in (0, 1, 0):
        for name in ("blocks.9", "blocks.0.feed.0", "blocks.4", "blocks.4", ""):
            expected = free.activation(name, sample)
            assert torch.equal(live.activation(name, sample), expected)
        for index in (9, 0, 4):
            expected = free.attention(index, sample).weights()
            assert torch.equal(live.attention(index, sample).weights(), expected)
        assert torch.equal(live.output(sample), free.output(sample))
        largest = max(row.bytes for row in live.modules(sample))
        assert live._store.used <= max(live._store.limit, largest)


def test_a_layer_too_large_for_the_memory_does_not_hide_smaller_ones() -> None:
    class Uneven(Counted):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    Counted.forwards = 0
    model = nn.Sequential(nn.Linear(WIDTH, 4000), nn.Linear(4000, WIDTH), Uneven())
    live = LiveModel(model, X, memory="20KB")
    live.activation("2")
    assert forwards(lambda: live.activation("1")) == 0
    assert forwards(lambda: live.activation("0")) == 1


# --- what it takes ----------------------------------------------------------------------------


def test_wrappers_that_only_change_how_a_model_runs() -> None:
    inner = Classifier()
    expected = LiveModel(inner, X).output()
    for model in (nn.DataParallel(inner), torch.compile(inner, backend="eager")):
        live = LiveModel(model, X)
        assert live.model is inner
        assert torch.equal(live.output(), expected)
        assert live.modules()[0].type == "Classifier"


def test_samples_may_be_given_made() -> None:
    samples = Samples(X, labels=[0, 1, 2])
    live = LiveModel(Classifier(), samples)
    assert live.samples is samples
    with pytest.raises(TypeError, match=r"pass labels to Samples"):
        LiveModel(Classifier(), samples, labels=[1, 2, 3])


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, not function"):
        LiveModel(lambda x: x, X)  # type: ignore[arg-type]


def test_a_forward_of_ones_own() -> None:
    model = Cnn().eval()
    live = LiveModel(model, IMAGES, forward=lambda model, image: model.features(image).mean((2, 3)))
    with torch.no_grad():
        assert torch.equal(live.output(2), model.features(IMAGES[2:]).mean((2, 3)))
    assert live.activation("features.2").shape == (1, 4, 8, 8)


def test_a_new_sample_is_read() -> None:
    live = LiveModel(Classifier(), X)
    index = live.samples.append(torch.ones(5, WIDTH))
    assert live.output(index).shape == (1, 3)


def test_the_output_is_detached_in_containers() -> None:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, 2)

        def forward(self, x: Tensor) -> Any:
            with torch.enable_grad():
                y = self.layer(x)
            return {"y": y, "more": (y, [y, 3, None])}

    output = LiveModel(Many(), X).output()
    assert output["more"][1][1:] == [3, None]
    assert not output["y"].requires_grad
    assert not output["more"][1][0].requires_grad


def test_class_scores_are_the_logits_and_keep_nothing_else(model: Counted) -> None:
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, 2)

        def forward(self, x: Tensor) -> Any:
            return {"logits": self.layer(x), "hidden": x.new_zeros(100_000)}

    large = Large()
    live = LiveModel(large, X)
    # At the last position.
    assert torch.equal(live.class_scores(2), large(X[2:3])["logits"][0, -1].detach())
    assert live._store.used < 100
    live = LiveModel(model, X)
    live.output(1)
    assert forwards(lambda: live.class_scores(1)) == 0


def test_a_model_without_parameters() -> None:
    live = LiveModel(nn.Sequential(nn.ReLU(), nn.Flatten()), X)
    assert live.device == torch.device("cpu")
    assert torch.equal(live.output(), X[:1].relu().flatten(1))
    assert live.gradient("input", target=lambda output: output.sum()).shape == (1, 5, WIDTH)


def test_train_mode_uses_batch_statistics() -> None:
    model = Cnn().eval()
    live = LiveModel(model, IMAGES, train_mode=True)
    found = live.activation("features.1")
    assert found.mean((0, 2, 3)).abs().max() < 1e-6
    assert not model.training


def test_train_mode_keeps_what_the_user_has_frozen() -> None:
    """A model in training with its normalisation in evaluation mode, as in fine-tuning."""
    model = Cnn().train()
    model.features[1].eval()
    frozen = LiveModel(model, IMAGES, train_mode=True).activation("features.1")
    model.eval()
    assert torch.equal(frozen, LiveModel(model, IMAGES).activation("features.1"))


# --- errors -----------------------------------------------------------------------------------


def test_a_wrong_input_shape_is_named() -> None:
    live = LiveModel(nn.Linear(WIDTH, 2), torch.ones(2, 5))
    for question in (
        live.output,
        live.modules,
        lambda: live.gradient("input"),
        live.attention_layers,
    ):
        with pytest.raises(RunError, match=r"1x5 and 8x2") as raised:
            question()
        assert isinstance(raised.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (torch.ones(2, 5), r"called with \(1, 5\) float32\.$"),
        (torch.ones(2, WIDTH).double(), r"\(1, 8\) float64; its own numbers are float32: pass sam"),
        (torch.ones(2, WIDTH, dtype=torch.uint8), r"\(1, 8\) uint8; its own numbers are float32"),
        ((torch.ones(2, WIDTH), torch.ones(2, 3).long()), r"\(1, 8\) float32, \(1, 3\) int64\.$"),
        ([torch.ones(1, 5)] * 2, r"\(1, 1, 5\) float32; samples are given a batch axis: pass them"),
        ([torch.ones(1, 5, 6)] * 2, r"\(1, 1, 5, 6\) float32\.$"),
    ],
)
def test_what_a_failing_model_was_called_with_is_said(samples: Any, said: str) -> None:
    with pytest.raises(RunError, match=said):
        LiveModel(nn.Linear(WIDTH, 2), samples).output()


def test_a_model_on_meta() -> None:
    with torch.device("meta"):
        model = nn.Linear(WIDTH, 2)
    with pytest.raises(RunError, match=r"weight is on the meta device.*load the weights"):
        LiveModel(model, X).output()


def test_lazy_parameters_that_are_not_there_yet() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    live = LiveModel(model, X)
    with pytest.raises(RunError, match=r"0\.weight is not initialised.*call the model once"):
        live.output()
    model(X)
    assert live.output().shape == (1, 5, 3)


def test_samples_that_are_not_there() -> None:
    live = LiveModel(Classifier(), X)
    for question in (live.output, live.modules, lambda index: live.gradient("input", index)):
        with pytest.raises(IndexError, match="no sample 7"):
            question(7)
    assert live.output(2).shape == (1, 3)


def test_every_error_is_one_sentence_of_ours() -> None:
    live = LiveModel(Cnn(), IMAGES)
    for question in (
        lambda: live.activation("nothing"),
        lambda: live.gradient("features.0", target=99),
        live.attention_layers,
        lambda: live.attention(0),
    ):
        with pytest.raises(ExplainError) as raised:
            question()
        assert str(raised.value).endswith((".", "?"))
        assert "\n" not in str(raised.value)


def test_attention_of_a_model_that_has_none() -> None:
    live = LiveModel(Cnn(), IMAGES)
    for _ in range(2):
        with pytest.raises(NoAttentionError) as raised:
            live.attention(0)
    said = str(raised.value)
    assert "scaled_dot_product_attention" in said
    assert "nn.MultiheadAttention" in said
    assert "2 × Conv2d" in said


def test_attention_layers_that_are_not_there() -> None:
    live = LiveModel(Classifier(), X)
    with pytest.raises(
        LayerError, match=r"attention layer 2 is out of range: there are 2 \(0 to 1\)"
    ):
        live.attention(2)
    with pytest.raises(
        LayerError, match=r"no attention layer 'block1'; did you mean 'block1\.attend'"
    ):
        live.attention("block1")


def test_an_error_does_not_end_the_model(model: Counted) -> None:
    live = LiveModel(model, X)
    model.inside = lambda: 1 / 0
    with pytest.raises(RunError, match="ZeroDivisionError: division by zero"):
        live.output()
    model.inside = None
    assert live.output().shape == (1, 3)


def test_after_closing_nothing_is_held() -> None:
    import gc
    import weakref

    model = Classifier()
    live = LiveModel(model, X)
    live.activation("block1")
    live.attention(0)
    live.close()
    assert live._store.used == 0
    weight = weakref.ref(model.head.weight)
    del live, model
    gc.collect()
    assert weight() is None
