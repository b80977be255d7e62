"""How names are written on a page."""

import pytest

from ui.text import plain


@pytest.mark.parametrize("name", ["    indented.jpg", "head\n===\n.jpg", "two\n\nparagraphs.jpg"])
def test_a_name_begins_no_block_of_markdown(name):
    assert plain(name).replace("\\", "") == " ".join(name.split())
    assert plain("93\N{NO-BREAK SPACE}%") == "93\N{NO-BREAK SPACE}%"
