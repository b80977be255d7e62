"""What the names and words in zips and lists mean, and how they are shown."""

from __future__ import annotations

import re

from cracklib.types import Verdict

_SPELLINGS: dict[Verdict, str] = {
    "crack": "crack cracks cracked withcrack withcracks hascrack positive pos yes y true 1 "
    "defect defects defective damage damaged",
    "no_crack": "nocrack nocracks noncrack noncracked notcracked uncracked withoutcrack "
    "withoutcracks crackfree negative neg no n false 0 -1 nodefect nodefects nondefective ok okay "
    "good intact sound clean normal undamaged",
}
_LABEL_OF = {word: label for label, words in _SPELLINGS.items() for word in words.split()}


def recognise_label(text: str) -> Verdict | None:
    """The label that a folder's name or a word stands for; case, spaces, - and _ don't matter."""
    # Nothing else is passed over: "!crack" and "crack?" may mean anything.
    return _LABEL_OF.get(re.sub(r"[\s_]|(?<=.)-", "", text.strip().casefold()))


def shown_name(name: str) -> str:
    """The last part of a path or link, fit to show: at most 80 harmless characters."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return re.sub(r"[^\w.()+ -]", "_", last)[-80:].strip(" ._-") or "photo"


def printable(text: str) -> str:
    """At most 80 characters of ``text``, those that don't show as question marks."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:80])
