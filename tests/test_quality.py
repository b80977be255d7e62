"""What the bundled model promises: what was measured of it on photos that it was not trained on,
that it still gives those photos the same probabilities, and that its heat follows cracks.
"""

import pytest

from cracklib.dataset import find_labelled, find_masked
from cracklib.measured import read_verdicts
from cracklib.metrics import HeatmapTally
from cracklib.photo import read_photo
from cracklib.pipeline import Inspector

pytestmark = pytest.mark.slow

LOOKED_AT_AGAIN = slice(None, None, 12)


@pytest.fixture(scope="module")
def inspector(bundled_weights):
    return Inspector.load(bundled_weights)


@pytest.fixture(scope="module")
def measured(inspector):
    return read_verdicts(inspector.card.sha256)


def test_measured_photos_get_the_same_probabilities_again(inspector, measured, shared_data):
    files = find_labelled(shared_data / "val")
    assert {file.source for file in files} == set(measured.scores)
    for source, scores in measured.scores.items():
        of_source = [file for file in files if file.source == source]
        assert [file.label for file in of_source] == scores.labels.tolist()
        again = [inspector.inspect(file.path).probability for file in of_source[LOOKED_AT_AGAIN]]
        assert again == pytest.approx(scores.probabilities[LOOKED_AT_AGAIN], abs=0.05)


def test_the_card_says_what_was_measured(inspector, measured):
    quality = inspector.card.quality
    assert set(quality) == set(measured.metrics)
    for source, promised in quality.items():
        for name in ("accuracy", "calibration_error"):
            value = measured.metrics[source][name]["value"]
            assert promised[name]["value"] == pytest.approx(value, abs=0.001)


@pytest.mark.parametrize(
    ("source", "least"),
    [("concrete", 0.99), ("brickwork", 0.90), ("tile", 0.90), ("slab", 0.92), ("texture", 0.90)],
)
def test_balanced_accuracy(measured, source, least):
    assert measured.metrics[source]["balanced_accuracy"]["value"] >= least


def test_everyday_photos_raise_few_false_alarms(measured):
    assert measured.metrics["everyday"]["false_alarm_rate"]["value"] <= 0.02


def test_heat_follows_the_cracks_of_masonry(inspector, shared_data):
    files = [f for f in find_masked(shared_data / "localisation") if f.source == "masonry"]
    tally = HeatmapTally()
    for file in files[LOOKED_AT_AGAIN]:
        cracked = read_photo(file.mask).pixels[..., 0] >= 128
        tally.add(inspector.inspect(file.photo).refined, cracked)
    found = tally.metrics()
    assert min(found.pxap, found.f1) >= 0.68
    assert found.pointing >= 0.93
