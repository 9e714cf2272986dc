"""Charts beside an explorer: they follow its selection, show its numbers, and are given back."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from conversation import Conversation
from ipywidgets.widgets.widget import _instances
from torch import nn

import explain_widgets as xw


@pytest.fixture
def explorer() -> Iterator[xw.FeatureExplorer]:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.Conv2d(6, 4, 3)).eval()
    made = xw.FeatureExplorer(model, torch.rand(3, 3, 18, 20))
    yield made
    made.close()


def bars(figure):
    """Middles of the bins and their counts; those below zero and the others are two stacks."""
    middles, (below, above) = np.asarray(figure.marks[0].x), np.asarray(figure.marks[0].y)
    assert not below[middles >= 0].any()
    assert not above[middles < 0].any()
    return middles, below + above


def expected(values):
    """Middles and counts of numpy's histogram, its borders so that 0 is one of them."""
    values = values.detach().double().numpy().ravel()
    low, high = min(values.min(), 0), max(values.max(), 0)
    step = (high - low) / 24
    borders = step * np.arange(-np.ceil(-low / step - 1e-9), np.ceil(high / step - 1e-9) + 1)
    borders[0], borders[-1] = min(low, borders[0]), max(high, borders[-1])
    borders = borders.astype(np.float32)
    counts, _ = np.histogram(values.astype(np.float32), borders)
    return (borders[:-1] + borders[1:]) / 2, counts


def assert_shows(figure, values):
    middles, counts = bars(figure)
    np.testing.assert_allclose(middles, expected(values)[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(counts, expected(values)[1])


def test_the_histogram_is_numpys_and_the_one_in_the_widget(explorer):
    explorer.channel = 4
    figure = explorer.chart("histogram")
    own = explorer.live.activation("0", 0)[0, 4]
    assert_shows(figure, own)
    _, arrays = Conversation(explorer).ask("channel", {"sample": 0, "layer": 0, "channel": 4})
    middles, counts = bars(figure)
    np.testing.assert_array_equal(counts, arrays["counts"])
    np.testing.assert_array_equal(middles, (arrays["edges"][:-1] + arrays["edges"][1:]) / 2)
    along, upward = figure.axes
    assert (along.label, upward.label) == ("activation, channel 4", "numbers per bin")
    assert figure.title == "0 · sample 0"
    zero = figure.marks[1]
    assert zero.visible
    assert list(zero.x) == [0, 0]


def test_it_follows_whatever_is_picked(explorer):
    figure = explorer.chart("histogram")
    explorer.sample, explorer.channel = 2, 3
    assert_shows(figure, explorer.live.activation("0", 2)[0, 3])
    explorer.layer_name = "2"
    assert_shows(figure, explorer.live.activation("2", 2)[0, 3])
    assert figure.title == "2 · sample 2"
    explorer.show = "filters"
    assert_shows(figure, explorer.live.model[2].weight[3, 0])
    explorer.slice = 5
    assert_shows(figure, explorer.live.model[2].weight[3, 5])
    explorer.show, explorer.muted = "activation", [["2", 3, "zero"]]
    assert bars(figure)[1].tolist() == [12 * 14]  # all are zero


def test_where_nothing_is_to_be_shown_it_says_why_until_there_is(explorer):
    explorer.layer_name = "1"
    figure = explorer.chart("histogram")
    explorer.show = "filters"
    assert "has no filters" in figure.title
    assert bars(figure)[1].size == 0
    explorer.layer_name = "0"
    assert_shows(figure, explorer.live.model[0].weight[0, 0])


def test_a_change_from_the_browsers_thread_is_drawn_beside_it(explorer):
    figure = explorer.chart("histogram")

    def move() -> None:
        for channel in (1, 2, 3, 5):
            explorer.channel = channel

    thread = threading.Thread(target=move)
    thread.start()
    thread.join()
    deadline = time.monotonic() + 20
    while "channel 5" not in figure.axes[0].label and time.monotonic() < deadline:
        time.sleep(0.01)
    assert_shows(figure, explorer.live.activation("0", 0)[0, 5])


def test_numbers_that_are_not_finite_are_counted(explorer):
    model = nn.Sequential(nn.Linear(8, 8)).eval()
    other = xw.FeatureExplorer(model, torch.tensor([[float("nan")] * 8, [1.0] * 8]))
    assert "1 not finite" in other.chart("histogram").title
    other.sample = 1
    assert "finite" not in other.chart("histogram").title
    other.close()


def test_an_unknown_chart_is_refused_with_what_there_is(explorer):
    with pytest.raises(ValueError, match=r"no chart 'bars': FeatureExplorer has \"histogram\""):
        explorer.chart("bars")
    gallery = xw.SampleGallery(torch.rand(2, 3, 8, 8))
    with pytest.raises(ValueError, match="SampleGallery has none"):
        gallery.chart("histogram")
    gallery.close()


def test_a_chart_is_one_figure_until_it_is_closed(explorer):
    before = set(_instances)
    figure = explorer.chart("histogram")
    assert explorer.chart("histogram") is figure
    figure.close()
    assert set(_instances) == before
    assert not explorer._charts
    explorer.channel = 2  # nobody is told any more
    again = explorer.chart("histogram")
    assert again is not figure
    assert_shows(again, explorer.live.activation("0", 0)[0, 2])


def test_closing_the_explorer_gives_its_charts_back(explorer):
    before = set(_instances) - {explorer.model_id}
    figure = weakref.ref(explorer.chart("histogram"))
    explorer.close()
    assert set(_instances) == before
    gc.collect()
    assert figure() is None
