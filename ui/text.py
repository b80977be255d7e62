"""How names and probabilities are written on a page."""

from __future__ import annotations

import re

_ABOUT_TO_CHANGE = re.compile(
    r"(?<=[-<>~])(?=[-=>])|(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)", re.IGNORECASE
)


def percent(probability: float) -> str:
    """A probability in words that never claim certainty."""
    if probability > 0.99:
        return "over 99 %"
    if probability < 0.01:
        return "under 1 %"
    return f"{probability:.0%}".replace("%", " %")


def plain(text: str) -> str:
    """Text that Markdown shows as it is, in one line.

    Of what Streamlit makes links and arrows, whatever is escaped, the parts are kept apart.
    """
    line = re.sub(r"[ \t\r\n]+", " ", text).strip(" ")
    apart = _ABOUT_TO_CHANGE.sub("\N{WORD JOINER}", line)
    return "".join(f"\\{c}" if c in r"\`*_{}[]()<>#+-.!|~$:&" else c for c in apart)
