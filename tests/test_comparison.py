import json
import re
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from scipy.stats import binomtest
from streamlit.testing.v1 import AppTest

from cracklib import comparison as module
from cracklib.check_set import CHECK_SET
from cracklib.classifier import Classifier
from cracklib.comparison import (
    FILE_NAME,
    ComparedPhoto,
    PairedScores,
    compare,
    load_comparison,
    save_comparison,
)
from cracklib.errors import DatasetError
from cracklib.jobs import Job
from cracklib.pipeline import Inspector
from cracklib.store import SessionFolder
from cracklib.types import Photo
from cracklib.weights import card_path
from tests.tiny import TINY_HEAD, make_card, tiny_engine
from ui.training import comparison as shown


def paired(*rows, thresholds=(0.5, 0.5)):
    """Scores from (label, current, new)."""
    photos = [ComparedPhoto(f"{number}.png", *row) for number, row in enumerate(rows)]
    return PairedScores(tuple(photos), *thresholds)


def verdicts(gained, lost, unchanged=4):
    """Scores where so many photos are gained and lost, of both classes."""
    rows = [(1, 0.1, 0.9)] * gained + [(1, 0.9, 0.1)] * lost
    return paired(*rows, *[(1, 0.9, 0.9), (0, 0.1, 0.1)] * unchanged)


@pytest.fixture
def bold():
    """A tiny network that calls all but light walls cracked."""
    head = TINY_HEAD | {"predictions/bias": np.array([-1.0, 0.0], np.float32)}
    return Inspector(Classifier(tiny_engine, head, make_card(name="bold", sha256="1" * 64)))


@pytest.fixture
def data(tmp_path, save_photo):
    """Held-out photos in val/, all light above: two dark below, cracked, and two that are not."""
    for name, grey in (
        ("crack/a-1.png", 20),
        ("crack/a-2.png", 40),
        ("no_crack/a-3.png", 110),
        ("no_crack/b-4.png", 230),
    ):
        pixels = np.full((40, 40, 3), 200, np.uint8)
        pixels[24:] = grey
        save_photo(Photo(pixels), tmp_path / "data" / "val" / name)
    return tmp_path / "data"


@pytest.fixture
def small_check_set(monkeypatch):
    monkeypatch.setattr(module, "CHECK_SET", CHECK_SET[:2])


class TestPairedScores:
    def test_each_model_is_judged_at_its_own_threshold(self):
        scores = paired((1, 0.4, 0.4), (0, 0.35, 0.35), thresholds=(0.3, 0.4))
        assert scores.called("current").tolist() == [True, True]
        assert scores.called("new").tolist() == [True, False]
        assert scores.metrics["current"].accuracy.value == 0.5
        assert scores.metrics["new"].accuracy.value == 1.0
        assert (scores.gained, scores.lost) == (1, 0)

    def test_a_cell_has_its_photos_most_wrong_first(self):
        scores = paired(
            (1, 0.3, 0.3), (1, 0.1, 0.9), (1, 0.2, 0.8), (0, 0.2, 0.6), (0, 0.2, 0.9), (1, 0.9, 0.1)
        )

        def names(side, cracked, called):
            return [photo.name for photo in scores.cell(side, cracked, called)]

        assert names("current", True, False) == ["1.png", "2.png", "0.png"]
        assert names("current", True, True) == ["5.png"]
        assert names("new", False, True) == ["4.png", "3.png"]
        assert names("new", True, True) == ["2.png", "1.png"]
        assert names("new", False, False) == []

    def test_auc_gain_is_that_of_the_new_model(self):
        scores = paired((1, 0.2, 0.9), (0, 0.5, 0.5), (1, 0.7, 0.8), (0, 0.1, 0.2))
        assert scores.auc_gain.value == 0.25


