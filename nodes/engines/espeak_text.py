"""Changes a text so that it cannot crash espeak-ng 1.52. Pure.

espeak-ng keeps a word and its phonemes in fixed-size buffers on its stack. They overflow, for
example by 193 times "A.", by 110 times "s'", or by a long dotted address. Inserted spaces, which
are not audible, keep words short.

It spells a Braille pattern dot by dot into such a buffer, which in five languages is too small for
eight dots: the six dots of a letter are kept. A hyphen between punctuation and a word in Indian or
Thai letters also crashes it: a hyphen at the start of a word is removed. So does a circled M before
a letter in Amharic: a pictograph becomes a word of its own.
"""

import itertools
import re
import unicodedata

MAX_RUN = 40  # characters without a space; about as many as the longest words in books
MAX_REPEATED_MARKS = 3  # of the same punctuation mark in a row: an ellipsis
MAX_MARKS = 12  # punctuation marks between two spaces, as in numbers, dates and addresses
MAX_DOTS = 24  # before letters or combining marks, in one clause: 60 crash it
CLAUSE_ENDS = ",;:!?\n"  # followed by a space; a dot before a small letter ends no clause
MAX_JOINERS = 4  # combining or joining characters in a row; scripts need up to three
FIRST_PICTOGRAPH = "\u2100"  # symbols before it, such as the degree sign, are harmless
VARIATION_SELECTORS = "\ufe0e\ufe0f"  # display as text, as emoji
BRAILLE = {0x2800 + dots: 0x2800 + dots % 64 for dots in range(256)}  # dots 7 and 8 are dropped
REPEATED = re.compile(rf"([^\w\s])\1{{{MAX_REPEATED_MARKS},}}")


def make_safe(text: str) -> str:
    """`text`, changed so that it does not crash espeak-ng."""
    text = REPEATED.sub(lambda found: found[1] * MAX_REPEATED_MARKS, text.translate(BRAILLE))
    out: list[str] = []
    run = marks = joiners = 0  # since the last space
    dotted = 0  # dots before letters in this clause
    in_word = False  # the last character was a letter or digit, or combined with one
    for character, following in itertools.zip_longest(text, text[1:], fillvalue=""):
        kind = unicodedata.category(character)
        if character == "-" and not in_word and _is_word_part(following):
            character = " "
        if character == "." and following and unicodedata.category(following)[0] in "LMC":
            dotted += 1
            character = "." if dotted <= MAX_DOTS else " "
        elif character in CLAUSE_ENDS and (following.isspace() or character.isspace()):
            dotted = 0
        in_word = kind[0] in "LN" or (in_word and kind[0] in "MC")
        if character.isspace():
            run = marks = joiners = 0
            out.append(character)
            continue
        joiners = joiners + 1 if kind[0] == "M" or kind == "Cf" else 0
        if joiners > MAX_JOINERS:
            continue
        if (run >= MAX_RUN or marks >= MAX_MARKS) and not joiners:
            out.append(" ")
            run = marks = 0
        run += 1
        marks += kind[0] in "PS"
        out.append(character)
        if kind == "So" and character >= FIRST_PICTOGRAPH and _begins_word(following):
            out.append(" ")
            run = marks = 0
    return "".join(out)


def _is_word_part(following: str) -> bool:
    """Whether a hyphen before this character would be the start of a word."""
    return bool(following) and unicodedata.category(following)[0] in "LMC"


def _begins_word(following: str) -> bool:
    """Whether it is a letter or a combining mark, but no variation selector."""
    is_part = bool(following) and unicodedata.category(following)[0] in "LM"
    return is_part and following not in VARIATION_SELECTORS
