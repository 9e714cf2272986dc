"""The kernel side of the sample gallery: pages, predictions, order, filters, traits, errors."""

from __future__ import annotations

import threading
import time

import ipywidgets
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
import traitlets
from conversation import Conversation, unpacked
from PIL import Image
from snapshot import untouched
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

import explain_widgets as xw

CLASSES = ["cow", "cat", "dog"]
COUNT = 40


class Net(nn.Module):
    """Three classes of 8 × 8 images; each forward waits for ``gate``, where there is one."""

    gate = None  # of the class: an instance that holds one could not be copied

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(144, 3)

    def forward(self, image):
        if self.gate is not None:
            assert self.gate.acquire(timeout=20)
        return self.head(self.layers(image))


@pytest.fixture
def images():
    return torch.rand(COUNT, 1, 8, 8)


@pytest.fixture
def labels():
    return torch.randint(0, 3, (COUNT,))


@pytest.fixture
def model():
    return Net()


@pytest.fixture
def gallery(model, images, labels):
    gallery = xw.SampleGallery(model, images, labels=labels, class_names=CLASSES, per_page=12)
    yield gallery
    gallery.close()


@pytest.fixture
def truth(model, images, labels):
    """Class, probability and loss of every sample, by the plain definitions in float64."""
    with torch.no_grad():
        logits = model.eval()(images).double()
    model.train()
    probability, index = logits.softmax(1).max(1)
    return index, probability, F.cross_entropy(logits, labels, reduction="none")


def asked(page=0, per_page=12, pixels=96, read=0, goes_on=True, **view):
    plain = {"order": "index", "descending": False, "label": None, "prediction": None}
    view = {**plain, "wrong_only": False, **view}
    return {
        "view": view,
        "page": page,
        "per_page": per_page,
        "pixels": pixels,
        "read": read,
        "goes_on": goes_on,
    }


def indices_of(content):
    return [card["index"] for card in content["cards"]]


def ask_page(talk, selection):
    """The last content of a page, and its pictures, which come once."""
    identity = talk.send("page", selection)
    content, _ = talk.last_of(identity)
    assert "error" not in content, content["error"]
    arrays = {}
    for message, buffers in talk.messages:
        if message["id"] == identity and "arrays" in message:
            arrays |= unpacked(message, buffers)
    return content["content"], arrays


def replies(talk, identity):
    return [content for content, _ in talk.messages if content["id"] == identity]


# --- what is predicted -----------------------------------------------------------------------


def test_predictions_are_the_softmax_and_cross_entropy_of_the_model(gallery, truth, labels):
    index, probability, loss = truth
    gallery.page = 1
    shown = gallery.data()
    here = slice(12, 24)
    assert shown["indices"] == list(range(12, 24))
    assert shown["labels"] == labels[here].tolist()
    assert shown["predictions"] == index[here].tolist()
    torch.testing.assert_close(shown["probabilities"], probability[here], atol=1e-6, rtol=0)
    torch.testing.assert_close(shown["losses"], loss[here], atol=1e-5, rtol=0)


def test_wrong_ones_are_marked_and_classes_go_by_name(gallery, truth, labels):
    content, _ = ask_page(Conversation(gallery), asked())
    index = truth[0]
    for card, prediction in zip(content["cards"], content["predictions"], strict=True):
        place = card["index"]
        assert card["label"] == CLASSES[labels[place]]
        assert prediction["class"] == CLASSES[index[place]]
        assert prediction["wrong"] == bool(index[place] != labels[place])
    assert {prediction["wrong"] for prediction in content["predictions"]} == {True, False}


def test_a_model_that_returns_probabilities_is_not_squashed_again(model, images, labels, truth):
    """Softmax of a softmax would show 0.5 where the model says 0.9."""
    gallery = xw.SampleGallery(nn.Sequential(model, nn.Softmax(1)), images, labels=labels)
    shown = gallery.data()
    here = slice(0, 24)
    torch.testing.assert_close(shown["probabilities"], truth[1][here], atol=1e-6, rtol=0)
    torch.testing.assert_close(shown["losses"], truth[2][here], atol=1e-5, rtol=0)
    content, _ = ask_page(Conversation(gallery), asked())
    assert "probabilities as the model returns them" in content["footer"]