class TestMcNemar:
    def test_by_hand(self):
        # 9 differ, 2 of them the other way: 2 (1 + 9 + 36) / 2^9.
        scores = verdicts(7, 2)
        assert scores.p_value == pytest.approx(92 / 512)
        assert scores.explain() == (
            "7 photos are now right that were wrong, 2 the other way: "
            "this could well be chance (p = 0.18)."
        )
        assert scores.change == "perhaps better"

    @pytest.mark.parametrize(("gained", "lost"), [(0, 6), (1, 1), (12, 3), (30, 31)])
    def test_agrees_with_the_binomial_test_whatever_else_is_there(self, gained, lost):
        expected = binomtest(gained, gained + lost, 0.5).pvalue
        assert verdicts(gained, lost).p_value == pytest.approx(expected)
        assert verdicts(gained, lost, unchanged=40).p_value == pytest.approx(expected)

    def test_no_difference_is_no_evidence(self):
        scores = verdicts(0, 0)
        assert scores.p_value == 1.0
        assert scores.change == "as good"
        assert "still right" in scores.explain()

    @pytest.mark.parametrize(
        ("gained", "lost", "change", "words"),
        [
            (6, 0, "better", "6 photos are now right that were wrong, none the other way: chance"),
            (1, 8, "worse", "1 photo is now right that was wrong, 8 the other way: chance"),
            (0, 5, "perhaps worse", "No photos are now right that were wrong, 5 the other way"),
            (3, 3, "as good", "3 photos are now right that were wrong, 3 the other way: this"),
        ],
    )
    def test_change_and_its_words(self, gained, lost, change, words):
        scores = verdicts(gained, lost)
        assert scores.change == change
        assert scores.explain().startswith(words)

    def test_small_chances_are_not_rounded_to_nothing(self):
        assert verdicts(20, 0).explain().endswith("(p < 0.001).")
        assert verdicts(6, 0).explain().endswith("(p = 0.031).")


@pytest.mark.usefixtures("small_check_set")
class TestCompare:
    def test_both_models_look_at_held_out_photos_and_check_set(self, data, inspector, bold):
        steps = []
        found = compare(data, inspector, bold, lambda *step: steps.append(step))
        assert [photo.name for photo in found.held_out] == [
            "no_crack/a-3.png",
            "no_crack/b-4.png",
            "crack/a-1.png",
            "crack/a-2.png",
        ]
        assert [photo.label for photo in found.held_out] == [0, 0, 1, 1]
        for photo in found.held_out:
            path = data / "val" / photo.name
            assert photo.current == inspector.inspect(path).probability
            assert photo.new == bold.inspect(path).probability
        assert [photo.name for photo in found.check] == [p.name for p in CHECK_SET[:2]]
        assert [photo.label for photo in found.check] == [0, 1]
        assert found.check[1].new == bold.inspect(CHECK_SET[1].render()).probability
        assert (found.current.name, found.new.name) == ("tiny", "bold")
        assert (found.new.sha256, found.new.threshold) == ("1" * 64, 0.5)
        assert steps == [(done, 6) for done in range(1, 7)]

    def test_one_cut_short_goes_on_where_it_was(self, data, inspector, bold):
        scores = {}

        def give_up(done, total):
            if done == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            compare(data, inspector, bold, give_up, scores)
        before = bold.classifier.forward_passes
        found = compare(data, inspector, bold, scores=scores)
        assert bold.classifier.forward_passes - before == 2 * 3
        assert found == compare(data, inspector, bold)

    def test_unreadable_photos_are_left_out_and_listed(self, data, inspector, bold):
        (data / "val/crack/a-1.png").write_bytes(b"no photo")
        found = compare(data, inspector, bold)
        assert len(found.held_out) == 3
        assert "a-1.png" in found.unreadable[0]

    def test_none_left_of_a_class_is_an_error(self, data, inspector, bold):
        for path in (data / "val/crack").iterdir():
            path.write_bytes(b"no photo")
        with pytest.raises(DatasetError, match=r"of the 4 held-out photos, 2 can't be read.*a-1"):
            compare(data, inspector, bold)

    def test_saved_it_comes_back_as_it_was(self, data, inspector, bold, tmp_path):
        found = compare(data, inspector, bold)
        folder = tmp_path / "job"
        folder.mkdir()
        assert load_comparison(folder) is None
        save_comparison(found, folder)
        assert load_comparison(folder) == found
        assert [path.name for path in folder.iterdir()] == [FILE_NAME]
        save_comparison(replace(found, unreadable=("x",)), folder)
        assert load_comparison(folder).unreadable == ("x",)
        save_comparison(replace(found, check=found.check[:1]), folder)
        assert load_comparison(folder) is None

    @pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"current": 1, "new": 2})])
    def test_a_damaged_file_is_as_good_as_none(self, tmp_path, text):
        (tmp_path / FILE_NAME).write_text(text)
        assert load_comparison(tmp_path) is None


