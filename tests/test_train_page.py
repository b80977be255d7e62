"""The training page in Streamlit's own tester; a small script stands in for the training run."""

import io
import re
import sys
import time
import zipfile
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from cracklib import jobs
from cracklib.__main__ import _parser
from cracklib.dataset import find_split
from cracklib.intake.photo_set import PhotoSet
from cracklib.intake.split import split_photos
from cracklib.jobs import submit
from cracklib.pipeline import Inspector
from cracklib.recipes import CHANGEABLE, RECIPES
from cracklib.timing import Speed
from ui import own_folder
from ui.own_folder import store
from ui.training import run, settings

PAGE = Path(__file__).resolve().parent.parent / "pages" / "train.py"
# The page alone: beside a folder called pages the tester runs one without ``streamlit_app`` first,
# and a click is lost in the run after that.
APP = f"""
import streamlit as st
from ui.navigation import run_page

run_page(st.navigation([st.Page({str(PAGE)!r}, default=True)]))
"""
DEADLINE_S = 60

STAND_IN = f"""
import json, pathlib, sys, time

arguments = sys.argv[1:]
out, progress = (pathlib.Path(arguments[arguments.index(name) + 1])
                 for name in ("--out", "--progress"))

def tell(event, **values):
    with progress.open("a") as file:
        file.write(json.dumps({{"event": event, **values}}) + "\\n")

def wait_for(*names):
    deadline = time.monotonic() + {3 * DEADLINE_S}
    while time.monotonic() < deadline:
        for name in names:
            if progress.with_name(name).exists():
                return name
        time.sleep(0.01)
    sys.exit("nobody came")

print("the log of the run")
tell("features", done=12, total=24)
wait_for("train")
tell("epoch", epoch=1, loss=0.5, accuracy=0.75, val_loss=0.4, val_accuracy=0.875)
tell("epoch", epoch=2, loss=0.4, accuracy=0.8, val_loss=0.6, val_accuracy=0.75)
tell("step", step=12, steps=20, epoch=3, epochs=5, loss=0.3, accuracy=0.8, photos_per_s=9.0,
     seconds_left=75.0)
how = wait_for("stop", "finish", "fail")
if how == "fail":
    tell("failed", message="The loss is not finite.")
    sys.exit(1)
out.parent.mkdir(exist_ok=True)
out.with_suffix(".json").write_text("card")
out.write_text("weights")
tell("done", stopped=how == "stop")
"""


@pytest.fixture
def compared(monkeypatch):
    """The models that were compared with the one in use."""
    names = []
    monkeypatch.setattr(run, "show_comparison", lambda _, job: names.append(job.out.stem))
    return names