def test_a_single_number_is_shown_as_the_value(images):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    gallery = xw.SampleGallery(model, images, labels=torch.rand(COUNT))
    content, _ = ask_page(Conversation(gallery), asked(order="prediction", descending=True))
    values = model(images).detach().flatten()
    order = values.argsort(descending=True)[:12]
    assert indices_of(content) == order.tolist()
    assert content["predictions"][0]["class"] is None
    assert content["predictions"][0]["value"] == pytest.approx(values.max().item(), rel=1e-6)
    assert content["orders"] == ["index", "label", "prediction"]
    assert content["labels"] == []  # measured values are no classes to pick from


def test_where_there_are_no_class_scores_it_is_said_once_and_pictures_are_shown(images):
    gallery = xw.SampleGallery(nn.Conv2d(1, 2, 3), images)
    content, arrays = ask_page(Conversation(gallery), asked())
    assert content["footer"].count("no predictions") == 1
    assert content["predictions"] == [None] * 12
    assert arrays["thumbnails"].shape == (12, 8, 8, 1)
    with pytest.raises(traitlets.TraitError, match="no class scores"):
        gallery.order = "loss"
    with pytest.raises(traitlets.TraitError, match="no class scores"):
        gallery.wrong_only = True


def test_predictions_follow_the_weights(gallery, model, images):
    talk = Conversation(gallery)
    before, _ = ask_page(talk, asked(order="confidence"))
    with torch.no_grad():
        model.head.weight.mul_(-3)
    after, _ = ask_page(talk, asked(order="confidence"))
    with torch.no_grad():
        probability = model.eval()(images).softmax(1).amax(1)
    assert indices_of(after) == probability.argsort()[:12].tolist()
    assert indices_of(after) != indices_of(before)


def test_predictions_are_kept_while_the_weights_stay(gallery, monkeypatch):
    talk = Conversation(gallery)
    ask_page(talk, asked(order="loss"))
    monkeypatch.setattr(Net, "gate", threading.Semaphore(0))  # no further run would end well
    content, _ = ask_page(talk, asked(order="confidence", page=2))
    assert len(content["cards"]) == 12


def test_the_model_and_the_random_numbers_are_left_alone(model, images, labels):
    model(images).sum().backward()
    gallery = xw.SampleGallery(model, images, labels=labels)
    talk = Conversation(gallery)
    with untouched(model):
        ask_page(talk, asked(order="loss", wrong_only=True))
        gallery.data()
        gallery.figure()


# --- thumbnails ------------------------------------------------------------------------------


def test_small_images_come_pixel_by_pixel_on_one_channel(gallery):
    _, arrays = ask_page(Conversation(gallery), asked(page=2))
    for place, index in enumerate(range(24, 36)):
        image = gallery.samples[index].image
        np.testing.assert_array_equal(arrays["thumbnails"][place, ..., 0], image)


def test_large_images_are_averaged_to_the_pixels_shown():
    colours = torch.randint(0, 256, (3, 3, 48, 64), dtype=torch.uint8)
    gallery = xw.SampleGallery(colours)
    content, arrays = ask_page(Conversation(gallery), asked(pixels=16))
    assert arrays["thumbnails"].shape == (3, 12, 16, 3)
    blocks = colours.numpy().reshape(3, 3, 12, 4, 16, 4).mean((3, 5)).transpose(0, 2, 3, 1)
    assert np.abs(arrays["thumbnails"] - blocks).max() <= 0.5
    assert "mean of up to 4 × 4" in content["footer"]
    assert content["cards"][0]["thumbnail"] == {"place": 0, "size": (12, 16), "of": (48, 64)}


