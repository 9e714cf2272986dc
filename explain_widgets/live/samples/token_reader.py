"""Any tokenizer: which family it is of, text → arguments, ids → tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from explain_widgets.live.samples.tokens import (
    BYTE_LEVEL,
    BYTES,
    CLIP,
    END_OF_WORD,
    FAIRSEQ,
    SENTENCEPIECE,
    TEXT,
    WORDPIECE,
    WORDS,
    Family,
    Offsets,
    Token,
    TokenizerError,
    present,
    utf8,
)


def family_of(tokenizer: Any, tokens: Sequence[str] = ()) -> Family:
    """The family of a tokenizer: by its parts, else its vocabulary, else the tokens themselves.

    Parameters
    ----------
    tokenizer : object or None
        A transformers tokenizer (fast or slow), a ``tokenizers.Tokenizer``, a SentencePiece
        processor, or anything else.
    tokens : sequence of str, optional
        Tokens it made, looked at where the tokenizer says nothing.

    Examples
    --------
    >>> from explain_widgets.live.samples.token_reader import family_of
    >>> family_of(None, ["Hello", "Ġworld"]).name
    'byte-level BPE'
    """
    backend = getattr(tokenizer, "backend_tokenizer", None) or tokenizer
    if hasattr(backend, "model") and hasattr(backend, "pre_tokenizer"):
        family = _family_of_backend(backend)
        if family is not None:
            return family
    return (
        _family_of_object(tokenizer)
        or _family_of_words(_vocabulary(tokenizer), 0.05)
        or _family_of_words(tokens, 0.0)
        or WORDS
    )


def _family_of_backend(backend: Any) -> Family | None:
    """By the parts of a ``tokenizers.Tokenizer``."""
    parts = _parts(backend.decoder) | _parts(backend.pre_tokenizer)
    model = type(backend.model).__name__
    end = getattr(backend.model, "end_of_word_suffix", None)
    continuation = getattr(backend.model, "continuing_subword_prefix", None)
    if end:
        return replace(CLIP if "ByteLevel" in parts else END_OF_WORD, end=end)
    if "ByteLevel" in parts:
        return BYTE_LEVEL
    if parts.keys() & {"Metaspace", "ByteFallback"}:
        space = parts.get("Metaspace", {}).get("replacement", "▁")
        return replace(SENTENCEPIECE, space=space)
    if continuation:
        return replace(WORDPIECE, continuation=continuation)
    if "BPEDecoder" in parts:
        return replace(END_OF_WORD, end=parts["BPEDecoder"].get("suffix", "</w>"))
    return WORDS if model == "WordLevel" else None


def _parts(component: Any) -> dict[str, dict[str, Any]]:
    """Type → settings of a component and all within it (they only tell through their pickle)."""
    if component is None:
        return {}
    try:
        state = json.loads(component.__getstate__())
    except (AttributeError, TypeError, ValueError):  # a component written in Python
        return {}
    found: dict[str, dict[str, Any]] = {}
    waiting = [state]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            if isinstance(here.get("type"), str):
                found.setdefault(here["type"], here)
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)
    return found


def _family_of_object(tokenizer: Any) -> Family | None:
    """By what a tokenizer written in Python is made of."""
    if type(tokenizer).__name__.startswith("ByT5"):
        return BYTES
    if hasattr(tokenizer, "sp_model") or hasattr(tokenizer, "id_to_piece"):
        return SENTENCEPIECE
    if hasattr(tokenizer, "byte_encoder") or hasattr(tokenizer, "byte_decoder"):
        has_ends = _family_of_words(_vocabulary(tokenizer), 0.05) is END_OF_WORD
        return CLIP if has_ends else BYTE_LEVEL
    if hasattr(tokenizer, "wordpiece_tokenizer"):
        return WORDPIECE
    return None


def _vocabulary(tokenizer: Any) -> Sequence[str]:
    """All tokens a tokenizer knows, where it says so and they are not a million."""
    get = getattr(tokenizer, "get_vocab", None)
    size = getattr(tokenizer, "vocab_size", 0)
    if not callable(get) or (isinstance(size, int) and size > 600_000):
        return ()
    try:
        return [word for word in get() if isinstance(word, str)]
    except (NotImplementedError, TypeError):
        return ()


def _family_of_words(words: Sequence[str], least: float) -> Family | None:
    """By the marks that words carry: the one most of them have, if more than the share `least`."""
    marks: list[tuple[Family, Callable[[str], bool]]] = [
        (WORDPIECE, lambda word: word.startswith("##") and len(word) > 2),
        (BYTE_LEVEL, lambda word: word.startswith(("Ġ", "Ċ"))),
        (SENTENCEPIECE, lambda word: word.startswith("▁")),
        (END_OF_WORD, lambda word: word.endswith("</w>") and len(word) > 4),
        (FAIRSEQ, lambda word: word.endswith("@@") and len(word) > 2),
        (TEXT, lambda word: word.startswith((" ", "\n"))),
    ]
    counts = [(sum(map(has, words)), family) for family, has in marks]
    best, family = max(counts, key=lambda pair: pair[0])
    if words and best > least * len(words):
        return family
    plain = [word for word in words if not (word.startswith(("<", "[")) and len(word) > 2)]
    return TEXT if plain and all(len(word) == 1 for word in plain) else None


@dataclass(frozen=True)
class Encoded:
    """One text as the arguments of a model, each tensor with a batch axis of 1.

    Attributes
    ----------
    args, kwargs : tuple, dict
        Positional and keyword arguments.
    offsets : list of (start, stop) or None
        Where each token lies in the text.
    mask : tensor (1, tokens) or None
        1 where a token is no padding, if the tokenizer says so beside its arguments.
    note : str or None
        What was left out ("cut to the first 512 of 700 tokens").
    """

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    offsets: Offsets | None = None
    mask: torch.Tensor | None = None
    note: str | None = None


class TokenReader:
    """Text → arguments and ids → tokens, with any tokenizer.

    Parameters
    ----------
    tokenizer : object
        A transformers tokenizer (fast, slow) or processor, a ``tokenizers.Tokenizer``, an
        object with ``encode`` (SentencePiece, tiktoken), or a callable from a text to a
        tensor, a list of ids, a tuple of tensors or a mapping. Tokens are named by
        ``convert_ids_to_tokens``, ``id_to_token``, ``id_to_piece``,
        ``decode_single_token_bytes`` or ``decode``, whichever is there, else by their ids.

    Examples
    --------
    >>> from explain_widgets.live.samples.token_reader import TokenReader
    >>> reader = TokenReader(lambda text: [ord(character) for character in text])
    >>> [token.text for token in reader.tokens(reader.encode("hi").args[0][0])]
    ['104', '105']
    """

    def __init__(self, tokenizer: Any) -> None:
        # A processor for several kinds of input holds its tokenizer.
        inner = getattr(tokenizer, "tokenizer", None)
        is_processor = hasattr(inner, "convert_ids_to_tokens")
        self.tokenizer = inner if is_processor else tokenizer

    @cached_property
    def _added(self) -> dict[int, bool]:
        """Ids added to the vocabulary as literal text → whether they are special."""
        added = getattr(self.tokenizer, "added_tokens_decoder", None)
        get = getattr(self.tokenizer, "get_added_tokens_decoder", None)
        if added is None and callable(get):
            added = get()
        known = {int(i): bool(getattr(t, "special", False)) for i, t in (added or {}).items()}
        return known | dict.fromkeys(getattr(self.tokenizer, "all_special_ids", None) or (), True)

    @cached_property
    def _own_family(self) -> Family | None:
        """The family as far as the tokenizer itself tells; None: look at the tokens."""
        names = _names_of(self.tokenizer)
        if names is None or names is _decoded_bytes:
            return WORDS if names is None else TEXT
        family = family_of(self.tokenizer)
        return None if family is WORDS and not _vocabulary(self.tokenizer) else family

    @property
    def padding_id(self) -> int | None:
        """The id of the token that texts are padded with; None: the tokenizer does not say."""
        padding = getattr(self.tokenizer, "padding", None)  # of tokenizers.Tokenizer
        of_backend = padding.get("pad_id") if isinstance(padding, dict) else None
        found = getattr(self.tokenizer, "pad_token_id", of_backend)
        return found if isinstance(found, int) else None

    def encode(self, *texts: str) -> Encoded:
        """One text (or a pair, for a transformers tokenizer) as arguments of a model.

        A ``tokenizers.Tokenizer`` and callables that return ids give one positional argument;
        mappings give keywords.

        Raises
        ------
        TokenizerError
            If the tokenizer returns something no model takes, as words.
        """
        tokenizer = self.tokenizer
        if hasattr(tokenizer, "convert_ids_to_tokens") and hasattr(tokenizer, "model_input_names"):
            return _encode_transformers(tokenizer, texts)
        encode = tokenizer if callable(tokenizer) else getattr(tokenizer, "encode", None)
        if encode is None:
            raise TokenizerError(
                f"tokenizer={type(tokenizer).__name__} can neither be called nor has encode()."
            )
        out = encode(*texts)
        if hasattr(out, "ids") and hasattr(out, "attention_mask"):  # tokenizers.Encoding
            mask = torch.tensor([out.attention_mask])
            return Encoded((_batch(out.ids),), {}, out.offsets, mask)
        if isinstance(out, Mapping):
            kwargs = {name: _batch(value) for name, value in out.items()}
            return Encoded((), kwargs, _offsets(out))
        return Encoded(tuple(map(_batch, out)) if _is_several(out) else (_batch(out),))

    def id_of(self, text: str) -> int:
        """The id of a text that is one token, as it is written or with a space before it.

        Raises
        ------
        TokenizerError
            When it is several, or none.
        """
        found: list[Token] = []
        for written in (text, f" {text}"):
            encoded = self.encode(written)
            ids = encoded.kwargs.get("input_ids", next(iter(encoded.args), None))
            tokens = [] if ids is None else self.tokens(ids[0])
            plain = [n for n, token in enumerate(tokens) if not token.special]
            if ids is not None and len(plain) == 1:
                return int(ids[0][plain[0]])
            found = found or [tokens[n] for n in plain]
        listed = ", ".join(f"“{token.text}”" for token in found) or "none"
        raise TokenizerError(f"“{text}” is no single token of the vocabulary but {listed}.")

    def tokens(self, ids: Any, offsets: Offsets | None = None) -> list[Token]:
        """The tokens of a row of ids.

        Parameters
        ----------
        ids : int tensor (tokens,) or sequence of int
            Negative ids (ignored labels) and ids outside the vocabulary are shown as numbers.
        offsets : sequence of (start, stop), optional
            Where each token lies in the text.
        """
        numbers = [int(i) for i in (ids.tolist() if hasattr(ids, "tolist") else ids)]
        names = _names_of(self.tokenizer)
        raw = [_name(names, self.tokenizer, i) for i in numbers]
        special = [i < 0 or self._added.get(i, False) for i in numbers]
        literal = [i in self._added for i in numbers]
        plain = [name for name, mark in zip(raw, literal, strict=True) if not mark]
        family = self._own_family or family_of(None, plain)
        if names is _decoded:  # pieces of the text if they add up to it, else words
            family = TEXT if "".join(raw) == _whole(self.tokenizer, numbers) else WORDS
        return present(raw, family, special=special, literal=literal, offsets=offsets)


def _encode_transformers(tokenizer: Any, texts: Sequence[str]) -> Encoded:
    """Cut to what the tokenizer says the model can take, and say so."""
    longest = getattr(tokenizer, "model_max_length", None) or 0
    # transformers writes 1e30 where it does not know; verbose=False: the note says it instead.
    limit = int(longest) if 0 < longest < 10**9 else None
    out = tokenizer(*texts, return_tensors="pt", verbose=False)
    note = None
    ids = out.get("input_ids")
    if limit is not None and ids is not None and ids.shape[-1] > limit:
        note = f"cut to the first {limit:,} of {ids.shape[-1]:,} tokens"
        out = tokenizer(*texts, return_tensors="pt", truncation=True, max_length=limit)
    return Encoded((), dict(out), _offsets(out), None, note)


def _offsets(encoding: Any) -> Offsets | None:
    """The places in the text that a transformers BatchEncoding keeps for its first row."""
    encodings = getattr(encoding, "encodings", None)
    return encodings[0].offsets if encodings else None


def _is_several(out: Any) -> bool:
    return isinstance(out, tuple) and all(isinstance(value, torch.Tensor) for value in out)


def _batch(value: Any) -> Any:
    """Ids as a tensor with a batch axis of 1."""
    if isinstance(value, list | tuple) and any(isinstance(word, str) for word in value):
        raise TokenizerError(
            "The tokenizer returned words, and a model takes numbers: pass a tokenizer that"
            " returns ids (a tensor, a list of int, or a mapping of them)."
        )
    tensor = value if isinstance(value, torch.Tensor) else torch.as_tensor(value)
    return tensor[None] if tensor.ndim < 2 else tensor


# How ids become raw tokens; each takes the tokenizer and one id.


def _converted(tokenizer: Any, number: int) -> Any:
    return tokenizer.convert_ids_to_tokens([number])[0]


def _looked_up(tokenizer: Any, number: int) -> Any:
    return tokenizer.id_to_token(number)


def _piece(tokenizer: Any, number: int) -> Any:
    return tokenizer.id_to_piece(number)


def _decoded_bytes(tokenizer: Any, number: int) -> Any:
    return utf8(tokenizer.decode_single_token_bytes(number))


def _decoded(tokenizer: Any, number: int) -> Any:
    return tokenizer.decode([number])


def _whole(tokenizer: Any, numbers: Sequence[int]) -> Any:
    try:
        return tokenizer.decode(list(numbers))
    except Exception:  # noqa: BLE001 (ids it does not know: each library fails in its way)
        return None


def _names_of(tokenizer: Any) -> Callable[[Any, int], Any] | None:
    ways: list[tuple[str, Callable[[Any, int], Any]]] = [
        ("convert_ids_to_tokens", _converted),
        ("id_to_token", _looked_up),
        ("id_to_piece", _piece),
        ("decode_single_token_bytes", _decoded_bytes),
        ("decode", _decoded),
    ]
    return next((way for name, way in ways if callable(getattr(tokenizer, name, None))), None)


def _name(names: Callable[[Any, int], Any] | None, tokenizer: Any, number: int) -> str:
    """The raw token of an id, or the id where there is none."""
    if names is None or number < 0:
        return str(number)
    try:
        name = names(tokenizer, number)
    except Exception:  # noqa: BLE001 (as above)
        return str(number)
    return name if isinstance(name, str) else str(number)
