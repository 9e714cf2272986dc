"""The statistics of heads by name: what each means and how it is shown."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from explain_widgets.analysis.head_statistics import HeadStatistics


@dataclass(frozen=True)
class Column:
    """One statistic of heads.

    Attributes
    ----------
    key
        Its attribute of `HeadStatistics`.
    name, short
        What it is called, and above a narrow column.
    unit
        Of its values, or "".
    decimals
        How many are shown.
    definition
        One sentence.
    absent
        When there is none.
    """

    key: str
    name: str
    short: str
    unit: str
    decimals: int
    definition: str
    absent: str

    def value(self, found: HeadStatistics | None) -> float | None:
        """Its value of a head; None where it does not apply, or is not there yet."""
        value: float | None = getattr(found, self.key, None)
        return value

    def text(self, found: HeadStatistics | None) -> str:
        """The value as it is shown."""
        value = self.value(found)
        if value is not None:
            return f"{_written(value, self.decimals)} {self.unit}".rstrip()
        if found is None:
            return "…"
        is_self = found.previous is not None
        return "n/a: no token comes twice" if self.key == "induction" and is_self else "n/a"

    def sent(self, found: HeadStatistics) -> float:
        """The value as a number of a table: NaN where there is none, ∞ where it is not finite."""
        value = self.value(found)
        if value is None:
            return math.nan
        return value if math.isfinite(value) else math.inf


def _written(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    if value == 0 or not math.isfinite(value) or float(text) != 0:
        return text
    # Where there are many keys, or of gradients, all are small: they are not nothing.
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits}e{int(power)}".replace("-", "−")


_NO_SUM = "n/a where weights do not sum to one."
_CROSS = "n/a in cross-attention."

COLUMNS = (
    Column(
        *("entropy", "Entropy", "Entropy", "bits", 2),
        "Mean over queries of −Σ A log₂ A: 0 bits looks at one key, log₂ n bits at n keys alike.",
        _NO_SUM,
    ),
    Column(
        *("distance", "Mean distance", "Distance", "tokens", 1),
        "Mean over queries of Σ A · |query − key|, in tokens.",
        "n/a in cross-attention, and where weights do not sum to one.",
    ),
    Column(
        *("first", "Mass on first", "First", "", 2),
        "Mean weight that the queries put on the first token.",
        "",
    ),
    Column(
        *("last", "Mass on last", "Last", "", 2),
        "Mean weight that the queries put on the last token.",
        "",
    ),
    Column(
        *("sink", "Mass on sinks", "Sinks", "", 2),
        "Mean weight that the queries put on the first token, separators and punctuation.",
        "",
    ),
    Column(
        *("previous", "Previous-token score", "Previous", "", 2),
        "Mean weight of a token on the one before it.",
        _CROSS,
    ),
    Column(
        *("same", "Same-token score", "Same", "", 2),
        "Mean weight of a token on itself.",
        _CROSS,
    ),
    Column(
        *("following", "Next-token score", "Next", "", 2),
        "Mean weight of a token on the one after it.",
        _CROSS,
    ),
    Column(
        *("induction", "Induction score", "Induction", "", 2),
        "Mean weight of a token on what followed it when it last came before.",
        "n/a where no token comes twice, and in cross-attention.",
    ),
)
"""All of them, in the order in which they are shown."""


def columns_in(units: str) -> tuple[Column, ...]:
    """All columns as they are called where tokens are grouped into ``units``."""
    return tuple(
        replace(
            column, unit=units, definition=column.definition.replace("in tokens", f"in {units}")
        )
        if column.unit == "tokens"
        else column
        for column in COLUMNS
    )


WEIGHTS = "weights"
GRID_BY = (WEIGHTS, *(column.key for column in COLUMNS))
"""What the grid of heads can be coloured by: thumbnails of the weights, or a statistic."""


def column_of(key: str, units: str) -> Column:
    """The column of a statistic; of ``"weights"``, which are none, that of the entropy."""
    columns = columns_in(units)
    return next((column for column in columns if column.key == key), columns[0])