def test_huge_images_are_kept_as_small_as_they_can_be_shown():
    gallery = xw.SampleGallery(torch.full((1, 3, 1000, 3000), 7, dtype=torch.uint8))
    content, arrays = ask_page(Conversation(gallery), asked(pixels=300))
    assert arrays["thumbnails"].shape == (1, 100, 300, 3)
    assert "mean of up to 10 × 10" in content["footer"]
    assert content["cards"][0]["thumbnail"]["of"] == (1000, 3000)
    assert gallery._answers.pages.cards.read(0).image.nbytes < 1024**2 * 3


def test_a_page_of_large_pictures_stays_well_below_what_hosts_cap():
    gallery = xw.SampleGallery(torch.rand(100, 3, 200, 200), per_page=100)
    _, arrays = ask_page(Conversation(gallery), asked(per_page=100, pixels=400))
    assert arrays["thumbnails"].nbytes <= 2_000_000


def test_undone_normalisations_are_said():
    normalised = (torch.randint(0, 256, (4, 1, 8, 8)) / 255 - 0.5) / 0.5
    gallery = xw.SampleGallery(normalised, denormalize=([0.5], [0.5]))
    content, arrays = ask_page(Conversation(gallery), asked())
    assert "the given mean and std undone" in content["footer"]
    pixels = ((normalised * 0.5 + 0.5) * 255).round()
    np.testing.assert_array_equal(arrays["thumbnails"][..., 0], pixels[:, 0])


# --- order and filters -----------------------------------------------------------------------


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("order", ["label", "prediction", "confidence", "loss"])
def test_samples_come_in_order(gallery, truth, labels, order, descending):
    keys = dict(zip(["prediction", "confidence", "loss"], truth, strict=True)) | {"label": labels}
    key = keys[order].numpy()
    expected = np.argsort(-key if descending else key, kind="stable")
    gallery.order, gallery.descending = order, descending
    found = []
    for page in range(4):
        gallery.page = page
        found += gallery.data()["indices"]
    assert found == expected.tolist()


def test_filters_leave_what_fits_all_of_them(gallery, truth, labels):
    index = truth[0]
    content, _ = ask_page(Conversation(gallery), asked(wrong_only=True, per_page=200))
    wrong = (index != labels).nonzero().flatten().tolist()
    assert indices_of(content) == wrong
    assert content["heading"] == f"{len(wrong)} of 40 images · wrong only"
    content, _ = ask_page(Conversation(gallery), asked(label=1, prediction=1, per_page=200))
    both = ((index == 1) & (labels == 1)).nonzero().flatten().tolist()
    assert indices_of(content) == both
    assert content["heading"] == f"{len(both)} of 40 images · label cat · predicted cat"


def test_samples_without_label_come_last_and_are_never_wrong(model, images):
    labels = [0, None, 2, None, 1] + [None] * 35
    gallery = xw.SampleGallery(model, [(x, y) for x, y in zip(images, labels, strict=True)])
    for descending, expected in [(False, [0, 4, 2, 1, 3]), (True, [2, 4, 0, 1, 3])]:
        gallery.order, gallery.descending = "label", descending
        assert gallery.data()["indices"][:5] == expected
    content, _ = ask_page(Conversation(gallery), asked(wrong_only=True))
    assert set(indices_of(content)) <= {0, 2, 4}


@pytest.mark.parametrize(
    "given",
    [
        [CLASSES[i % 3] for i in range(COUNT)],
        [[float(i % 3 == place) for place in range(3)] for i in range(COUNT)],
        [float(i % 3) for i in range(COUNT)],
    ],
    ids=["names", "rows of 0 and 1", "floats"],
)
def test_labels_in_any_form_are_classes(model, images, given):
    gallery = xw.SampleGallery(model, images, labels=given, class_names=CLASSES, label="cat")
    shown = gallery.data()
    assert shown["indices"] == [i for i in range(COUNT) if i % 3 == 1][:24]
    with torch.no_grad():
        logits = model.eval()(images[1::3])
    expected = F.cross_entropy(logits, torch.ones(len(logits), dtype=torch.long), reduction="none")
    torch.testing.assert_close(shown["losses"].float(), expected, atol=1e-5, rtol=0)