@pytest.fixture
def app(inspector, compared, monkeypatch, tmp_path):
    """The training page with the tiny network and the stand-in, not yet run."""
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    monkeypatch.setenv("CRACKLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(jobs.advance, "__defaults__", ((sys.executable, "-S", str(script)),))
    monkeypatch.setattr(Inspector, "load", lambda *_, **__: inspector)
    speed = Speed(start_s=100, features_s=0, step_s=0, calibrate_s=0)
    monkeypatch.setattr(st, "page_link", lambda *_, **__: None)  # there are no other pages
    monkeypatch.setattr(settings, "_time", lambda: dict.fromkeys(settings._TRAINABLE, speed))
    for cache in (store, settings._timed):
        cache.clear()
    yield AppTest.from_string(APP, default_timeout=DEADLINE_S)
    for job in all_jobs():
        job.cancel()
    for cache in (store, settings._timed):
        cache.clear()


@pytest.fixture
def ready(app):
    """The page with photos to train on."""
    app.run()
    settings._timed().result()
    return bring_photos(app)


def bring_photos(app):
    app.button_group(key="photo-way").set_value("Practice set").run()
    app.number_input(key="n-practice").set_value(10).run()
    click(app, "Add practice photos")
    return app


def all_jobs():
    return jobs._all_jobs(store().root)


def only_job():
    [job] = all_jobs()
    return job


def click(app, label):
    [button] = [button for button in app.button if button.label == label]
    button.click().run()


def labels(app):
    return [button.label for button in app.button]


def texts(app):
    """All that is said on the page, one line a text."""
    kinds = (app.markdown, app.caption, app.info, app.success, app.error)
    return "\n".join(element.value for elements in kinds for element in elements)


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def go_on(job, signal, stage):
    """Let the stand-in go on, until it has told of ``stage``."""
    (job.folder / signal).touch()
    wait_until(lambda: job.progress().stage == stage and (stage == "training" or job.has_ended()))


def start(app):
    click(app, "Start training")
    assert not app.error
    job = only_job()
    wait_until(lambda: job.progress().stage == "features")
    app.run()
    return job


def test_without_photos_there_is_nothing_to_start(app):
    app.run()
    assert not app.exception
    assert not app.error
    assert [header.value for header in app.header] == [
        "1 · Photos",
        "2 · Training",
        "3 · Runs",
        "4 · Your models",
    ]
    assert "Start training" not in labels(app)
    assert not any(store().root.glob("*/"))


def test_a_run_from_start_to_end(ready, compared):
    job = start(ready)
    assert job.out.stem == "model 1"
    assert "the log of the run" in [code.value for code in ready.code]
    assert "Stop, keep the best epoch" not in labels(ready)

    go_on(job, "train", "training")
    ready.run()
    assert "1 min 15 s left of training; calibration follows · 9 photos a second" in texts(ready)
    assert {"Stop, keep the best epoch", "Cancel"} <= set(labels(ready))
    assert len(ready.get("arrow_vega_lite_chart") + ready.get("vega_lite_chart")) == 2
    assert compared == []

    go_on(job, "finish", "done")
    ready.run()
    assert "Finished. Epoch 1 of 2 was the best and is kept: it got 87.5 %" in texts(ready)
    assert compared == ["model 1"]
    assert not {"Stop, keep the best epoch", "Cancel"} & set(labels(ready))
    assert ready.text_input(key="training-name-1").value == "model 2"


def test_a_later_run_that_was_cancelled_while_it_waited_hides_no_result(ready):
    job = start(ready)
    click(ready, "Start training")
    later = all_jobs()[-1]
    ready.button(key=f"cancel-{later.folder.name}").click().run()
    assert "**model 1** is being trained" in texts(ready)
    for signal, stage in (("train", "training"), ("finish", "done")):
        go_on(job, signal, stage)
    ready.run()
    assert "**model 1** is trained" in texts(ready)
    assert "Finished. Epoch 1 of 2 was the best" in texts(ready)
    assert [box.label for box in ready.expander if "model 2" in box.label] == [
        "model 2 · cancelled"
    ]


def test_calibration_is_counted_in_steps(ready):
    job = start(ready)
    with (job.folder / "progress.jsonl").open("a") as file:
        file.write('{"event": "calibrating", "done": 20, "total": 50}\n')
    ready.run()
    assert "Calibrating: step 20 of 50" in [bar.proto.text for bar in ready.get("progress")]


def test_of_several_models_each_can_be_compared(ready, compared):
    for number in (1, 2):
        click(ready, "Start training")
        job = all_jobs()[-1]
        for signal, stage in (("train", "training"), ("finish", "done")):
            go_on(job, signal, stage)
        ready.run()
        assert compared[-1] == f"model {number}"
    [choice] = [box for box in ready.selectbox if box.label == "Model compared"]
    choice.set_value("model 1").run()
    assert compared[-1] == "model 1"


def test_who_comes_back_is_told_how_it_stands(ready):
    job = start(ready)
    assert "**model 1** is being trained" in texts(ready)
    go_on(job, "train", "training")
    go_on(job, "fail", "failed")
    ready.run()
    assert "**model 1** could not be trained" in texts(ready)


def test_of_a_model_that_was_deleted_it_is_not_said_that_it_is_kept(ready, compared):
    for how_often in (1, 2):
        ready.text_input(key=f"training-name-{how_often - 1}").set_value("north wall").run()
        click(ready, "Start training")
        job = all_jobs()[-1]
        for signal, stage in (("train", "training"), ("finish", "done")):
            go_on(job, signal, stage)
        ready.run()
        if how_often == 1:
            ready.button(key="delete-north wall").click().run()
            assert "Its model was deleted since." in texts(ready)
            assert "is kept" not in texts(ready)
    assert compared[-1] == "north wall"
    assert not [box for box in ready.selectbox if box.label == "Model compared"]


def test_stopped_half_way_its_model_is_kept(ready, compared):
    job = start(ready)
    go_on(job, "train", "training")
    ready.run()
    click(ready, "Stop, keep the best epoch")
    wait_until(job.has_ended)
    ready.run()
    assert "Stopped. Epoch 1 of 2 was the best" in texts(ready)
    assert set(compared) == {"model 1"}


def test_cancelled_nothing_is_kept(ready, compared):
    job = start(ready)
    click(ready, "Cancel")
    wait_until(job.has_ended)
    ready.run()
    assert "Cancelled; nothing was kept." in texts(ready)
    assert compared == []


def test_a_failed_run_says_why_and_that_nothing_changed(ready):
    job = start(ready)
    go_on(job, "train", "training")
    go_on(job, "fail", "failed")
    ready.run()
    assert [error.value for error in ready.error] == [
        "The loss is not finite. The model in use is unchanged."
    ]


def test_another_persons_run_comes_first_and_is_not_shown(ready):
    other = store().create()
    submit(other, [], other.model_path("not yours"))
    jobs.advance(store())
    ready.run()
    assert "One run is ahead of it." in texts(ready)
    click(ready, "Start training")
    assert "Next in the queue" in texts(ready)
    assert "not yours" not in texts(ready)


def test_a_run_that_waits_begins_though_no_page_is_open(app):
    owner = store().create()
    job = submit(owner, [], owner.model_path("overnight"))
    own_folder._look_after(store())
    assert job.state() == "running"


def test_earlier_runs_stay_below(ready):
    job = start(ready)
    click(ready, "Cancel")
    wait_until(job.has_ended)
    ready.run()
    click(ready, "Start training")
    assert any(box.label == "model 1 · cancelled" for box in ready.expander)


def test_what_is_set_is_what_runs(ready):
    ready.radio(key="training-trainable-1").set_value("block5").run()
    ready.number_input(key="training-epochs-1").set_value(7).run()
    ready.number_input(key="training-learning_rate-1").set_value(0.00003).run()
    ready.toggle(key="training-class_weights-1").set_value(False).run()
    ready.number_input(key="training-seed-1").set_value(5).run()
    job = start(ready)
    given = _parser().parse_args(["train", *job.arguments, "--out", str(job.out)])
    default = RECIPES["session"]
    assert given.data == job.data
    assert (given.recipe, given.start) == ("session", default.start)
    assert (given.trainable, given.epochs, given.learning_rate) == ("block5", 7, 0.00003)
    assert (given.class_weights, given.seed) == (False, 5)
    assert (given.optimizer, given.augmentation) == (default.optimizer, default.augmentation)
    assert (given.batch_size, given.patience) == (default.batch_size, default.patience)


def test_the_numbers_that_can_be_set_are_said(ready):
    numbers = [number for number in ready.number_input if number.key.startswith("training-")]
    assert "Epochs (1–100)" in [number.label for number in numbers]
    for number in numbers:
        least, most = re.search(r"\((.*)–(.*)\)", number.label.replace(",", "")).groups()
        assert (float(least), float(most)) == (number.min, number.max)


def test_the_learning_rate_goes_up_and_down_in_small_steps(ready):
    rate = ready.number_input(key="training-learning_rate-1")
    assert rate.decrement().value == pytest.approx(2e-5)
    assert rate.increment().increment().value == pytest.approx(4e-5)


def test_the_articles_values_are_one_click_away_and_so_is_the_way_back(ready):
    def shown(time):
        return {name: ready.session_state[f"training-{name}-{time}"] for name in CHANGEABLE}

    def of(recipe):
        return {name: getattr(recipe, name) for name in CHANGEABLE}

    click(ready, "The article's values")
    assert shown(2) == of(RECIPES["article"])
    assert ready.radio(key="training-start-2").value == "imagenet"
    click(ready, "Back to the defaults")
    assert shown(3) == of(RECIPES["session"])


def test_a_name_that_cannot_be_used_starts_nothing(ready):
    ready.text_input(key="training-name-0").set_value("../secret").run()
    click(ready, "Start training")
    assert "can't be a model's name" in ready.error[0].value
    assert r"\.\./secret" in ready.error[0].value, "shown as text"
    assert all_jobs() == []
    ready.text_input(key="training-name-0").set_value("bricks").run()
    assert not ready.error
    start(ready)


def test_who_deleted_all_elsewhere_is_told_so(ready):
    token = ready.session_state["_token"]
    own_folder.end_session(store().open(token))
    click(ready, "Start training")
    # In the browser the settings alone run anew, and show it.
    assert ready.session_state[f"training-problem-{token}"].startswith("What you kept here is gone")
    assert all_jobs() == []
    bring_photos(ready)
    assert not ready.error


def test_the_time_it_takes_is_said_before(ready):
    ready.run()
    assert "Takes **about 2 minutes**" in texts(ready)


def test_a_server_that_cannot_be_timed_still_trains(ready, monkeypatch):
    monkeypatch.setattr(settings, "_time", lambda: 1 / 0)
    settings._timed.clear()
    assert isinstance(settings._timed().exception(), ZeroDivisionError)
    ready.run()
    assert "can't be said" in texts(ready)
    start(ready)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (4, "about 10 seconds"),
        (41, "about 40 seconds"),
        (61, "about a minute"),
        (200, "about 3 minutes"),
        (4000, "about 65 minutes"),
        (9000, "about 2.5 hours"),
    ],
)
def test_an_estimate_is_rounded(seconds, words):
    assert settings.about(seconds) == words


def test_the_command_and_the_photos_repeat_the_run(tmp_path):
    session = store().create()
    photos = PhotoSet(session.path / "photos")
    photos.add_practice(10)
    data = photos.write_split(split_photos(photos.photos))
    job = submit(session, ["--data", str(data), "--seed", "1"], session.model_path("my bricks"))
    assert run._command(job) == (
        "python -m cracklib train --data DATA --seed 1 --out 'weights/my bricks.safetensors'"
    )
    files = sorted(path for path in data.rglob("*") if path.is_file())
    with zipfile.ZipFile(io.BytesIO(run._zip(data, files))) as archive:
        archive.extractall(tmp_path)
    again = [[file.path.read_bytes() for file in half] for half in find_split(tmp_path / "DATA")]
    assert again == [[file.path.read_bytes() for file in half] for half in find_split(data)]
    session.delete()
