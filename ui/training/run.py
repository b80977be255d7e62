"""Training runs: how far they are, how to end them, what came out, and how to repeat them."""

from __future__ import annotations

import io
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import streamlit as st

from cracklib.jobs import Job, Progress, advance, jobs_of
from cracklib.store import SessionFolder
from ui.errors import errors_told
from ui.own_folder import store
from ui.text import plain
from ui.training.comparison import show_comparison
from ui.training.settings import words_of

_POLL_S = 1.0
_LOG_LINES = 40
_MAX_ZIP_BYTES = 500_000_000
_COLOURS = {"Training": "#7b8a99", "Validation": "#d9662b"}
"""Three to one and better against the backgrounds of both themes."""


def show_news(folder: SessionFolder) -> None:
    """For who comes back: how it stands with the run under way, else the last, and where it is."""
    runs = jobs_of(folder)
    if not runs:
        return
    run = next((run for run in runs if not run.has_ended()), _last(runs))
    match run.state():
        case "queued":
            icon, news = "hourglass", "waits to be trained"
        case "running" | "stopping":
            icon, news = "model_training", "is being trained"
        case "failed":
            icon, news = "error", "could not be trained"
        case _ if run.has_model():
            icon, news = "check", "is trained"
        case _:
            st.empty()  # in place of what was said while it ran: below, comparing takes a while
            return
    with st.container(border=True, key="news"):
        st.markdown(f":material/{icon}: **{plain(run.out.stem)}** {news}. [See the run](#runs)")


def show_runs(folder: SessionFolder) -> None:
    """Show this session's runs: those under way live, else the last one; the others collapsed."""
    runs = jobs_of(folder)
    under_way = [run for run in runs if not run.has_ended()]
    shown = under_way or [_last(runs)]
    st.fragment(_show_live, run_every=_POLL_S if under_way else None)(shown, under_way)
    last_of_name = {run.out: run for run in runs}.values()
    with_model = [run for run in last_of_name if run.has_ended() and run.has_model()]
    if with_model:
        show_comparison(folder, _choose_compared(with_model))
    for run in reversed(runs):
        if run not in shown:
            with st.expander(
                f"{plain(run.out.stem)} · {_ending(run)}", key=f"earlier-{run.folder.name}"
            ):
                _show_run(run)


def _last(runs: Sequence[Job]) -> Job:
    """The one that ended last: they are trained in turn, but some are cancelled before theirs."""
    return next((run for run in reversed(runs) if run.has_begun()), runs[-1])


def _choose_compared(runs: Sequence[Job]) -> Job:
    """Of the models that ``runs`` wrote, the last one, until another is chosen to be looked at."""
    if len(runs) == 1:
        return runs[0]
    return st.selectbox(
        "Model compared",
        runs,
        index=len(runs) - 1,
        format_func=lambda run: run.out.stem,
        key=f"compared-{len(runs)}",
        width=320,
    )


def _show_live(shown: Sequence[Job], under_way: Sequence[Job]) -> None:
    """Polled while runs are ``under_way``; when one ends, the whole page is to know."""
    with errors_told(st.error):
        advance(store())
    if any(run.has_ended() for run in under_way):
        st.rerun()
    with errors_told(st.error):
        for run in shown:
            _show_run(run)


def _show_run(run: Job) -> None:
    progress = run.progress()
    with st.container(key=f"run-{run.folder.name}"):
        what = words_of(run.option("trainable"), run.option("start"))
        st.markdown(f"**{plain(run.out.stem)}**: {what}")
        _show_state(run, progress)
        if progress.epochs:
            _show_curves(progress.epochs)
        if log := run.log(_LOG_LINES):
            with st.expander("Log", key=f"log-{run.folder.name}"):
                st.code(log, language=None, height=300)
        if run.has_ended():
            with st.expander("The same run on the command line", key=f"same-{run.folder.name}"):
                _show_command(run)


def _show_state(run: Job, progress: Progress) -> None:
    match run.state():
        case "queued":
            st.info(_place(run.place_in_queue()), icon=":material/hourglass:")
            _show_buttons(run, None)
        case "running":
            _show_progress(progress, int(run.option("batch-size")))
            _show_buttons(run, progress)
        case "stopping":
            st.info("Stopping …", icon=":material/hourglass:")
        case "finished" | "stopped" if progress.stage == "done" and not run.has_model():
            st.info("Its model was deleted since.", icon=":material/delete:")
        case "finished":
            st.success(f"Finished. {_best(progress.epochs)}", icon=":material/check:")
        case "stopped" if run.has_model():
            st.success(f"Stopped. {_best(progress.epochs)}", icon=":material/check:")
        case "stopped":
            st.info("Cancelled; nothing was kept.", icon=":material/cancel:")
        case "failed":
            st.error(run.failure(), icon=":material/error:")


def _place(place: int) -> str:
    if place <= 1:
        return "Next in the queue: it starts when the run under way here has ended."
    return f"Number {place} in the queue: it starts when those before it have ended."