# --- in steps --------------------------------------------------------------------------------


def test_pictures_come_before_the_model_has_run(model, images, labels, monkeypatch):
    gate = threading.Semaphore(0)
    monkeypatch.setattr(Net, "gate", gate)
    gallery = xw.SampleGallery(model, images, labels=labels)
    talk = Conversation(gallery)
    identity = talk.send("page", asked())
    until = time.monotonic() + 20
    while not replies(talk, identity):
        assert time.monotonic() < until
        time.sleep(0.005)
    first = replies(talk, identity)[0]
    assert first["partial"]
    assert list(first["arrays"]) == ["thumbnails"]
    assert first["content"]["predictions"] == [None] * 12
    assert first["content"]["progress"] == "predicted 0 of 12"
    gate.release(12)
    last, _ = talk.last_of(identity)
    assert "thumbnails" not in last["arrays"]  # sent once
    assert all(prediction is not None for prediction in last["content"]["predictions"])


def test_sorting_says_how_far_it_is_and_stopped_shows_what_was_read(
    model, images, labels, monkeypatch
):
    monkeypatch.setattr("explain_widgets.widgets.gallery.pages._PARTIAL_SECONDS", 0)
    gate = threading.Semaphore(7)
    monkeypatch.setattr(Net, "gate", gate)
    gallery = xw.SampleGallery(model, images, labels=labels)
    talk = Conversation(gallery)
    identity = talk.send("page", asked(order="loss"))
    until = time.monotonic() + 20
    while not any("predicted 7" in c["content"]["progress"] for c in replies(talk, identity)):
        assert time.monotonic() < until
        time.sleep(0.005)
    said = [content["content"]["progress"] for content in replies(talk, identity)]
    assert said == [f"predicted {done} of 40" for done in range(1, 8)]
    talk.send("stop", {"id": identity})
    stopped, _ = talk.last_of(identity)
    assert stopped["content"] == {"stopped": True}
    gate.release(1)  # of the step under way
    content, _ = ask_page(talk, asked(order="loss", goes_on=False, per_page=200))
    assert content["heading"] == "40 images · by loss, smallest first · among the 8 predicted"
    losses = [found["loss"] for found in content["predictions"][:8]]
    assert losses == sorted(losses)
    gate.release(100)
    content, _ = ask_page(talk, asked(order="loss", per_page=200))
    assert content["heading"] == "40 images · by loss, smallest first"


def test_wrong_ones_are_shown_as_they_are_found(model, images, labels, monkeypatch):
    monkeypatch.setattr("explain_widgets.widgets.gallery.pages._PARTIAL_SECONDS", 0)
    talk = Conversation(xw.SampleGallery(model, images, labels=labels))
    identity = talk.send("page", asked(wrong_only=True, per_page=200))
    final = indices_of(talk.last_of(identity)[0]["content"])
    shown = [indices_of(c["content"]) for c in replies(talk, identity) if "cards" in c["content"]]
    assert len(shown) > 2
    assert all(final[: len(part)] == part for part in shown)


# --- data that is read as it comes -----------------------------------------------------------


class Counting(IterableDataset):
    def __init__(self, count):
        self.count, self.read = count, 0

    def __iter__(self):
        for index in range(self.count):
            self.read += 1
            yield torch.full((1, 8, 8), index / 255), index % 3


