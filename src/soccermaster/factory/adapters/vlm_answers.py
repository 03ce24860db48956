"""What a vision-language model is asked about a person, and what its answers mean.

An answer that does not say one thing clearly is "not understood", never a guess. The two
`*_official` functions read answers as the released SoccerFactory does, for comparison.
"""

from __future__ import annotations

import re
from typing import Literal

from soccermaster.vocabulary import NO_NUMBER, ROLES, UNKNOWN

Rule = Literal["guarded", "official"]

LEGIBILITY_PROMPT = (
    "The picture shows one person of a soccer match. Can the shirt number on the back be read "
    "without guessing? Answer with one word: yes or no."
)
NUMBER_PROMPT = (
    "The picture shows one person of a soccer match. First decide whether the person is seen from "
    "behind. If so, and the number on the back can be read, answer with this number alone. "
    "Otherwise answer: No"
)
ROLE_PROMPT = (
    "The first picture shows one person, the second the whole scene of the soccer match from which "
    "it was cut. What is this person: player, goalkeeper, referee or other? A goalkeeper wears "
    "other colours than both teams and stands near a goal. Answer with one of these words alone."
)

_MAX_NUMBER = 99
_NUMBER = re.compile(r"(?<![\w.,+-])#?(\d{1,2})(?![\w%]|[.,:/-]\d)")
_ANY_DIGIT = re.compile(r"\d")
_DENIED = re.compile(r"\b(?:no|none|not|cannot|can't|can not|unable|unclear|n/a|unreadable)\b")
#: "No. 10" abbreviates "number 10".
_ABBREVIATION = re.compile(r"\b(?:no\.?|nr\.?|number)\s*(?=#?\d)")
_ROLE_WORDS = {
    "player": "player",
    "goalkeeper": "goalkeeper",
    "goal keeper": "goalkeeper",
    "goal-keeper": "goalkeeper",
    "goalie": "goalkeeper",
    "keeper": "goalkeeper",
    "referee": "referee",
    "linesman": "referee",
    "assistant referee": "referee",
    "other": "other",
}
_ROLE = re.compile(r"\b(" + "|".join(sorted(_ROLE_WORDS, key=len, reverse=True)) + r")s?\b")
#: The roles that the official pipeline asks for.
_OFFICIAL_ROLES = ("player", "goalkeeper", "referee", "other")


def parse_number(answer: str) -> int:
    """The number that an answer names: 0..99, 100 for "none to see", -1 for "not understood".

    One number of one or two digits, alone or in a sentence, is that number. Several different
    ones, longer ones, fractions, and a number beside a denial are not understood.
    """
    text = _ABBREVIATION.sub("", answer.strip().lower())
    numbers = {int(digits) for digits in _NUMBER.findall(text)}
    digits_left = _ANY_DIGIT.search(_NUMBER.sub("", text))
    denied = _DENIED.search(text)
    if digits_left or len(numbers) > 1 or (numbers and denied):
        return UNKNOWN
    if numbers:
        return numbers.pop()
    return NO_NUMBER if denied else UNKNOWN


def parse_number_official(answer: str) -> int:
    """All digits of the answer in one string; none to see where there are none.

    The release has no bound; a number above 99 is not understood here, and its training loader
    drops it as well.

    Source: SoccerFactory release, `jersey_number_detect`.
    """
    digits = "".join(re.findall(r"\d", answer))
    if not digits:
        return NO_NUMBER
    return int(digits) if int(digits) <= _MAX_NUMBER else UNKNOWN


def parse_role(answer: str) -> int:
    """The role that an answer names, as an index in `vocabulary.ROLES`; -1 when not understood.

    Case, punctuation and words around it do not matter; two different roles are not understood.
    """
    text = " ".join(answer.lower().split())
    found = {_ROLE_WORDS[word] for word in _ROLE.findall(text)}
    if len(found) != 1 or _DENIED.search(text):
        return UNKNOWN
    return ROLES.index(found.pop())


def parse_role_official(answer: str) -> int:
    """The answer must be one of the four words, in any case, and nothing else.

    Source: SoccerFactory release, `role`.
    """
    word = answer.lower()
    return ROLES.index(word) if word in _OFFICIAL_ROLES else UNKNOWN


def parse_legible(answer: str) -> bool | None:
    """Yes or no; None when the answer is neither, or both."""
    words = set(re.findall(r"[a-z]+", answer.lower()))
    yes, no = "yes" in words, bool(words & {"no", "not", "cannot"})
    return None if yes == no else yes
