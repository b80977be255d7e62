"""The files that the Model page is drawn from: written, read, and refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from cracklib import measured as module
from cracklib.check_set import check_pictures
from cracklib.config import BUNDLED_WEIGHTS
from cracklib.errors import MeasuredError
from cracklib.measured import (
    HEATMAPS_FILE,
    RENDERED_FILE,
    VERDICTS_FILE,
    MeasuredHeatmap,
    MeasuredHeatmaps,
    MeasuredRendered,
    RenderedPhoto,
    heatmaps_to_dict,
    read_heatmaps,
    read_rendered,
    read_verdicts,
    rendered_to_dict,
    write_measured,
)
from cracklib.metrics import OVERALL, HeatmapMetrics
from cracklib.weights import read_card

README = Path(__file__).resolve().parent.parent / "README.md"
SHA256 = "a" * 64
RENDERED = MeasuredRendered(
    0.5,
    tuple(
        RenderedPhoto(picture, probability)
        for picture, probability in zip(
            check_pictures(range(4, 7)), (0.6, 0.9, 0.8, 0.3, 0.1, 0.2), strict=True
        )
    ),
)


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MEASURED_DIR", tmp_path)
    return tmp_path


def test_verdicts_come_with_the_photos_behind_them(folder):
    metrics = {"tile": {"photos": 3, "recall": {"value": 0.5, "low": 0.0, "high": 1.0}}}
    write_measured(
        folder / VERDICTS_FILE,
        {
            "sha256": SHA256,
            "verdict_threshold": 0.5,
            "verdicts": metrics,
            "probabilities": {"tile": {"no_crack": [0.1], "crack": [0.5, 0.4]}},
        },
    )
    found = read_verdicts(SHA256)
    assert found.metrics == metrics
    scores = found.scores["tile"]
    assert scores.labels.tolist() == [False, True, True]
    assert scores.probabilities.tolist() == [0.1, 0.5, 0.4]
    assert scores.counts(found.threshold) == {
        (True, True): 1,
        (True, False): 1,
        (False, True): 0,
        (False, False): 1,
    }


def test_heatmaps_are_read_as_written(folder):
    metrics = HeatmapMetrics(5, 0.7, 0.6, 0.5, 0.4, None, 0.8)
    written = MeasuredHeatmaps(
        [MeasuredHeatmap("slab", "both", "refined", metrics)], {"slab": {"refined": 0.001}}
    )
    write_measured(folder / HEATMAPS_FILE, {"sha256": SHA256} | heatmaps_to_dict(written))
    assert read_heatmaps(SHA256) == written


def test_rendered_walls_are_the_same_pictures_again(folder):
    write_measured(folder / RENDERED_FILE, {"sha256": SHA256} | rendered_to_dict(RENDERED))
    found = read_rendered(SHA256)
    assert tuple(found.photos) == RENDERED.photos
    again, picture = found.photos[1].picture.render(), RENDERED.photos[1].picture.render()
    assert np.array_equal(again.pixels, picture.pixels)


def test_the_worst_come_first_and_what_is_right_not_at_all():
    missed, alarms = (RENDERED.worst(cracked=cracked) for cracked in (True, False))
    assert [photo.probability for photo in missed] == [0.2, 0.3]
    assert [photo.probability for photo in alarms] == [0.8, 0.6]
    assert all(photo.picture.cracked for photo in missed)


def test_walls_of_one_kind_are_counted_together():
    by_wall = RENDERED.by_wall()
    assert list(by_wall) == ["plaster", "concrete"]
    assert by_wall["concrete"].labels.tolist() == [False, True, False, True]


@pytest.mark.parametrize("read", [read_verdicts, read_heatmaps, read_rendered])
def test_what_is_not_there_says_how_to_make_it(read):
    with pytest.raises(MeasuredError, match=r"not been measured.*weights/measure DATA"):
        read(SHA256)


def test_of_another_model_is_refused(folder):
    write_measured(folder / RENDERED_FILE, {"sha256": SHA256} | rendered_to_dict(RENDERED))
    with pytest.raises(MeasuredError, match=r"another model, aaaaaaaa….*this one, bbbbbbbb"):
        read_rendered("b" * 64)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"sha256": "a"}', '{"sha256": "a", "verdict_threshold": 0.5, "photos": [[]]}'],
)
def test_a_damaged_file_is_refused(folder, text):
    (folder / RENDERED_FILE).write_text(text)
    with pytest.raises(MeasuredError, match="damaged"):
        read_rendered(SHA256)


@pytest.mark.skipif(not BUNDLED_WEIGHTS.exists(), reason="no bundled weights in weights/")
@pytest.mark.parametrize("name", [VERDICTS_FILE, HEATMAPS_FILE, RENDERED_FILE])
def test_the_bundled_model_was_measured_after_it_was_trained(name):
    values = json.loads((BUNDLED_WEIGHTS.parent / "measured" / name).read_text())
    assert values["sha256"] == read_card(BUNDLED_WEIGHTS).sha256, "run weights/measure DATA"


def readme_figure(estimate, pattern):
    """An estimate as README prints it; a dash where a source has none."""
    if estimate is None:
        return "–"
    return pattern.format(*(estimate[key] for key in ("value", "low", "high")))


def readme_row(source, figures):
    """The row of README's table that a source's figures in the file give."""
    share = "{:.1%} ({:.0%}–{:.0%})"
    cells = [
        source,
        f"{figures['cracks']} / {figures['photos'] - figures['cracks']}",
        readme_figure(figures["balanced_accuracy"], share),
        readme_figure(figures["recall"], share),
        readme_figure(figures["false_alarm_rate"], share),
        readme_figure(figures["auc"], "{:.3f}"),
        "{value:.1%} ({chance_low:.0%}–{chance_high:.0%})".format(**figures["calibration_error"]),
    ]
    return f"| {' | '.join(cells).replace('%', '')} |"


def test_the_readmes_table_has_the_figures_of_the_file():
    values = json.loads((BUNDLED_WEIGHTS.parent / "measured" / VERDICTS_FILE).read_text())
    lines = README.read_text(encoding="utf-8").splitlines()
    [head] = [number for number, line in enumerate(lines) if line.startswith("| source | photos:")]
    end = lines.index("", head)
    measured = {name: row for name, row in values["verdicts"].items() if name != OVERALL}
    assert lines[head + 2 : end] == [readme_row(*row) for row in measured.items()]
