"""Splits long sentences for piper. It speaks a sentence as a whole: time and memory grow with its
length, and it cannot be interrupted. Pure."""

import re

MAX_SENTENCE = 400  # characters of a sentence at most, about half a minute
SENTENCE_BREAK = "\n\n"  # ends a sentence for espeak-ng in any language
ENDS = re.compile(r"[.!?\u2026\u3002\uff01\uff1f\u0964\u061f][\"')\]\u201d\u2019]*\s|\n\s*\n")


def split_long_sentences(text: str) -> str:
    """`text` without sentences longer than `MAX_SENTENCE`; they are split at a space."""
    out, begin = [], 0
    while len(text) - begin > MAX_SENTENCE:
        ends = [found.end() for found in ENDS.finditer(text, begin, begin + MAX_SENTENCE)]
        if ends:
            end, border = ends[-1], ""
        else:
            space = text.rfind(" ", begin + 1, begin + MAX_SENTENCE)
            end, border = (space if space > 0 else begin + MAX_SENTENCE), SENTENCE_BREAK
        out += [text[begin:end], border]
        begin = end
    return "".join([*out, text[begin:]])
