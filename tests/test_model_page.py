"""The Model page, run by Streamlit's own tester: with the real measurements, and without."""

import json
import re

import pytest

import ui.model
from cracklib import measured
from cracklib.classifier import Classifier
from cracklib.config import BUNDLED_WEIGHTS
from cracklib.measured import HEATMAPS_FILE, RENDERED_FILE, VERDICTS_FILE
from cracklib.pipeline import Inspector
from cracklib.weights import read_card
from tests.tiny import TINY_HEAD, make_card, tiny_engine

FILES = (VERDICTS_FILE, HEATMAPS_FILE, RENDERED_FILE)

pytestmark = pytest.mark.skipif(
    not BUNDLED_WEIGHTS.exists(), reason="no bundled weights in weights/"
)


@pytest.fixture
def inspector():
    """The tiny network under the bundled model's card."""
    return Inspector(Classifier(tiny_engine, TINY_HEAD, read_card(BUNDLED_WEIGHTS)))


@pytest.fixture
def page(app):
    """Opens the page."""

    def open_page():
        app.run().switch_page("pages/model.py").run()
        assert not app.exception
        assert not app.error
        return app

    return open_page


def read(name):
    return json.loads((measured.MEASURED_DIR / name).read_text(encoding="utf-8"))


def rows(table):
    """A table's rows by its first columns, as the page shows them."""
    return [
        {heading: text.replace("\N{WORD JOINER}", "") for heading, text in row.items()}
        for row in table.value.to_dict("records")
    ]


def headings(page):
    return [heading.value for heading in (*page.header, *page.subheader)]


def test_every_figure_is_that_of_the_files(page, monkeypatch, tmp_path):
    files = {name: read(name) for name in FILES}
    for figures in files[VERDICTS_FILE]["verdicts"].values():  # else the card has the same
        figures["calibration_error"]["value"] /= 2
    for name, values in files.items():
        (tmp_path / name).write_text(json.dumps(values))
    monkeypatch.setattr(measured, "MEASURED_DIR", tmp_path)
    page = page()
    assert not page.info
    verdicts, heatmaps, rendered = map(read, FILES)
    quality, by_map, second_half, painted, walls = map(rows, page.table)

    assert [row["Source"] for row in quality] == list(verdicts["verdicts"])
    for row, figures in zip(quality, verdicts["verdicts"].values(), strict=True):
        assert (
            row["Cracked / sound"]
            == f"{figures['cracks']} / {figures['photos'] - figures['cracks']}"
        )
        found, auc, off = (figures[name] for name in ("recall", "auc", "calibration_error"))
        assert row["Calibration error"].startswith(f"{100 * off['value']:.1f}\N{NO-BREAK SPACE}%")
        assert row["Cracks found"] == (
            f"{100 * found['value']:.1f}\N{NO-BREAK SPACE}% "
            f"({100 * found['low']:.0f}–{100 * found['high']:.0f})"
            if found
            else "–"
        )
        assert row["AUC"] == (
            f"{auc['value']:.3f} ({auc['low']:.2f}–{auc['high']:.2f})" if auc else "–"
        )

    names = {"Class activation map": "plain", "Crack (refined)": "refined"}
    names["Local darkness, no model"] = "darkness"
    measured_maps = {
        (entry["source"], entry["heat_map"], entry["part"]): entry["metrics"]
        for entry in heatmaps["heatmaps"]
    }
    of_sources = [row for row in by_map if row["Photos"] != "–"]
    assert len(of_sources) == len([key for key in measured_maps if key[2] == "both"])
    for part, shown in (("both", of_sources), ("second", second_half)):
        for row in shown:
            metrics = measured_maps[row["Source"], names[row["Map"]], part]
            assert row["Photos"] == str(metrics["photos"])
            assert row["PxAP"] == f"{metrics['pxap']:.3f}"
            assert row["F1 within 2 px"] == f"{metrics['tolerant_f1']:.3f}"
            assert row["Pointing game"] == f"{metrics['pointing']:.3f}"
    for row in painted:
        share = heatmaps["painted"][row["Source"]]["refined"]
        assert row["Crack (refined)"] == f"{100 * share:.2f} %"

    assert len(walls) == 6
    pictures = iter(page.get("image"))
    shown = [markdown.value for markdown in page.markdown]
    for cracked, title in ((True, "surely missed"), (False, "surely called cracked")):
        wrong = [
            photo
            for photo in rendered["photos"]
            if photo["cracked"] == cracked
            and (photo["probability"] >= rendered["verdict_threshold"]) != cracked
        ]
        wrong.sort(key=lambda photo: abs(photo["probability"] - cracked), reverse=True)
        [line] = [text for text in shown if title in text]
        assert (f"of {len(wrong)}" if len(wrong) > 6 else str(len(wrong) or "none")) in line
        for photo, picture in zip(wrong[:6], pictures, strict=False):
            assert f" wall {photo['number'] + 1}" in picture.captions[0]
    assert len(page.get("vega_lite_chart")) == 3


def test_the_matrices_hold_every_photo(page):
    [html] = [html.value for html in page().get("html") if "<div class='matrices'>" in html.value]
    counts = [int(count) for count in re.findall(r"<td class='(?:right|wrong)'>(\d+)</td>", html)]
    assert sum(counts) == read(VERDICTS_FILE)["verdicts"]["overall"]["photos"]


def test_without_measurements_the_card_is_shown_and_what_to_do(page, monkeypatch, tmp_path):
    monkeypatch.setattr(measured, "MEASURED_DIR", tmp_path / "measured")
    page = page()
    assert len(page.info) == 3
    assert all("weights/measure DATA" in info.value for info in page.info)
    [quality] = page.table
    assert list(quality.value["Source"]) == list(read_card(BUNDLED_WEIGHTS).quality)
    assert not page.get("vega_lite_chart")
    assert not page.get("image")


def test_measurements_of_another_model_are_not_shown_as_this_one_s(page, monkeypatch, tmp_path):
    for name in FILES:
        values = read(name) | {"sha256": "c0ffee" + "0" * 58}
        (tmp_path / name).write_text(json.dumps(values))
    monkeypatch.setattr(measured, "MEASURED_DIR", tmp_path)
    page = page()
    assert len(page.info) == 3
    assert all("another model, c0ffee00…" in info.value for info in page.info)
    assert len(page.table) == 1
    assert not page.get("vega_lite_chart")
    assert not page.get("image")


def test_a_model_of_one_s_own_shows_its_own_card_only(page, monkeypatch):
    quality = {
        "photos": {
            "photos": 12,
            "cracks": 5,
            "recall": {"value": 0.975, "low": 0.9, "high": 1.0},
            "auc": None,
        }
    }
    card = make_card(name="bricks", quality=quality)
    own = Inspector(Classifier(tiny_engine, TINY_HEAD, card))
    monkeypatch.setattr(ui.model, "load_inspector", lambda: own)
    monkeypatch.setattr(ui.model, "model_in_use", lambda: "bricks")
    page = page()
    assert not page.info
    [table] = map(rows, page.table)
    assert table == [
        {
            "Source": "photos",
            "Cracked / sound": "5 / 7",
            "Balanced accuracy": "–",
            "Cracks found": "97.5\N{NO-BREAK SPACE}% (90–100)",
            "False alarms": "–",
            "AUC": "–",
            "Calibration error": "–",
        }
    ]
    assert any("bricks" in html.value for html in page.get("html"))
    assert "Where it fails" not in headings(page)
    assert not page.get("vega_lite_chart")
