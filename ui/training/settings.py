"""What a new training run is to do: settings with a sentence each, how long it takes, and Start."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import streamlit as st

from cracklib import jobs
from cracklib.errors import CrackError
from cracklib.intake.split import Split
from cracklib.recipes import CHANGEABLE, RECIPES, Recipe, resolve_recipe
from cracklib.store import SessionFolder
from cracklib.timing import Speed, estimate_s
from ui.errors import errors_told
from ui.own_folder import own_folder, store
from ui.text import plain
from ui.training.photo_set import photo_set

_TRAINABLE = {
    "head": ("Head only", "The last layer: how what it sees is weighed. The quickest."),
    "block5": ("Last block", "It also learns to see new things. Some minutes."),
    "block4-5": ("Last two blocks", "As in the article. The most it can learn, and the slowest."),
}
_STARTS = {
    "bundled": ("The bundled model", "Knows cracks already. The best start for nearly all."),
    "hed": ("An edge detector", "HED: knows edges, and learns of cracks from your photos alone."),
    "imagenet": (
        "Everyday pictures",
        "ImageNet, the article's start. This server downloads 59 MB the first time.",
    ),
}
_OPTIMIZERS = {"adam": "Adam", "sgd": "SGD with momentum"}
_AUGMENTATIONS = {
    "none": "None",
    "article": "As in the article",
    "strong": "Strong",
    "rendered": "With rendered cracks",
}
_SESSION, _ARTICLE = RECIPES["session"], RECIPES["article"]
_TIMEOUT_S = 600
_FILLED = "training-filled"


@st.fragment
def show_settings(folder: SessionFolder, split: Split) -> None:
    """Lay out the settings of a run on ``split``, and start it when asked to."""
    if _FILLED not in st.session_state:
        _fill_in(_SESSION)
    name_key = f"training-name-{len(jobs.jobs_of(folder))}"  # another run, another name
    st.text_input(
        "Name of the new model",
        _free_name(folder),
        key=name_key,
        max_chars=40,
        width=320,
        persist_state="session",
        on_change=_forget_problem,
        args=(folder,),
    )
    left, right = st.columns(2, gap="medium")
    with left:
        _show_choice("What is trained", "trainable", _TRAINABLE)
    with right:
        _show_choice("What it starts from", "start", _STARTS)
    with st.expander("More settings", key="training-more"):
        _show_more()
    with errors_told(st.error):
        _show_estimate(
            resolve_recipe("session", **{name: _value(name) for name in CHANGEABLE}), split
        )
    started = st.button(
        "Start training",
        type="primary",
        icon=":material/play_arrow:",
        on_click=_start,
        args=(folder, split, name_key),
    )
    if problem := st.session_state.get(_problem_key(folder)):
        st.error(plain(problem), icon=":material/error:")
    elif started:
        st.rerun()


def words_of(trainable: str, start: str) -> str:
    """What a run trains and from what, to be read after its name."""
    return f"{_TRAINABLE[trainable][0]}, from {_STARTS[start][0]}".lower()


def _show_choice(label: str, name: str, choices: Mapping[str, tuple[str, str]]) -> None:
    st.radio(
        label,
        list(choices),
        format_func=lambda value: choices[value][0],
        captions=[caption for _, caption in choices.values()],
        key=_key(name),
        persist_state="session",
    )


def _show_more() -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        _show_number("Epochs", "epochs", 1, 100, "How often it goes through all photos, at most.")
        _show_number(
            "Patience, epochs",
            "patience",
            0,
            100,
            "Stops after so many epochs without progress on the validation photos; 0 goes on to "
            "the last. The best epoch is kept either way.",
        )
        _show_number(
            "Batch size, photos",
            "batch_size",
            1,
            128,
            "Photos a step. Larger batches give steadier, fewer steps and need more memory.",
        )
        _show_number(
            "Seed",
            "seed",
            0,
            2**31 - 1,
            "Where chance begins: the same seed gives the same model again.",
        )
    with right:
        _show_list(
            "Augmentation",
            "augmentation",
            _AUGMENTATIONS,
            "How photos are changed each time they are shown, so that few teach as much as many.",
        )
        _show_list(
            "Optimiser",
            "optimizer",
            _OPTIMIZERS,
            "How steps are taken: Adam fits their size to each weight and needs little care; SGD "
            "is the article's, slow at the same rate.",
        )
        st.number_input(
            "Learning rate (0.000001–1)",
            1e-6,
            1.0,
            step=1e-5,
            format="%g",
            key=_key("learning_rate"),
            persist_state="session",
            help="How large a step is. Too large forgets what it knew, too small learns nothing.",
        )
        st.toggle(
            "Class weights",
            key=_key("class_weights"),
            persist_state="session",
            help="Lets cracked and uncracked photos count the same when there are more of one.",
        )
    with st.container(horizontal=True):
        st.button(
            "The article's values",
            key="training-article",
            on_click=_fill_in,
            args=(_ARTICLE,),
            help="All settings, also what is trained and from what.",
        )
        st.button(
            "Back to the defaults",
            key="training-defaults",
            type="tertiary",
            icon=":material/restart_alt:",
            on_click=_fill_in,
            args=(_SESSION,),
        )


def _show_number(label: str, name: str, least: int, most: int, text: str) -> None:
    st.number_input(
        f"{label} ({least}–{most:,})",
        least,
        most,
        step=1,
        key=_key(name),
        persist_state="session",
        help=text,
    )


def _show_list(label: str, name: str, choices: Mapping[str, str], text: str) -> None:
    st.selectbox(
        label,
        list(choices),
        format_func=lambda value: choices[value],
        key=_key(name),
        persist_state="session",
        help=text,
    )


def _show_estimate(recipe: Recipe, split: Split) -> None:
    """How long it takes; asks again, every other second, only while this server is being timed."""
    timing = _timed()

    def show() -> None:
        if not timing.done():
            st.caption(f"Timing this server, to say how long it takes … {_others()}")
        elif not was_done:
            st.rerun()
        elif timing.exception():
            st.caption(f"How long it takes can't be said: timing this server failed. {_others()}")
        else:
            speed = timing.result()[recipe.trainable]
            seconds = estimate_s(recipe, len(split.train), len(split.val), speed)
            most = " at most" if recipe.patience else ""
            st.markdown(f"Takes **{about(seconds)}**{most} on this server. {_others()}")

    was_done = timing.done()
    st.fragment(show, run_every=None if was_done else 2)()


def _others() -> str:
    match jobs.count_unended(store()):
        case 0:
            return ""
        case 1:
            return "One run is ahead of it."
        case count:
            return f"{count} runs are ahead of it."


def about(seconds: float) -> str:
    """Rounded to what an estimate is good for."""
    if seconds < 55:
        return f"about {max(10, round(seconds, -1)):.0f} seconds"
    if seconds < 90:
        return "about a minute"
    minutes = seconds / 60
    if minutes < 20:
        return f"about {minutes:.0f} minutes"
    if minutes < 100:
        return f"about {5 * round(minutes / 5)} minutes"
    return f"about {round(minutes / 30) / 2:g} hours"


@st.cache_resource(ttl=timedelta(days=1), show_spinner=False)
def _timed() -> Future[dict[str, Speed]]:
    """How fast this server trains, measured in a process that is as polite as training itself."""
    future: Future[dict[str, Speed]] = Future()
    Thread(target=_settle, args=(future, _time), daemon=True).start()
    return future


def _settle(future: Future[Any], call: Callable[[], Any]) -> None:
    try:
        future.set_result(call())
    except Exception as error:  # noqa: BLE001 (whoever asks for the result gets it)
        future.set_exception(error)


def _time() -> dict[str, Speed]:
    command = ["nice", "-n", str(jobs.NICENESS), sys.executable, "-m", "cracklib", "time"]
    with subprocess.Popen(  # noqa: S603
        command,
        cwd=Path(__file__).resolve().parents[2],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        atexit.register(process.kill)
        try:
            output, _ = process.communicate(timeout=_TIMEOUT_S)
        finally:
            process.kill()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return {name: Speed(**speed) for name, speed in json.loads(output).items()}


def _problem_key(folder: SessionFolder) -> str:
    return f"training-problem-{folder.token}"


def _forget_problem(folder: SessionFolder) -> None:
    st.session_state[_problem_key(folder)] = None


def _start(folder: SessionFolder, split: Split, name_key: str) -> None:
    _forget_problem(folder)
    with errors_told(lambda message: st.session_state.update({_problem_key(folder): message})):
        if own_folder(create=False) is None:
            raise CrackError("What you kept here is gone: it was deleted, perhaps in another tab.")
        out = folder.model_path(st.session_state[name_key].strip())
        data = photo_set(folder).write_split(split)
        jobs.submit(folder, _arguments(data), out)
        jobs.advance(store())


def _arguments(data: Path) -> list[str]:
    arguments = ["--data", str(data), "--recipe", _SESSION.name]
    for name in (*CHANGEABLE, "seed"):
        option, value = name.replace("_", "-"), _value(name)
        if isinstance(value, bool):
            arguments.append(f"--{option}" if value else f"--no-{option}")
        else:
            arguments += [f"--{option}", f"{value}"]
    return arguments


def _free_name(folder: SessionFolder) -> str:
    taken = {path.stem for path in folder.models()} | {job.out.stem for job in jobs.jobs_of(folder)}
    number = 1
    while f"model {number}" in taken:
        number += 1
    return f"model {number}"


def _fill_in(recipe: Recipe) -> None:
    st.session_state[_FILLED] = st.session_state.get(_FILLED, 0) + 1
    values = {_key(name): getattr(recipe, name) for name in CHANGEABLE}
    st.session_state.update(values | {_key("seed"): 0})


def _value(name: str) -> Any:
    return st.session_state[_key(name)]


def _key(name: str) -> str:
    """Of the setting's widget, a new one whenever all are filled in.

    What a browser sends on its own by the clock has the values it knows; of widgets that are gone
    they do no harm.
    """
    return f"training-{name}-{st.session_state[_FILLED]}"
