"""What is kept is bounded; the least recently used goes first."""

from __future__ import annotations

import pytest
import torch

from explain_widgets.live.store import DEFAULT_LIMIT, Store, parse_memory


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, DEFAULT_LIMIT),
        (1234, 1234),
        ("2GB", 2 * 10**9),
        (" 1.5 gb ", 15 * 10**8),
        ("500MB", 500 * 10**6),
        ("64 KB", 64_000),
        ("10b", 10),
        ("77", 77),
    ],
)
def test_memory_is_read(given: int | str | None, expected: int) -> None:
    assert parse_memory(given) == expected


@pytest.mark.parametrize("given", ["much", "2 elephants", "GB", "", "1.2.3GB", "-1GB", -5, "2M"])
def test_memory_that_cannot_be_read(given: int | str) -> None:
    with pytest.raises(ValueError, match="is no amount of memory"):
        parse_memory(given)


def test_the_least_recently_used_goes_first() -> None:
    store = Store(limit=10)
    for name in "abc":
        store.put(name, name.upper(), 3)
    assert store.get("a") == "A"  # used again
    store.put("d", "D", 3)
    assert [store.get(name) for name in "abcd"] == ["A", None, "C", "D"]
    assert store.used == 9


def test_the_newest_stays_even_when_too_large() -> None:
    store = Store(limit=10)
    store.put("small", 1, 4)
    store.put("large", 2, 100)
    assert store.get("large") == 2
    assert store.get("small") is None
    store.put("next", 3, 1)
    assert store.get("large") is None
    assert store.used == 1


def test_putting_again_replaces() -> None:
    store = Store(limit=10)
    store.put("a", 1, 6)
    store.put("a", 2, 8)
    assert (store.get("a"), store.used) == (2, 8)


def test_clearing() -> None:
    store = Store(limit=10)
    store.put("a", 1, 6)
    store.clear()
    assert (store.get("a"), store.used) == (None, 0)


def test_what_was_written_into_is_forgotten() -> None:
    store, value = Store(limit=1000), {"x": torch.ones(3).add_(1)}
    store.put("a", value, 12)
    assert store.get("a") is value
    value["x"].zero_()
    assert store.get("a") is None
