import math

import numpy as np
import pytest

from cracklib import config
from cracklib.classifier import Classifier, load_classifier
from cracklib.errors import WeightsError
from tests.tiny import TINY_HEAD, make_card

HEAD = {
    "predictions/kernel": np.array([[0.0, 1.0]], np.float32),
    "predictions/bias": np.array([0.0, 0.0], np.float32),
}


def flat_engine(batch):
    """A 2x2 feature map that says the log-odds: the batch's own first value."""
    return np.stack([np.full((2, 2, 1), image.flat[0], np.float32) for image in batch])


def batch_of(*log_odds):
    return np.stack([np.full((1, 1, 3), value, np.float32) for value in log_odds])


@pytest.mark.parametrize(("temperature", "probability"), [(1.0, 0.9), (2.0, 0.75)])
def test_probability_is_the_tempered_softmax(temperature, probability):
    classifier = Classifier(flat_engine, HEAD, make_card(temperature=temperature))
    [prediction] = classifier.classify(batch_of(math.log(9)))
    # Odds of 9 are 0.9; at temperature 2 they are the root, 3, which is 0.75.
    assert prediction.probability == pytest.approx(probability, abs=1e-6)


def test_head_is_applied_to_the_average():
    def engine(batch):
        return np.array([[[[1, 0], [3, 2]]]], np.float32)

    classifier = Classifier(engine, TINY_HEAD, make_card())
    [prediction] = classifier.classify(batch_of(0))
    # Average (2, 1); crack 4 * 2 = 8, no_crack 1 + 0.5.
    assert prediction.probability == pytest.approx(1 / (1 + math.exp(1.5 - 8)))


def test_verdict_from_the_cards_threshold_on():
    classifier = Classifier(flat_engine, HEAD, make_card(verdict_threshold=0.5))
    predictions = classifier.classify(batch_of(-0.01, 0.0, 0.01))
    assert [p.verdict for p in predictions] == ["no_crack", "crack", "crack"]


def test_certain_logits_neither_overflow_nor_leave_the_range():
    predictions = Classifier(flat_engine, HEAD, make_card()).classify(batch_of(-5000, 5000))
    assert [p.probability for p in predictions] == [0.0, 1.0]


def test_counts_photos_that_went_through():
    classifier = Classifier(flat_engine, HEAD, make_card())
    classifier.classify(batch_of(1, 2))
    classifier.classify(batch_of(3))
    assert classifier.forward_passes == 3


def test_missing_weights_are_told_by_path(tmp_path):
    with pytest.raises(WeightsError, match=r"nothing\.safetensors"):
        load_classifier(tmp_path / "nothing.safetensors")


def test_the_environment_names_the_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("CRACKLIB_WEIGHTS", str(tmp_path / "mine.safetensors"))
    assert config.weights_path() != config.BUNDLED_WEIGHTS
    with pytest.raises(WeightsError, match=r"mine\.safetensors"):
        load_classifier()