def test_a_lazy_loader_is_read_only_as_far_as_it_is_shown(model):
    data = Counting(100)
    gallery = xw.SampleGallery(model, DataLoader(data, batch_size=4), per_page=12)
    assert data.read <= 4
    talk = Conversation(gallery)
    content, _ = ask_page(talk, asked())
    assert data.read <= 16  # the loader's batches are of four
    assert content["heading"] == "12 images read so far"
    assert content["count"] is None
    gallery.page = 1
    assert gallery.data()["indices"] == list(range(12, 24))
    assert data.read <= 28
    # Sorting goes over what was read; more is read when asked for.
    content, _ = ask_page(talk, asked(order="label", per_page=12))
    assert content["heading"] == "24 images read so far · by label, smallest first"
    assert data.read <= 28
    content, _ = ask_page(talk, asked(order="label", per_page=12, read=36))
    assert content["there"] == 36
    assert data.read <= 40


def test_the_end_of_the_data_is_found(model):
    gallery = xw.SampleGallery(model, Counting(30), per_page=12)
    talk = Conversation(gallery)
    for page in range(3):
        content, _ = ask_page(talk, asked(page=page))
    assert (content["count"], indices_of(content)) == (30, list(range(24, 30)))
    content, _ = ask_page(talk, asked(page=7))
    assert content["page"] == 2  # the last there is
    with pytest.raises(traitlets.TraitError, match="page must be 0 to 2, not 3"):
        gallery.page = 3


def test_data_that_breaks_off_shows_what_was_read():
    def broken():
        yield from torch.zeros(5, 1, 1, 8, 8)
        raise OSError("the disk is gone")

    content, _ = ask_page(Conversation(xw.SampleGallery(broken())), asked())
    assert len(content["cards"]) == 5
    assert "the disk is gone" in content["problem"]


class Augmented(Dataset):
    def __len__(self):
        return 30

    def __getitem__(self, index):
        return torch.rand(1, 8, 8), index % 3


def test_an_augmenting_dataset_shows_each_sample_as_the_model_gets_it(model):
    gallery = xw.SampleGallery(model, Augmented())
    state = torch.get_rng_state()
    shown = gallery.data()
    with torch.no_grad():
        seen = torch.cat([gallery.samples[i].args[0] for i in range(24)])
        expected = model.eval()(seen).softmax(1).amax(1)
    torch.testing.assert_close(shown["probabilities"].float(), expected, atol=1e-6, rtol=0)
    assert torch.equal(torch.get_rng_state(), state)
    # No event loop serves this program's main thread, so the worker has nothing to wait for.
    page = asked(page=2)
    assert "draws random numbers" in Conversation(gallery).error("page", page)
    assert torch.equal(torch.get_rng_state(), state)


# --- alone, and of other kinds ---------------------------------------------------------------


def test_images_alone(images, labels):
    gallery = xw.SampleGallery(images, labels=labels, class_names=CLASSES, order="label")
    assert gallery.live is None
    shown = gallery.data()
    assert shown["indices"] == np.argsort(labels.numpy(), kind="stable")[:24].tolist()
    assert shown["predictions"] == [None] * 24
    assert shown["probabilities"].isnan().all()
    content, _ = ask_page(Conversation(gallery), asked())
    assert "no predictions" not in content["footer"]  # nobody expects any
    assert content["orders"] == ["index", "label"]
    with pytest.raises(traitlets.TraitError, match="no model"):
        gallery.order = "confidence"


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA"])
def test_pil_images_need_no_transform(mode):
    made = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (10, 12, 3), np.uint8)
    ).convert(mode)
    _, arrays = ask_page(Conversation(xw.SampleGallery([made])), asked())
    plain = np.asarray(made.convert("L" if mode in "L1" else "RGB"))
    np.testing.assert_array_equal(arrays["thumbnails"][0], plain.reshape(10, 12, -1))


def test_texts_need_no_tokenizer_and_stay_texts():
    texts = ["<b>bold</b> & so on", "word " * 200]
    gallery = xw.SampleGallery(texts, labels=["a", "b"])
    content, arrays = ask_page(Conversation(gallery), asked())
    assert [card["title"] for card in content["cards"]] == [
        "sentence 0 · label a",
        "sentence 1 · label b",
    ]
    assert content["cards"][0]["text"] == texts[0]
    assert len(content["cards"][1]["text"]) < 250
    assert content["cards"][1]["text"].endswith("…")
    assert arrays == {}


