import math
from dataclasses import replace

import numpy as np
import pytest

from cracklib import config
from cracklib.classifier import Classifier, load_classifier
from cracklib.errors import WeightsError
from cracklib.types import Look, WindowScale
from tests.tiny import TINY_HEAD, PlainEngine, make_card

HEAD = {
    "predictions/kernel": np.array([[0.0, 1.0]], np.float32),
    "predictions/bias": np.array([0.0, 0.0], np.float32),
}


def flat_map(batch):
    """A 2x2 feature map that says the log-odds: the batch's own first value."""
    return np.stack([np.full((2, 2, 1), image.flat[0], np.float32) for image in batch])


flat_engine = PlainEngine(flat_map)


def probability_of(log_odds, engine=flat_engine, head=HEAD, **card):
    """Of a photo that the engine says this of."""
    classifier = Classifier(engine, head, make_card(**card))
    photo = np.full((1, 1, 3), log_odds, np.float32)
    return classifier.probability(classifier.look(photo))


@pytest.mark.parametrize(("temperature", "probability"), [(1.0, 0.9), (2.0, 0.75)])
def test_probability_is_the_tempered_softmax(temperature, probability):
    # Odds of 9 are 0.9; at temperature 2 they are the root, 3, which is 0.75.
    found = probability_of(math.log(9), temperature=temperature)
    assert found == pytest.approx(probability, abs=1e-6)


def test_head_is_applied_to_the_average():
    def engine(batch):
        return np.array([[[[1, 0], [3, 2]]]], np.float32)

    # Average (2, 1); crack 4 * 2 = 8, no_crack 1 + 0.5.
    found = probability_of(0, PlainEngine(engine), TINY_HEAD)
    assert found == pytest.approx(1 / (1 + math.exp(1.5 - 8)))


def test_the_engine_for_searches_is_built_when_one_begins_and_once():
    built = []

    def build():
        built.append(1)
        return PlainEngine(lambda batch: flat_map(2 * batch))

    classifier = Classifier(flat_engine, HEAD, make_card(), build_search_engine=build)
    photo = np.ones((1, 1, 3), np.float32)
    assert classifier.look(photo).evidence.max() == 1
    assert not built
    for _ in range(2):
        assert classifier.for_search.look(photo).evidence.max() == 2
    assert len(built) == 1
    assert classifier.look(photo).evidence.max() == 1
    without = Classifier(flat_engine, HEAD, make_card())
    assert without.for_search is without


def test_what_looks_like_a_crack_counts_as_much_as_the_card_says():
    """The strongest half per cent of it, beside the rest."""
    likeness = np.full((20, 100), 0.24495, np.float32)
    likeness[0, :10] = 0.75  # 3 to 1; the mean of the strongest half is then 1 to 3
    look = Look(np.full((2, 2), -1.0, np.float32), likeness=likeness)

    def odds(look, **card):
        probability = Classifier(flat_engine, HEAD, make_card(**card)).probability(look)
        return probability / (1 - probability)

    assert odds(look, trace_weight=2.0) == pytest.approx(9**2 * math.exp(-1), rel=0.03)
    assert odds(look) == pytest.approx(math.exp(-1)), "by default for nothing"
    unlike = replace(look, likeness=None)
    assert odds(unlike, trace_weight=2.0) == pytest.approx(math.exp(-1))
    window_scale = WindowScale(1.0, 0.0)
    card = make_card(window_scale=window_scale, trace_weight=2.0)
    in_windows = Classifier(flat_engine, HEAD, card).probability(look, in_windows=True)
    assert in_windows / (1 - in_windows) == pytest.approx(9**2 * math.exp(-1), rel=0.03)


def test_verdict_from_the_cards_threshold_on():
    classifier = Classifier(flat_engine, HEAD, make_card(verdict_threshold=0.5))
    verdicts = [classifier.verdict(probability) for probability in (0.49, 0.5, 0.51)]
    assert verdicts == ["no_crack", "crack", "crack"]


def test_certain_logits_neither_overflow_nor_leave_the_range():
    assert [probability_of(log_odds) for log_odds in (-5000, 5000)] == [0.0, 1.0]


def test_counts_photos_that_went_through():
    classifier = Classifier(flat_engine, HEAD, make_card())
    for _ in range(3):
        classifier.look(np.zeros((1, 1, 3), np.float32))
    assert classifier.forward_passes == 3


def test_missing_weights_are_told_by_path(tmp_path):
    with pytest.raises(WeightsError, match=r"nothing\.safetensors"):
        load_classifier(tmp_path / "nothing.safetensors")


def test_the_environment_names_the_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("CRACKLIB_WEIGHTS", str(tmp_path / "mine.safetensors"))
    assert config.weights_path() != config.BUNDLED_WEIGHTS
    with pytest.raises(WeightsError, match=r"mine\.safetensors"):
        load_classifier()
