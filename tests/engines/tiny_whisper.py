"""Whisper models for tests: half a second to make, less than a megabyte, and they say what we want.

A model made here has the shape of Whisper and is loaded by faster-whisper like any other, but its
weights are a table: *after this token comes that one*. Whatever half minute of sound it is given,
it transcribes `script`, word by word, each taking WORD seconds; asked to translate, it says
`translation`. Asked for the language, it says English.

How the table gets into a transformer: the decoder's embedding of a token is a one-hot vector, its
"state"; attention and feed-forward layers are zero and add nothing; the projection gives the
highest score to the token that follows the state. The only attention that works is from the
decoder to the encoder: the encoder's position embeddings carry the state of the word that is
spoken there, so that the alignment from which word times are taken is exact.
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

WORD = 0.4  # seconds that each word takes
FRAME = 0.02  # seconds between two time stamps, and between two positions of the encoder
POSITIONS = 1500  # of the encoder: 30 s
STAMPS = POSITIONS + 1
CONTEXT = 448  # tokens of the decoder
MELS = 80  # bands of the spectrum
STRONG = 20.0  # of an embedding: far above what layer normalisation makes of the rest
SURE = 6.0  # of a projection: the following token wins with near certainty
END, START, NO_STAMPS = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"
TRANSCRIBE, TRANSLATE = "<|transcribe|>", "<|translate|>"
FILES = ("config.json", "model.bin", "tokenizer.json", "vocabulary.json")


def make(
    folder: Path,
    script: str = "hello from the small scripted model",
    translation: str = "this is a translated text",
    *,
    width: int = 0,
    layers: int = 1,
) -> Path:
    """A model in `folder`. Every word of the two texts must be different.

    `width` and `layers` make it as much work as a real model: 512 and 6 are Whisper's "base".
    """
    from ctranslate2.specs import whisper_spec

    words, translated = script.split(), translation.split()
    assert len({*words, *translated}) == len(words) + len(translated), "a word occurs twice"
    vocabulary = _Vocabulary([*words, *translated])
    table = _Table(vocabulary, words, translated, width)
    spec = whisper_spec.WhisperSpec(layers, 1, layers, 1)
    _fill(spec, table, len(vocabulary.tokens))
    spec.config.suppress_ids = [vocabulary.id[t] for t in (START, TRANSLATE, TRANSCRIBE)]
    spec.config.suppress_ids_begin = [vocabulary.id[END]]
    spec.config.lang_ids = [vocabulary.id[t] for t in vocabulary.languages]
    spec.config.alignment_heads = [[0, 0]]
    spec.register_vocabulary(vocabulary.tokens)
    spec.validate()
    spec.optimize(None)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    (folder / "tokenizer.json").write_text(json.dumps(vocabulary.tokenizer()), "utf-8")
    return folder


def stamp(seconds: float) -> str:
    return f"<|{round(seconds / FRAME) * FRAME:.2f}|>"


class _Vocabulary:
    """Bytes, the words of the texts, and Whisper's own tokens, in Whisper's order."""

    def __init__(self, words: list[str]) -> None:
        from faster_whisper.tokenizer import _LANGUAGE_CODES

        self.languages = [f"<|{code}|>" for code in _LANGUAGE_CODES if code != "yue"]
        # CTranslate2 takes the empty token as the mark of a model of many languages.
        self.text = [*_byte_tokens(), *(spoken(word) for word in words), ""]
        self.special = [
            *(END, START, *self.languages, TRANSLATE, TRANSCRIBE),
            *("<|startoflm|>", "<|startofprev|>", "<|nospeech|>", NO_STAMPS),
        ]
        self.stamps = [stamp(i * FRAME) for i in range(STAMPS)]
        self.tokens = [*self.text, *self.special, *self.stamps]
        self.id = {token: i for i, token in enumerate(self.tokens)}

    def tokenizer(self) -> dict[str, Any]:
        """As the `tokenizers` library reads it."""
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        bytelevel = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
        return {
            "version": "1.0",
            "added_tokens": [
                {"id": self.id[t], "content": t, "special": t in self.special, **flags}
                for t in (*self.special, *self.stamps)
            ],
            "pre_tokenizer": {**bytelevel, "use_regex": True},
            "decoder": {**bytelevel, "use_regex": True},
            "model": {
                "type": "BPE",
                "vocab": {token: i for i, token in enumerate(self.text)},
                "merges": [],
            },
        }


class _Table:
    """After this token comes that one."""

    def __init__(
        self, vocabulary: _Vocabulary, words: list[str], translated: list[str], width: int
    ) -> None:
        self._id = vocabulary.id
        size = len(vocabulary.tokens)
        states = len(words) + len(translated) + 8  # a few for Whisper's own tokens; 0 is "over"
        self.width = max(-(-states // 8) * 8, width)
        self.embedding = np.zeros((size, self.width), np.float32)
        self.projection = np.zeros((size, self.width), np.float32)
        self.positions = np.zeros((POSITIONS, self.width), np.float32)
        self._states = 0
        self.embedding[:, 0] = STRONG  # any token without a place in the table leads to the end
        self.projection[self._id[END], 0] = SURE
        self._chain(TRANSCRIBE, *_text(words, 0))
        self._chain(TRANSLATE, *_text(translated, FRAME))
        self._chain(START, "<|en|>")
        self._chain(NO_STAMPS, spoken(words[0]))
        for text in (words, translated):
            self._place(text)

    def _chain(self, *tokens: str) -> None:
        for token, following in pairwise(tokens):
            self.projection[self._id[following], self._state(token)] = SURE

    def _state(self, token: str) -> int:
        row = self.embedding[self._id[token]]
        if not row[1:].any():
            self._states += 1
            row[:] = 0
            row[self._states] = STRONG
        return int(row.argmax())

    def _place(self, words: list[str]) -> None:
        """Where a word is spoken, the encoder shows the state that comes *before* the word.

        Whisper's alignment of a word is taken where the decoder stood when it chose the word.
        """
        before = [NO_STAMPS, *map(spoken, words)]
        for k, token in enumerate(before):
            begin = round(k * WORD / FRAME)
            end = round((k + 1) * WORD / FRAME) if k < len(words) else POSITIONS
            self.positions[begin:end, self._state(token)] = STRONG


def _fill(spec: Any, table: _Table, size: int) -> None:
    """All weights: zeros, but for the table and the one attention that works."""
    from ctranslate2.specs import model_spec

    d = table.width

    def shape(name: str) -> tuple[int, ...]:
        for part, dimensions in (
            ("conv1/weight", (d, MELS, 3)),
            ("conv2/weight", (d, d, 3)),
            ("projection/weight", (size, d)),
            ("projection/bias", (size,)),
            ("embeddings/weight", (size, d)),
            ("ffn/linear_0/weight", (4 * d, d)),
            ("ffn/linear_0/bias", (4 * d,)),
            ("ffn/linear_1/weight", (d, 4 * d)),
            ("self_attention/linear_0/weight", (3 * d, d)),
            ("self_attention/linear_0/bias", (3 * d,)),
            ("/attention/linear_1/weight", (2 * d, d)),
            ("/attention/linear_1/bias", (2 * d,)),
        ):
            if name.endswith(part):
                return dimensions
        if name.endswith("position_encodings/encodings"):
            return (POSITIONS if name.startswith("encoder") else CONTEXT, d)
        return (d, d) if name.endswith("weight") else (d,)

    def zero(layer: Any, name: str, value: Any) -> None:
        attribute = name.rsplit("/", 1)[1]
        optional = attribute in ("bias",) and "projection" in name
        if attribute in ("weight", "bias", "encodings", "beta") and not optional:
            setattr(layer, attribute, np.zeros(shape(name), np.float32))
        elif attribute == "gamma":
            setattr(layer, attribute, np.ones(d, np.float32))

    model_spec.visit_spec(spec, zero)
    spec.encoder.position_encodings.encodings = table.positions
    spec.decoder.embeddings.weight = table.embedding
    spec.decoder.projection.weight = table.projection
    query, keys_and_values, *_ = spec.decoder.layer[0].attention.linear
    look = 2 * np.eye(d, dtype=np.float32)
    query.weight = look
    keys_and_values.weight = np.concatenate([look, np.zeros_like(look)])


def _text(words: list[str], start: float) -> list[str]:
    end = start + len(words) * WORD
    return [stamp(start), *map(spoken, words), stamp(end), END]


def spoken(word: str) -> str:
    """A word with the space before it, as byte-level vocabularies write it."""
    return f"Ġ{word}"


def _byte_tokens() -> list[str]:
    """A printable character for each of the 256 bytes, as GPT-2 chose them."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = (chr(256 + i) for i in range(256))
    return [chr(byte) if byte in printable else next(others) for byte in range(256)]