def test_rows_of_a_table_have_names_and_values():
    table = pd.DataFrame({"height": [1.5, 2.0], "weight": [50.0, float("nan")]})
    model = nn.Linear(2, 3)
    content, _ = ask_page(Conversation(xw.SampleGallery(model, table)), asked())
    assert content["heading"] == "2 rows"
    assert content["cards"][0]["names"] == ("height", "weight")
    assert content["cards"][0]["values"] == [1.5, 50.0]
    assert content["cards"][1]["values"] == [2.0, None]
    # What is no number is no probability, and can be sent.
    assert content["predictions"][1]["value"] is None


def test_long_rows_and_other_tensors_say_what_they_are():
    content, _ = ask_page(Conversation(xw.SampleGallery(torch.rand(3, 500))), asked())
    assert (len(content["cards"][0]["values"]), content["cards"][0]["more"]) == (16, 484)
    content, _ = ask_page(Conversation(xw.SampleGallery(torch.rand(3, 5, 8))), asked())
    assert content["cards"][0]["shape"] == "5 × 8 float32"


def test_a_sample_that_cannot_be_read_leaves_the_others(model):
    class Spoilt(Augmented):
        def __getitem__(self, index):
            if index == 3:
                raise OSError("truncated file")
            return torch.full((1, 8, 8), index / 255), 0

    gallery = xw.SampleGallery(model, Spoilt())
    content, arrays = ask_page(Conversation(gallery), asked())
    assert "truncated file" in content["cards"][3]["problem"]
    assert arrays["thumbnails"].shape == (11, 8, 8, 1)
    assert content["cards"][4]["thumbnail"]["place"] == 3
    np.testing.assert_array_equal(arrays["thumbnails"][3], np.full((8, 8, 1), 4))


def test_a_sample_that_the_model_refuses_is_told(images):
    class Picky(Net):
        def forward(self, image):
            if image[0, 0, 0, 0] > 2:
                raise ValueError("far too bright")
            return super().forward(image)

    images[5, 0, 0, 0] = 3
    content, _ = ask_page(Conversation(xw.SampleGallery(Picky(), images)), asked())
    assert content["problem"].startswith("No prediction for 1 of 12 samples here: ")
    assert "far too bright" in content["problem"]
    assert [found is None for found in content["predictions"]].count(True) == 1


# --- traits ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("sample", 40, "sample must be 0 to 39, not 40"),
        ("page", 4, "page must be 0 to 3, not 4"),
        ("per_page", 0, "per_page must be 1 to 200, not 0"),
        ("size", 2000, "size must be 16 to 512, not 2000"),
        ("picked", [1, 99], "picked must be 0 to 39, not 99"),
        ("order", "beauty", "order"),
        ("label", "bee", "label must be one of cow, cat, dog, not 'bee'"),
        ("label", 3, "label must be one of cow, cat, dog, not 3"),
        ("prediction", 3, "prediction must be 0 to 2, not 3"),
        ("prediction", "bee", "prediction must be one of cow, cat, dog, not 'bee'"),
    ],
)
def test_a_value_out_of_range_names_the_range(gallery, trait, value, message):
    before = getattr(gallery, trait)
    with pytest.raises(traitlets.TraitError, match=message):
        setattr(gallery, trait, value)
    assert getattr(gallery, trait) == before


def test_classes_are_picked_by_name(gallery):
    gallery.label, gallery.prediction = "cat", "dog"
    assert (gallery.label, gallery.prediction) == (1, 2)


def test_sample_and_picked_go_together(gallery):
    assert gallery.picked == [0]
    gallery.picked = [3, 5, 3]
    assert (gallery.picked, gallery.sample) == ([3, 5], 5)
    gallery.sample = 3
    assert gallery.picked == [3, 5]
    gallery.sample = 7
    assert gallery.picked == [7]
    gallery.picked = []
    assert gallery.picked == [7]


