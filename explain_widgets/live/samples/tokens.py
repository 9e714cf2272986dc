"""Raw tokens of any tokenizer, turned into what people read.

Tokenizers write word boundaries, spaces and bytes into their tokens, each family in its own
way (``##ing``, ``Ġworld``, ``▁world``, ``world</w>``, ``wor@@``, ``<0x0A>``). `present` undoes
that for one family; `family_of` finds the family; `TokenReader` does both for one tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from explain_widgets.live.errors import ExplainError


class TokenizerError(ExplainError, TypeError):
    """The tokenizer cannot be used on samples, and why."""


Offsets = Sequence[tuple[int, int]]


class Token(NamedTuple):
    """One token as it is shown.

    Attributes
    ----------
    text : str
        What is shown: no marks of the tokenizer, white space visible (``↵ ⇥ ␣``), bytes that
        are no whole character as ``⟨E2 80⟩``. Never empty.
    raw : str
        The token as the tokenizer spells it.
    joined : bool
        No space between this token and the one before it.
    special : bool
        A token that stands for no text (``[CLS]``, ``</s>``, padding).
    generated : bool
        A token that the model wrote itself.

    Examples
    --------
    >>> from explain_widgets.live.samples.tokens import WORDPIECE, present
    >>> [token.text for token in present(["token", "##ise"], WORDPIECE)]
    ['token', 'ise']
    """

    text: str
    raw: str
    joined: bool
    special: bool
    generated: bool = False


@dataclass(frozen=True)
class Family:
    """How one family of tokenizers writes its tokens.

    Attributes
    ----------
    name : str
        The family in words.
    continuation : str
        Mark at the start of a token that continues a word (``##``).
    end : str
        Mark at the end of the last token of a word (``</w>``).
    unfinished : str
        Mark at the end of a token whose word goes on (``@@``).
    space : str
        The character that stands for a space (``▁``).
    spaced : bool
        Tokens carry the spaces of the text; a gap is where a token starts with one.
    byte_alphabet : bool
        Each character stands for a byte (GPT-2's table: ``Ġ`` is a space).
    byte_tokens : bool
        Tokens like ``<0x0A>`` are bytes.
    latin_bytes : bool
        Each character is the byte of the same number (ByT5).
    """

    name: str
    continuation: str = ""
    end: str = ""
    unfinished: str = ""
    space: str = ""
    spaced: bool = False
    byte_alphabet: bool = False
    byte_tokens: bool = False
    latin_bytes: bool = False


WORDPIECE = Family("WordPiece", continuation="##")
BYTE_LEVEL = Family("byte-level BPE", spaced=True, byte_alphabet=True)
SENTENCEPIECE = Family("SentencePiece", space="▁", spaced=True, byte_tokens=True)
END_OF_WORD = Family("BPE with word ends", end="</w>")
CLIP = replace(END_OF_WORD, name="byte-level BPE with word ends", byte_alphabet=True)
FAIRSEQ = Family("fairseq BPE", unfinished="@@")
BYTES = Family("bytes", spaced=True, latin_bytes=True)
TEXT = Family("pieces of text", spaced=True)
WORDS = Family("words")


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's table, character → byte: printable bytes are themselves, the rest from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + n): byte for n, byte in enumerate(rest)}


_BYTE_OF = _byte_alphabet()


def utf8(data: bytes) -> str:
    """Decode, showing bytes that are no whole character as ``⟨E2 80⟩``."""
    text, broken = "", b""
    while data:
        try:
            good, bad, data = data.decode("utf-8"), b"", b""
        except UnicodeDecodeError as error:
            good = data[: error.start].decode("utf-8")
            bad, data = data[error.start : error.end], data[error.end :]
        if good and broken:
            text, broken = text + _hex(broken), b""
        text, broken = text + good, broken + bad
    return text + _hex(broken) if broken else text


def _hex(data: bytes) -> str:
    return f"⟨{data.hex(' ').upper()}⟩"


def _byte_token(raw: str) -> int | None:
    """The byte that a SentencePiece byte token ``<0x0A>`` stands for."""
    if len(raw) == 6 and raw.startswith("<0x") and raw.endswith(">"):
        try:
            return int(raw[3:5], 16)
        except ValueError:
            return None
    return None


class _Spelled(NamedTuple):
    text: str
    opens: bool  # a gap before it
    closes: bool  # a gap after it


def _spell(raw: str, family: Family, literal: bool) -> _Spelled:
    """Undo the marks of one token. `literal`: added to the vocabulary as plain text."""
    if literal:
        return _Spelled(raw, not (family.spaced or family.end), False)
    text, opens, closes = raw, not (family.spaced or family.end or family.unfinished), False
    # A token that is nothing but the mark is text: WordPiece tokens can be "##" itself.
    if family.continuation and len(raw) > len(family.continuation):
        opens = not raw.startswith(family.continuation)
        text = raw if opens else raw[len(family.continuation) :]
    if family.end and raw.endswith(family.end):
        text, closes = raw[: -len(family.end)], True
    if family.unfinished:
        closes = not raw.endswith(family.unfinished)
        text = raw if closes else raw[: -len(family.unfinished)]
    text = _characters(text, family)
    if family.spaced and text.startswith(" ") and text.strip():
        text, opens = text[1:], True
    return _Spelled(text, opens, closes)


def _characters(text: str, family: Family) -> str:
    """Undo the way a family writes spaces and bytes."""
    byte = _byte_token(text) if family.byte_tokens else None
    if byte is not None:
        return utf8(bytes([byte]))
    if family.space:
        text = text.replace(family.space, " ")
    if family.byte_alphabet:
        return utf8(b"".join(_as_byte(character, _BYTE_OF) for character in text))
    if family.latin_bytes and all(ord(character) < 256 for character in text):
        return utf8(text.encode("latin-1"))
    return text


def _as_byte(character: str, table: Mapping[str, int]) -> bytes:
    byte = table.get(character)
    return character.encode("utf-8", "replace") if byte is None else bytes([byte])


def _visible(text: str) -> str:
    """White space and control characters as signs, so that no token looks empty."""
    text = text.replace("\r\n", "↵").replace("\n", "↵").replace("\t", "⇥")
    core = text.strip()
    start = len(text) - len(text.lstrip())
    if not core:
        return "␣" * len(text)
    # Format characters (joiners, directions) are left alone inside a word, where they belong.
    is_shown = _not_control if any(map(str.isprintable, core)) else str.isprintable
    core = "".join(c if is_shown(c) else f"⟨U+{ord(c):04X}⟩" for c in core)
    return "␣" * start + core + "␣" * (len(text) - start - len(text.strip()))


def _not_control(character: str) -> bool:
    return ord(character) >= 0x20 and not 0x7F <= ord(character) < 0xA0


def present(
    raw: Sequence[str],
    family: Family,
    *,
    special: Sequence[bool] | None = None,
    literal: Sequence[bool] | None = None,
    offsets: Offsets | None = None,
) -> list[Token]:
    """Raw tokens as people read them.

    Parameters
    ----------
    raw : sequence of str
        The tokens as the tokenizer spells them.
    family : Family
        How to read them.
    special, literal : sequence of bool, optional
        Which tokens stand for no text, and which were added to the vocabulary as plain text;
        neither carries marks of the family.
    offsets : sequence of (start, stop), optional
        Where each token lies in the text. Families whose marks do not tell punctuation from
        words (``##``, ``</w>``) are joined exactly with it: "don't", not "don ' t".

    Returns
    -------
    list of Token
        As many as `raw`.

    Examples
    --------
    >>> from explain_widgets.live.samples.tokens import BYTE_LEVEL, present, read
    >>> read(present(["Hello", "Ġwor", "ld", "!"], BYTE_LEVEL))
    'Hello world!'
    """
    specials = special if special is not None else [False] * len(raw)
    literals = literal if literal is not None else [False] * len(raw)
    tokens: list[Token] = []
    gap = True  # nothing joins the first token, nor the one after a special token
    stop: int | None = None  # where the token before ends in the text
    by_offset = offsets is not None and len(offsets) == len(raw) and not family.spaced
    for i, name in enumerate(raw):
        if specials[i]:
            tokens.append(Token(name or "⟨⟩", name, False, True))
            gap, stop = True, None
            continue
        spelled = _spell(name, family, literals[i])
        joined = not gap and not spelled.opens
        if by_offset and offsets is not None and offsets[i][1] > offsets[i][0]:
            joined = stop == offsets[i][0]
            # A typed "##1" after a space is a word, whatever it looks like.
            if not joined and family.continuation:
                spelled = spelled._replace(text=name)
            stop = offsets[i][1]
        tokens.append(Token(_visible(spelled.text) or name or "⟨⟩", name, joined, False))
        gap = spelled.closes
    return tokens


def read(tokens: Iterable[Token]) -> str:
    """The tokens as one text, by the rule of `Token.joined`.

    Examples
    --------
    >>> from explain_widgets.live.samples.tokens import Token, read
    >>> read([Token("token", "token", False, False), Token("ise", "##ise", True, False)])
    'tokenise'
    """
    text = ""
    for token in tokens:
        text += token.text if token.joined or not text else " " + token.text
    return text