def _show_progress(progress: Progress, batch_size: int) -> None:
    done, total = progress.done, progress.total
    share = done / total if total else 0.0
    match progress.stage:
        case "features":
            st.progress(share, f"Computing features: {done} of {total} photos")
        case "training" if step := progress.step:
            st.progress(
                step["step"] / step["steps"],
                f"Training: epoch {step['epoch']} of {step['epochs']}, "
                f"step {step['step']} of {step['steps']}",
            )
            st.caption(
                f"{_time_left(step['seconds_left'])} left of training; calibration follows · "
                f"{step['photos_per_s']:,.0f} photos a second · "
                f"{step['step'] * batch_size:,} photos seen · "
                f"loss {step['loss']:.3f}, accuracy {step['accuracy']:.0%} in this epoch"
            )
        case "calibrating":
            st.progress(share, f"Calibrating: step {done} of {total}")
        case "done" | "failed":
            st.progress(1.0, "Ending …")
        case _:
            st.progress(0.0, "Starting …")


def _show_buttons(run: Job, progress: Progress | None) -> None:
    with st.container(horizontal=True):
        if progress and progress.epochs and progress.stage in ("features", "training"):
            st.button(
                "Stop, keep the best epoch",
                key=f"stop-{run.folder.name}",
                icon=":material/stop:",
                on_click=run.stop,
            )
        st.button(
            "Cancel",
            key=f"cancel-{run.folder.name}",
            icon=":material/close:",
            on_click=run.cancel,
            help="Ends it at once and keeps nothing.",
        )


def _show_curves(epochs: Sequence[Mapping[str, Any]]) -> None:
    left, right = st.columns(2, gap="medium")
    left.altair_chart(_curve(epochs, "loss", "Loss", ".2f"), alt="The loss over the epochs")
    right.altair_chart(
        _curve(epochs, "accuracy", "Accuracy", ".0%"), alt="The accuracy over the epochs"
    )


def _curve(
    epochs: Sequence[Mapping[str, Any]], name: str, title: str, number_format: str
) -> alt.Chart:
    points = [
        {"epoch": figures["epoch"], "photos": photos, "value": figures[key]}
        for figures in epochs
        for photos, key in (("Training", name), ("Validation", f"val_{name}"))
    ]
    photos = list(_COLOURS)
    legend = alt.Legend(orient="top", title=None, symbolType="stroke", symbolStrokeWidth=3)
    return (
        alt.Chart(alt.Data(values=points))
        .mark_line(point=alt.OverlayMarkDef(size=45, filled=True), strokeWidth=2.5)
        .encode(
            alt.X(
                "epoch:Q",
                title="Epoch",
                scale=alt.Scale(domain=[1, max(2, epochs[-1]["epoch"])]),
                axis=alt.Axis(format="d", tickMinStep=1, tickCount=8),
            ),
            alt.Y(
                "value:Q",
                title=title,
                scale=alt.Scale(zero=False),
                axis=alt.Axis(format=number_format, tickCount=5, tickMinStep=0.01),
            ),
            alt.Color(
                "photos:N",
                scale=alt.Scale(domain=photos, range=list(_COLOURS.values())),
                legend=legend,
            ),
            alt.StrokeDash(
                "photos:N", scale=alt.Scale(domain=photos, range=[[5, 3], [1, 0]]), legend=None
            ),
            tooltip=[
                alt.Tooltip("epoch:Q", title="Epoch"),
                alt.Tooltip("photos:N", title="Photos"),
                alt.Tooltip("value:Q", title=title, format=".3f"),
            ],
        )
        .properties(height=280)
    )


def _show_command(run: Job) -> None:
    st.code(_command(run), language="bash", wrap_lines=True)
    st.caption(
        "On a machine like this one it gives the same model. `DATA` is the folder of the photos, "
        "split as they were."
    )
    files = sorted(path for path in run.data.rglob("*") if path.is_file())
    n_bytes = sum(path.stat().st_size for path in files)
    if not files:
        st.caption("The photos of this run are gone.")
    elif n_bytes > _MAX_ZIP_BYTES:
        st.caption(
            f"The photos are {n_bytes / 1e6:,.0f} MB, too many to be downloaded from here: the "
            f"most is {_MAX_ZIP_BYTES / 1e6:,.0f} MB. Lay out your own as DATA/train and DATA/val, "
            "each with crack and no_crack."
        )
    else:
        st.download_button(
            f"DATA, ZIP of {n_bytes / 1e6:,.1f} MB",
            lambda: _zip(run.data, files),
            file_name=f"{run.out.stem} data.zip",
            mime="application/zip",
            key=f"data-{run.folder.name}",
            icon=":material/download:",
            on_click="ignore",
        )


def _command(run: Job) -> str:
    arguments = ["DATA" if text == str(run.data) else text for text in run.arguments]
    out = f"weights/{run.out.name}"
    return shlex.join(["python", "-m", "cracklib", "train", *arguments, "--out", out])


def _zip(data: Path, files: Sequence[Path]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            archive.write(path, Path("DATA", path.relative_to(data)))
    return packed.getvalue()


def _ending(run: Job) -> str:
    """How a run ended, in a word."""
    state = run.state()
    return "cancelled" if state == "stopped" and not run.has_model() else state


def _best(epochs: Sequence[Mapping[str, Any]]) -> str:
    if not epochs:  # all were over before the run went on where a killed one stopped
        return ""
    best = min(epochs, key=lambda figures: figures["val_loss"])
    return (
        f"Epoch {best['epoch']} of {epochs[-1]['epoch']} was the best and is kept: it got "
        f"{100 * best['val_accuracy']:.1f} % of the validation photos right."
    )


def _time_left(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
