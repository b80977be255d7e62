"""Lists of links to labelled photos: CSV, and the JSON lines that DataTurks exports."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable
from dataclasses import dataclass

from cracklib import config
from cracklib.errors import DatasetError
from cracklib.intake.names import printable, recognise_label
from cracklib.types import Verdict


@dataclass(frozen=True)
class Link:
    """A line of a list: the address of a photo, and its label or None where it has none."""

    url: str
    label: Verdict | None
    line: int


@dataclass(frozen=True)
class LinkList:
    """The ``links`` of a list, and what is wrong with its other lines, by their number from 1."""

    links: list[Link]
    bad_lines: dict[int, str]


def read_links(data: bytes) -> LinkList:
    """The links of a list: CSV with the columns content and label, or DataTurks' JSON lines.

    CSV may be separated by commas, semicolons or tabs. A JSON line looks like
    ``{"content": "http://…", "annotation": {"labels": ["Crack"]}, "extras": null}``. The text is
    UTF-8 or, with its mark, UTF-16. A line whose label is left out gives a link without label; a
    link's second line is a bad line.

    Raises ``DatasetError`` where the list is empty, lacks a column, or has too many links.
    """
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if is_utf16 else "utf-8-sig", "replace")
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise DatasetError(
            "The list is empty. Give a CSV file with the columns content (the link) and label, or "
            "a JSON-lines export."
        )
    is_json = lines[0][1].lstrip().startswith("{")
    read_line = _read_json_line if is_json else _csv_reader(lines.pop(0)[1])
    links: dict[str, Link] = {}
    bad_lines = {}
    for number, line in lines:
        try:
            link = _to_link(*read_line(line), number)
            if first := links.get(link.url):
                other = "" if first.label == link.label else ", with another label"
                raise DatasetError(f"The same link as in line {first.line}{other}.")
            links[link.url] = link
        except DatasetError as error:
            bad_lines[number] = str(error)
    if len(links) > config.MAX_SET_PHOTOS:
        raise DatasetError(
            f"The list has {len(links):,} links; the most is {config.MAX_SET_PHOTOS:,}. "
            "Give fewer: a few hundred of each class are plenty."
        )
    return LinkList(list(links.values()), bad_lines)


def _csv_reader(header: str) -> Callable[[str], tuple[str, str]]:
    # Line by line: neither links nor labels have line breaks, and a stray quote spoils one line.
    delimiter = max(",;\t", key=header.count)
    columns = [name.strip().casefold() for name in _cells(header, delimiter)]
    missing = [name for name in ("content", "label") if name not in columns]
    if missing:
        raise DatasetError(
            f"The list has no column {' and no column '.join(missing)}: expected content (the "
            f"link) and label, found {printable(', '.join(columns))}. Name the columns in its "
            "first line."
        )
    at_url, at_label = columns.index("content"), columns.index("label")

    def read_line(line: str) -> tuple[str, str]:
        cells = _cells(line, delimiter)
        if len(cells) <= max(at_url, at_label):
            raise DatasetError(f"Expected {len(columns)} columns, found {len(cells)}.")
        if any(cell.strip() for cell in cells[len(columns) :]):
            raise DatasetError(
                f"Expected {len(columns)} columns, found {len(cells)}. Put a link that has a "
                f"'{delimiter}' in it into double quotes."
            )
        return cells[at_url], cells[at_label]

    return read_line


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error as error:
        raise DatasetError(f"This is no line of a CSV file: {error}.") from error


def _read_json_line(line: str) -> tuple[str, str]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DatasetError("This is no JSON.") from error
    match entry:
        case {"content": str(url), "annotation": {"labels": [str(label)]}}:
            return url, label
        case {"content": str(url), "annotation": None | {"labels": None | []}}:
            return url, ""
        case {"annotation": {"labels": [_, _, *_]}}:
            raise DatasetError("It has more than one label.")
    raise DatasetError('Expected {"content": "http://…", "annotation": {"labels": ["Crack"]}}.')


def _to_link(url: str, word: str, line: int) -> Link:
    url, word = url.strip(), word.strip()
    if not url or not url.isprintable():
        raise DatasetError("It has no link.")
    label = recognise_label(word)
    if word and label is None:
        raise DatasetError(f"'{printable(word)}' is no known label. Write crack or no_crack.")
    return Link(url, label, line)
