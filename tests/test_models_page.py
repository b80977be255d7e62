"""The last part of the training page, run by Streamlit's own tester."""

import json

import numpy as np
import pytest
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest

from cracklib.architecture import weight_shapes
from cracklib.config import BUNDLED_WEIGHTS
from cracklib.jobs import submit
from cracklib.weights import encode_weights, pack_model, read_card, save_weights, sha256
from tests.tiny import make_card
from ui.card import card_rows, summary
from ui.own_folder import store

PAGE = """
import streamlit as st
from ui.own_folder import own_folder
from ui.training.models import show_models

folder = own_folder(create=False)
st.session_state.folder = folder
show_models(folder)
"""

CARD = make_card(
    name="theirs",
    start="the bundled model",
    created="2026-11-24",
    minutes=12.4,
    seed=7,
    recipe={
        "start": "bundled",
        "trainable": "head",
        "epochs": 20,
        "learning_rate": 0.0001,
        "class_weights": True,
        "history": [{}, {}, {}],
    },
    data={"photos": {"no_crack": 70, "crack": 60}, "practice": {"no_crack": 1000, "crack": 1000}},
    quality={"overall": {"balanced_accuracy": {"value": 0.9375, "low": 0.9, "high": 0.96}}},
)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The zip of a model."""
    encoded = encode_weights(
        {name: np.zeros(shape, np.float32) for name, shape in weight_shapes().items()}
    )
    path = tmp_path_factory.mktemp("model") / "theirs.safetensors"
    save_weights(path, encoded, make_card(name="theirs", sha256=sha256(encoded)))
    return pack_model(path)


@pytest.fixture
def app(monkeypatch, tmp_path):
    monkeypatch.setenv("CRACKLIB_STORE", str(tmp_path / "store"))
    store.clear()
    yield AppTest.from_string(PAGE, default_timeout=60).run()
    store.clear()


def click(app, label):
    [button] = [button for button in app.button if button.label == label]
    button.click().run()
    assert not app.exception


def give(app, *files, name=""):
    app.file_uploader[0].set_value([(*file, "application/octet-stream") for file in files])
    app.text_input[0].set_value(name)
    click(app, "Add the model")


def titles(app):
    return [text.value for text in app.markdown if text.value.startswith("**")]


def in_use(app):
    folder = app.session_state["folder"]
    path = folder.model_in_use() if folder else None
    return path.stem if path else None


def test_at_first_there_is_the_bundled_model_and_it_is_in_use(app):
    assert titles(app) == ["**Bundled model**"]
    assert app.button(key="use-").disabled
    assert app.session_state["folder"] is None
    assert not app.exception


def test_a_model_is_uploaded_used_and_deleted(app, packed):
    give(app, ("north wall.zip", packed))
    assert not app.error
    assert titles(app) == ["**Bundled model**", "**north wall**"]
    assert in_use(app) is None

    app.button(key="use-north wall").click().run()
    assert in_use(app) == "north wall"
    assert app.button(key="use-north wall").disabled
    app.button(key="use-").click().run()
    assert in_use(app) is None

    app.button(key="use-north wall").click().run()
    app.button(key="delete-north wall").click().run()
    assert titles(app) == ["**Bundled model**"]
    assert in_use(app) is None
    assert not app.exception


def test_an_upload_is_not_called_as_a_run_of_the_session(app, packed):
    give(app, ("theirs.zip", packed))
    folder = app.session_state["folder"]
    job = submit(folder, ["--data", "photos"], folder.model_path("mine"))
    give(app, ("mine.zip", packed))
    assert ["A run on this page is called 'mine'" in error.value for error in app.error] == [True]
    job.cancel()
    give(app, ("mine.zip", packed))
    assert titles(app) == ["**Bundled model**", "**theirs**"]
    give(app, ("mine.zip", packed), name="ours")
    assert titles(app) == ["**Bundled model**", "**theirs**", "**ours**"]


def test_what_became_a_model_is_not_kept_as_an_upload(app, packed, monkeypatch):
    removed = []
    monkeypatch.setattr(
        MemoryUploadedFileManager, "remove_file", lambda *call: removed.append(call[2])
    )
    give(app, ("no zip.zip", b"PK"))
    assert app.error
    assert not removed
    give(app, ("theirs.zip", packed))
    assert len(removed) == 1


def test_an_uploaded_model_can_be_named(app, packed):
    give(app, ("north wall.zip", packed), name="mine")
    assert titles(app) == ["**Bundled model**", "**mine**"]
    give(app, ("north wall.zip", packed), name="mine")
    assert "'mine' already" in app.error[0].value
    assert titles(app) == ["**Bundled model**", "**mine**"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.h5", "never opened"),
        ("model.zip", "damaged"),
        ("w.safetensors", "That is no model"),
        ("**w**", r"\*\*w\*\*"),
    ],
)
def test_what_is_no_model_is_refused_and_nothing_is_made(app, name, message):
    give(app, (name, b"not a model"))
    assert message in app.error[0].value
    assert titles(app) == ["**Bundled model**"]
    assert list(store().root.iterdir()) == []


def test_a_model_whose_card_is_broken_can_still_be_deleted(app, packed):
    give(app, ("broken.zip", packed))
    folder = app.session_state["folder"]
    folder.models()[0].with_suffix(".json").write_text("{}")
    app.run()
    assert "not a model card" in app.error[0].value
    assert app.button(key="use-broken").disabled
    app.button(key="delete-broken").click().run()
    assert not app.error
    assert folder.models() == []


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ("{", " (it is no JSON)"),
        ({"activation_ranges": "much"}, ""),
        ({"colour": "red"}, ""),
        ({"temperature": -1}, " (temperature must be above 0)"),
        ({"seed": "7"}, " (a text, number or table in it is something else)"),
    ],
)
def test_what_is_wrong_with_a_card_is_said_in_words(app, card, reason):
    text = card if isinstance(card, str) else json.dumps(json.loads(CARD.to_json()) | card)
    give(app, ("wall.safetensors", b""), ("wall.json", text.encode()))
    assert app.error[0].value.replace("\\", "") == (
        f"The card of wall is not a model card of this program{reason}. Use the .json file that "
        "was written together with the weights."
    )


def test_before_the_model_in_use_is_deleted_it_is_said_what_judges_then(app, packed):
    give(app, ("theirs.zip", packed))
    [question] = [text.value for text in app.markdown if text.value.startswith("Delete ")]
    assert "bundled model" not in question
    app.button(key="use-theirs").click().run()
    [question] = [text.value for text in app.markdown if text.value.startswith("Delete ")]
    assert "The bundled model then judges your photos." in question


def test_a_card_in_a_sentence():
    assert summary(CARD).replace("\\", "") == (
        "Made 2026-11-24, from the bundled model, on 2,130 photos. "
        "Balanced accuracy on held-out photos: "
        "93.8\N{NO-BREAK SPACE}% (90\N{WORD JOINER}–\N{WORD JOINER}96)."
    )
    assert "from" not in summary(CARD, with_start=False)
    assert summary(make_card()) == "Not measured on held\\-out photos\\."


def test_a_card_in_rows():
    rows = card_rows(CARD)
    assert rows["Trained on"] == (
        "photos: 70 no crack, 60 crack; practice: 1,000 no crack, 1,000 crack"
    )
    assert rows["Started from"] == "the bundled model"
    assert rows["Layers trained"] == "head"
    assert rows["Learning rate"] == "0.0001"
    assert rows["Class weights"] == "yes"
    assert rows["Epochs run"] == "3"
    assert rows["Run took"] == "12 minutes"
    assert rows["Seed"] == "7"
    assert rows["Called a crack"] == "from a probability of 50 %"


@pytest.mark.skipif(not BUNDLED_WEIGHTS.exists(), reason="no bundled weights in weights/")
def test_the_bundled_card_can_be_shown():
    card = read_card(BUNDLED_WEIGHTS)
    assert "photos" in summary(card)
    assert card.sha256 in card_rows(card)["Weights"]


def test_the_hash_of_what_a_model_started_from_is_shortened():
    rows = card_rows(make_card(start=f"a model (sha256 {'0123456789abcdef' * 4})"))
    assert rows["Started from"] == "a model (sha256 01234567…)"
