"""Texts that people do not write: those that brought espeak-ng 1.52 down, and random ones."""

import random

DEADLY = {  # espeak-ng 1.52 overflows its stack, or so it did
    "dots": "A." * 193,
    "dots between letters that no voice reads": "\u2c34." * 67,
    "dots before letters, behind spaces": "\u05d3 ." * 134,
    "dots before signs": ".\u0949" * 200,
    "dots behind signs of another script": "\u065c." * 200,
    "a circled M before a letter, in Amharic": "\u24c2\u105d",
    "apostrophes": "s'" * 110,
    "a long address": "https://" + ".".join(f"host{n}" for n in range(90)),
    "one word": "Donaudampfschiff" * 250,
    "marks": "!?" * 2000,
    "quotes": "\"'" * 2000,
    "accents on accents": "e\u0301\u0302" + "\u0303" * 3000,
    "joiners": "a\u200d" * 2000,
    "Braille of eight dots": "\u28ff",
    "a hyphen behind a mark, before a sign": "\u0965(-\u0901\u0916\u0922",
    "a hyphen behind a mark": "(-\u0915\u092e\u0932)",
}

SCRIPTS = {  # a voice, and the first and last letter of what it reads
    "en-us": (0x20, 0x7E), "de": (0x20, 0x17F), "ru": (0x410, 0x44F), "el": (0x391, 0x3C9),
    "ar": (0x621, 0x65F), "he": (0x5D0, 0x5EA), "hi": (0x901, 0x97F), "cmn": (0x4E00, 0x4FFF),
    "ko": (0xAC00, 0xADFF), "ja": (0x3041, 0x30FE), "am": (0x1200, 0x135A), "ka": (0x10D0, 0x10F0),
}  # fmt: skip
MARKS = ".,'\"-_()[]{}<>&;:!?/\\@#%^*+=~`|…0123456789"


def random_text(rng: random.Random, voice: str) -> str:
    """A text of the voice's script or of any, with more marks than people write."""
    first, last = SCRIPTS[voice] if rng.random() < 0.7 else (0x20, 0xD7FF)
    length = rng.choice([10, 50, 200, 400])
    unit = "".join(
        rng.choice(MARKS + " ") if rng.random() < 0.3 else chr(rng.randint(first, last))
        for _ in range(rng.choice([2, 3, 5, length]))
    )
    return (unit * length)[:length]
