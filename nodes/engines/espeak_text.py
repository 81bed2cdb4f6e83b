"""Text in the pieces that espeak-ng 1.52 can take.

It keeps a word, and what it makes of it, in places of fixed size on its stack: 193 times "A.", 110
times "s'" or a long dotted address bring its process down. So what it takes for one word is never
long: spaces are put in, where nobody hears them. A Braille pattern is read out dot by dot into such
a place, in five languages too small for eight: the six dots of a letter are kept. A hyphen between
a mark and a word in letters of India or Thailand brings it down too: none begins a word. So does a
circled M before a letter, in Amharic: a picture is a word by itself. Pure.
"""

import itertools
import re
import unicodedata

LONGEST = 40  # characters without a space; the longest words of books have about as many
MARKS_AT_ONCE = 3  # of the same mark in a row: an ellipsis
MARKS_IN_A_RUN = 12  # marks between two spaces: of numbers, dates and addresses
DOTS_AT_ONCE = 24  # before letters and their signs, in one clause: 60 bring it down
CLAUSE_ENDS = ",;:!?\n"  # with a space behind; a dot is none before a small letter
JOINERS_AT_ONCE = 4  # characters in a row that stand on or join others; scripts need up to three
FIRST_PICTURE = "\u2100"  # symbols from here on stand by themselves; a degree does not
DRAWN_AS = "\ufe0e\ufe0f"  # as text, as an emoji
BRAILLE = {0x2800 + dots: 0x2800 + dots % 64 for dots in range(256)}  # dots 7 and 8 are dropped
REPEATED = re.compile(rf"([^\w\s])\1{{{MARKS_AT_ONCE},}}")


def make_safe(text: str) -> str:
    """`text` without what espeak-ng cannot take."""
    text = REPEATED.sub(lambda found: found[1] * MARKS_AT_ONCE, text.translate(BRAILLE))
    out: list[str] = []
    run = marks = joiners = 0  # since the last space
    dotted = 0  # dots before letters, since a clause may have ended
    in_word = False  # the last was a letter or a digit, or what stands on one
    for character, following in itertools.zip_longest(text, text[1:], fillvalue=""):
        kind = unicodedata.category(character)
        if character == "-" and not in_word and _goes_on(following):
            character = " "
        if character == "." and following and unicodedata.category(following)[0] in "LMC":
            dotted += 1
            character = "." if dotted <= DOTS_AT_ONCE else " "
        elif character in CLAUSE_ENDS and (following.isspace() or character.isspace()):
            dotted = 0
        in_word = kind[0] in "LN" or (in_word and kind[0] in "MC")
        if character.isspace():
            run = marks = joiners = 0
            out.append(character)
            continue
        joiners = joiners + 1 if kind[0] == "M" or kind == "Cf" else 0
        if joiners > JOINERS_AT_ONCE:
            continue
        if (run >= LONGEST or marks >= MARKS_IN_A_RUN) and not joiners:
            out.append(" ")
            run = marks = 0
        run += 1
        marks += kind[0] in "PS"
        out.append(character)
        if kind == "So" and character >= FIRST_PICTURE and _begins_word(following):
            out.append(" ")
            run = marks = 0
    return "".join(out)


def _goes_on(following: str) -> bool:
    """Whether a hyphen before it would begin a word: before a letter, or what stands on one."""
    return bool(following) and unicodedata.category(following)[0] in "LMC"


def _begins_word(following: str) -> bool:
    """Whether it is a letter, or a sign of one; not what says how a picture is drawn."""
    is_part = bool(following) and unicodedata.category(following)[0] in "LM"
    return is_part and following not in DRAWN_AS