def test_the_page_turns_to_the_sample(gallery):
    gallery.sample = 30
    assert gallery.page == 2
    gallery.order = "confidence"
    assert gallery.page == 0
    last = gallery.data()["indices"]
    gallery.page = 3
    order = gallery.data()["indices"]
    gallery.sample = last[0]
    assert gallery.page == 0
    gallery.sample = order[0]
    assert gallery.page == 3


def test_the_first_on_the_page_stays_when_there_are_more_on_it(gallery):
    gallery.page = 2
    gallery.per_page = 6
    assert gallery.page == 4
    gallery.per_page = 24
    assert gallery.page == 1


def test_what_the_browser_sets_together_stays_as_it_is(gallery):
    """Else a page turned to while a message was on its way would jump back."""
    gallery.set_state({"sample": 3, "picked": [3], "page": 2})
    assert (gallery.sample, gallery.picked, gallery.page) == (3, [3], 2)
    gallery.set_state({"order": "label", "page": 1})
    assert (gallery.order, gallery.page) == ("label", 1)


def test_traits_can_be_given_at_the_start(model, images, labels):
    gallery = xw.SampleGallery(
        model, images, labels=labels, order="loss", wrong_only=True, page=1, per_page=4, sample=30
    )
    assert (gallery.order, gallery.wrong_only, gallery.page) == ("loss", True, 1)
    assert (gallery.sample, gallery.picked) == (30, [30])


def test_sample_links_to_an_explorer():
    layer = nn.TransformerEncoderLayer(16, 4, batch_first=True)
    live = xw.LiveModel(layer, torch.randn(3, 7, 16))
    gallery, explorer = xw.SampleGallery(live), xw.AttentionExplorer(live)
    ipywidgets.link((gallery, "sample"), (explorer, "sample"))
    gallery.sample = 2
    assert explorer.sample == 2
    explorer.sample = 1
    assert gallery.picked == [1]


# --- what is handed back ---------------------------------------------------------------------


def test_figure_holds_the_pictures_and_their_captions(gallery, truth, labels):
    figure = gallery.figure()
    index, probability, _ = truth
    for place, axes in enumerate(figure.axes[:12]):
        np.testing.assert_array_equal(
            axes.get_images()[0].get_array(), gallery.samples[place].image
        )
        caption = axes.get_xlabel()
        assert f"{probability[place]:.2f}" in caption
        assert ("✗" in caption) == bool(index[place] != labels[place])
    assert figure.get_suptitle() == "40 images"


def test_the_still_picture_does_not_wait_for_a_slow_model(model, images):
    class Slow(Net):
        def forward(self, image):
            time.sleep(0.2)
            return super().forward(image)

    gallery = xw.SampleGallery(Slow(), images)
    started = time.monotonic()
    page = gallery._read(started + 0.5)
    assert time.monotonic() - started < 2  # 24 runs would take 4.8 s
    assert len(page.cards) == 24


def test_close_gives_back_the_model_it_made(model, images):
    gallery = xw.SampleGallery(model, images)
    gallery.close()
    assert gallery.live._closed
    xw.SampleGallery(images).close()


def test_what_cannot_be_shown_is_told_with_the_way_out(images):
    with pytest.raises(TypeError, match="samples alone come first"):
        xw.SampleGallery([1, 2], images)
    with pytest.raises(TypeError, match="Pass a LiveModel, or a model and its samples"):
        xw.SampleGallery(nn.Linear(2, 2))
    with pytest.raises(TypeError, match="Samples are made already"):
        xw.SampleGallery(xw.Samples(images), class_names=CLASSES)
    assert "no order 'beauty'" in Conversation(xw.SampleGallery(images)).error(
        "page", asked(order="beauty")
    )


def test_no_samples_at_all():
    gallery = xw.SampleGallery(torch.rand(0, 1, 8, 8))
    content, arrays = ask_page(Conversation(gallery), asked())
    assert (content["cards"], content["heading"], arrays) == ([], "0 samples", {})