@pytest.mark.parametrize(
    ("yours", "ours", "words"),
    [
        ((8, 0), (0, 8), "Better on your walls, worse on ours."),
        ((3, 0), (0, 0), "Perhaps better on your walls, as good as before on ours."),
        ((0, 0), (0, 2), "As good as before on your walls, perhaps worse on ours."),
        ((0, 0), (1, 1), "As good as before, on your walls and on ours."),
        ((9, 1), (9, 0), "Better on your walls and on ours."),
    ],
)
def test_forgetting_is_said_in_words(data, inspector, bold, small_check_set, yours, ours, words):
    found = compare(data, inspector, bold)
    found = replace(found, held_out=verdicts(*yours).photos, check=verdicts(*ours).photos)
    assert found.explain() == words


@pytest.fixture
def visit(data, inspector, bold, small_check_set, monkeypatch, tmp_path):
    """Opens, in a session of its own, a page with only the comparison of a job's model."""
    folder, job = SessionFolder(tmp_path, "token"), Job(tmp_path / "jobs" / "1")
    out = folder.model_path("bold")
    arguments = ["--data", str(data), "--start", "bundled", "--trainable", "head"]
    spec = {"arguments": arguments, "out": str(out)}
    for path, text in (
        (job.folder / "spec.json", json.dumps(spec)),
        (out, ""),
        (card_path(out), bold.card.to_json()),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(shown, "load_inspector", lambda: inspector)
    monkeypatch.setattr(shown, "bundled_inspector", lambda: inspector)
    monkeypatch.setattr(shown, "inspector_at", {out: bold}.__getitem__)
    used = [None]
    monkeypatch.setattr(shown, "choose_model", used.append)
    monkeypatch.setattr(shown, "model_in_use", lambda: used[-1])

    def script(folder, job):
        from ui.training.comparison import show_comparison

        show_comparison(folder, job)

    arguments = {"folder": folder, "job": job}
    return lambda: AppTest.from_function(script, default_timeout=60, kwargs=arguments).run()


@pytest.fixture
def page(visit):
    return visit()


def fields(page):
    """Of the four confusion matrices."""
    return [button for button in page.button if button.label.startswith("**")]


class TestPage:
    def test_held_out_photos_and_check_set_stand_beside_each_other(self, page):
        assert not page.error
        headings = [heading.value for heading in page.subheader]
        assert headings == [
            "bold compared with the bundled model",
            "Your held-out photos",
            "Our check set",
            "Curves",
        ]
        assert len(page.get("vega_lite_chart")) == 2
        # The bold model takes the darker of the two sound walls for cracked.
        held_out = [field.label for field in fields(page)][:8]
        assert held_out == [
            "**2** Cracked, called cracked",
            "**0** Cracked, called sound",
            "**0** Sound, called cracked",
            "**2** Sound, called sound",
            "**2** Cracked, called cracked",
            "**0** Cracked, called sound",
            "**1** Sound, called cracked",
            "**1** Sound, called sound",
        ]
        texts = [markdown.value for markdown in page.markdown]
        assert any("No photos are now right that were wrong, 1 the other" in t for t in texts)

    def test_the_new_model_can_be_used_once(self, page):
        [use] = [button for button in page.button if button.label == "Use this model"]
        use.click().run()
        assert not page.error
        [use] = [button for button in page.button if button.label == "In use"]
        assert use.disabled
        assert "compared with the bundled model" in page.subheader[0].value
        html = " ".join(html.value for html in page.get("html"))
        assert "current" not in html.lower(), "the new one is that by now"

    @pytest.mark.parametrize(
        ("yours", "ours", "advice", "kind"),
        [
            (
                (8, 0),
                (0, 8),
                "The new model has forgotten some of what it knew. Use it for walls like yours, or "
                "train again with fewer epochs.",
                "primary",
            ),
            (
                (3, 0),
                (0, 8),
                "The new model has forgotten some of what it knew. Stay with the bundled model, or "
                "train again with fewer epochs.",
                "secondary",
            ),
            (
                (0, 8),
                (0, 8),
                "On your walls the new model is worse: stay with the bundled model.",
                "secondary",
            ),
            (
                (0, 3),
                (8, 0),
                "On your walls the new model is perhaps worse: stay with the bundled model.",
                "secondary",
            ),
            ((8, 0), (0, 3), None, "primary"),
        ],
    )
    def test_what_to_do_follows_from_both_sets(
        self, visit, monkeypatch, data, inspector, bold, yours, ours, advice, kind
    ):
        found = compare(data, inspector, bold)
        found = replace(found, held_out=verdicts(*yours).photos, check=verdicts(*ours).photos)
        monkeypatch.setattr(shown, "load_comparison", lambda _: found)
        page = visit()
        told = [text.value for text in page.markdown if text.value.startswith(("The new", "On "))]
        assert told == ([advice] if advice else [])
        [use] = [button for button in page.button if button.label == "Use this model"]
        assert use.proto.type == kind

    @pytest.mark.parametrize(
        ("start", "trainable", "words"),
        [
            ("bundled", "block5", "forgotten .* with fewer epochs or only the head."),
            ("hed", "block5", "unlike yours .* train again from the bundled model."),
        ],
    )
    def test_how_to_train_again_follows_from_how_it_was_trained(
        self, data, inspector, bold, monkeypatch, start, trainable, words
    ):
        monkeypatch.setattr(shown, "bundled_inspector", lambda: inspector)
        found = compare(data, inspector, bold)
        found = replace(found, held_out=verdicts(8, 0).photos, check=verdicts(0, 8).photos)
        job = Mock(option={"start": start, "trainable": trainable}.__getitem__)
        assert re.search(words, shown._advice(found, job))

    def test_what_the_model_before_had_learned_was_not_forgotten(
        self, data, inspector, bold, monkeypatch
    ):
        monkeypatch.setattr(shown, "bundled_inspector", lambda: bold)
        found = compare(data, inspector, bold)
        found = replace(found, held_out=verdicts(8, 0).photos, check=verdicts(0, 8).photos)
        job = Mock(option={"start": "bundled", "trainable": "head"}.__getitem__)
        assert "forgotten" not in shown._advice(found, job)

    def test_no_change_has_no_minus(self):
        assert shown._signed(-0.004) == "+0.00"
        assert shown._signed(-0.006) == "−0.01"

    def test_a_cell_opens_with_its_heatmaps_and_closes(self, page, bold):
        before = bold.classifier.forward_passes
        fields(page)[6].click().run()
        assert not page.error
        [picture] = page.get("image")
        assert picture.captions[0].startswith("Before ")
        assert bold.classifier.forward_passes == before + 2
        fields(page)[6].click().run()
        assert not page.get("image")

    @pytest.mark.parametrize("kind", ["Precision–recall", "Calibration"])
    def test_other_curves_can_be_chosen(self, page, kind):
        page.button_group[0].set_value(kind).run()
        assert not page.error
        assert len(page.get("vega_lite_chart")) == 2

    def test_a_new_visit_reads_what_was_found(self, visit, bold):
        visit()
        before = bold.classifier.forward_passes
        page = visit()
        assert not page.error
        assert len(fields(page)) == 16
        assert bold.classifier.forward_passes == before

    def test_a_deleted_model_s_figures_stay_and_its_heatmaps_are_gone(self, page, tmp_path):
        SessionFolder(tmp_path, "token").delete_model("bold")
        fields(page)[6].click().run()
        assert [error.value for error in page.error] == [
            "That model was deleted, so its heatmaps can't be drawn any more."
        ]
        assert len(page.get("vega_lite_chart")) == 2
