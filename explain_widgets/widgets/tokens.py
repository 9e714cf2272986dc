"""Tokens as they are sent."""

from __future__ import annotations

from explain_widgets.live.samples import Token


def token_message(token: Token) -> tuple[str, str, int, int, int]:
    """A token as it is sent: text, raw, joined, special, generated."""
    flags = token.joined, token.special, token.generated
    return token.text, token.raw, *map(int, flags)  # type: ignore[return-value]
