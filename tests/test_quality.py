"""What the bundled model promises, measured on photos it was not trained on."""

import pytest

from cracklib.evaluation import evaluate_folder
from cracklib.pipeline import Inspector

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def inspector(bundled_weights) -> Inspector:
    return Inspector.load(bundled_weights)


@pytest.fixture(scope="module")
def verdicts(inspector, shared_data):
    return evaluate_folder(shared_data / "val", inspector).verdicts


def test_concrete(verdicts):
    assert verdicts["concrete"].balanced_accuracy.value >= 0.99


def test_brickwork(verdicts):
    assert verdicts["brickwork"].balanced_accuracy.value >= 0.90


def test_everyday_photos_raise_few_false_alarms(verdicts):
    assert verdicts["everyday"].false_alarm_rate.value <= 0.10


def test_the_card_says_what_is_measured(inspector, verdicts):
    assert set(inspector.card.quality) == set(verdicts)
    for source, measured in verdicts.items():
        promised = inspector.card.quality[source]
        assert promised["accuracy"]["value"] == pytest.approx(measured.accuracy.value, abs=0.01)
        assert promised["calibration_error"]["value"] == pytest.approx(
            measured.calibration_error.value, abs=0.02
        )
