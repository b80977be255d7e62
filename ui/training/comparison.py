"""After training: the new model against the one in use, on held-out photos and the check set."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path

import streamlit as st

from cracklib.check_set import CHECK_SET
from cracklib.comparison import (
    SIDES,
    ComparedModel,
    ComparedPhoto,
    Comparison,
    PairedScores,
    Side,
    compare,
    load_comparison,
    save_comparison,
)
from cracklib.config import DEFAULT_COLORMAP, DEFAULT_OPACITY, DISPLAY_THRESHOLD
from cracklib.errors import CrackError, WeightsError
from cracklib.jobs import Job
from cracklib.metrics import CalibrationError, Estimate
from cracklib.overlay import render_overlay
from cracklib.photo import encode_jpeg, fit_within, read_photo
from cracklib.pipeline import Inspector
from cracklib.store import SessionFolder
from cracklib.types import Photo
from cracklib.weights import read_card
from ui import charts
from ui.errors import errors_told
from ui.model import bundled_inspector, inspector_at, load_inspector, model_in_use
from ui.text import percent, plain
from ui.training.models import choose_model

_MODEL = {"current": "Before", "new": "New"}
"""By their part in the comparison, for which of them is in use may change after it."""
_COLOURS = {"current": "#7b8a99", "new": "#d9662b"}
"""Three to one and better against the backgrounds of both themes."""
_DASHES = {"current": (5, 3), "new": (1, 0)}

_METRICS = {
    "accuracy": ("Accuracy", "of all verdicts, how many are right"),
    "precision": ("Precision", "of those called cracked, how many are"),
    "recall": ("Recall", "of the cracked, how many are called so"),
    "f1": ("F1", "precision and recall in one (harmonic mean)"),
    "auc": ("AUC", "how often a cracked photo scores above a sound one"),
    "calibration_error": (
        "Calibration error",
        "how far probabilities are off; chance: how far right ones would seem to be",
    ),
}
_CELLS = ((True, True), (True, False), (False, True), (False, False))
"""Whether the photos of a cell are cracked, and whether they are called so."""

_PICTURE_PX = 400
_PICTURES_AT_ONCE = 12


@dataclass(frozen=True)
class _Part:
    """One of the two sets of photos. ``key`` is that of its widgets."""

    key: str
    title: str
    scores: PairedScores


@dataclass
class _OpenCell:
    """The cell of a confusion matrix whose photos are shown, with the pictures made so far."""

    side: Side
    cracked: bool
    called: bool
    shown: int = _PICTURES_AT_ONCE
    pictures: dict[str, bytes] = field(default_factory=dict)

    def is_at(self, side: Side, cracked: bool, called: bool) -> bool:
        return (self.side, self.cracked, self.called) == (side, cracked, called)


@st.fragment
def show_comparison(folder: SessionFolder, job: Job) -> None:
    """Compare the model that ``job`` wrote with the one in use, once, and show what came out."""
    with errors_told(st.error), st.container(key="comparison"):
        comparison = _comparison(job)
        before, new = _name(comparison.current), _name(comparison.new)
        st.subheader(f"{plain(new)} compared with {plain(before)}", anchor=False)
        st.html(f"<p class='headline'>{comparison.explain()}</p>")
        _show_use(job, recommended=comparison.recommends_new)
        if advice := _advice(comparison, job):
            st.markdown(advice)
        parts = (
            _Part(f"{job.folder.name}-yours", "Your held-out photos", comparison.on_held_out),
            _Part(f"{job.folder.name}-ours", "Our check set", comparison.on_check_set),
        )
        for part, column in zip(parts, st.columns(2, gap="large"), strict=True):
            with column:
                _show_part(part, comparison, folder, job)
        _show_curves(parts)
        st.caption(
            "Brackets: 95 % intervals. The held-out photos were not trained on, but the new "
            "model's best epoch and calibration were chosen on them, which flatters it a little. "
            "The check set is rendered: every kind of wall, in pictures no model was trained on."
        )
        if comparison.unreadable:
            st.caption(f"Left out: {len(comparison.unreadable)} photos that can't be read.")


def _advice(comparison: Comparison, job: Job) -> str:
    """What to do where the new model is worse on one of the sets of photos; else nothing."""
    before = plain(_name(comparison.current))
    yours = comparison.on_held_out.change
    if "worse" in yours:
        return f"On your walls the new model is {yours}: stay with {before}."
    if comparison.on_check_set.change != "worse":
        return ""
    from_bundled = job.option("start") == "bundled"
    told = (
        "The new model has forgotten some of what it knew."
        if from_bundled and _is_bundled(comparison.current)
        else "On walls unlike yours the new model is worse."
    )
    use = "Use it for walls like yours" if comparison.recommends_new else f"Stay with {before}"
    again = "with fewer epochs" if from_bundled else "from the bundled model"
    if from_bundled and job.option("trainable") != "head":
        again += " or only the head"
    return f"{told} {use}, or train again {again}."


def _show_use(job: Job, *, recommended: bool) -> None:
    name = job.out.stem
    in_use = name == model_in_use()
    st.button(
        "In use" if in_use else "Use this model",
        key=f"use-new-{job.folder.name}",
        type="primary" if recommended else "secondary",
        icon=":material/check:" if in_use else None,
        disabled=in_use or not job.out.exists(),
        on_click=_use,
        args=(name,),
        help="It then judges your photos, nobody else's. Below you can go back at any time.",
    )
    # The button itself says nothing: in use now, it is drawn disabled.
    if st.session_state.pop("use-asked", False):
        st.rerun()  # the list of models, too


def _use(name: str) -> None:
    choose_model(name)
    st.session_state["use-asked"] = True


def _name(model: ComparedModel) -> str:
    return "the bundled model" if _is_bundled(model) else model.name


def _is_bundled(model: ComparedModel) -> bool:
    return model.sha256 == bundled_inspector().card.sha256


def _comparison(job: Job) -> Comparison:
    key = f"comparison-{job.folder.name}"
    comparison = st.session_state.get(key) or load_comparison(job.folder)
    if comparison is None:
        comparison = _compare(job)
        with contextlib.suppress(OSError):  # of a full disk; it is then made again next time
            save_comparison(comparison, job.folder)
    st.session_state[key] = comparison
    return comparison


def _compare(job: Job) -> Comparison:
    new, current = inspector_at(job.out), load_inspector()
    if current.card.sha256 == new.card.sha256:
        current = bundled_inspector()
    # Kept for the session, so that a click elsewhere on the page does not cost what was done.
    scores = st.session_state.setdefault(f"scores-{job.folder.name}-{current.card.sha256}", {})
    bar = st.progress(0.0, "Comparing the new model with the one before …")
    start, first = time.monotonic(), len(scores)

    def tell(done: int, total: int) -> None:
        looked_at = done - first
        if looked_at > 0:
            left_s = (time.monotonic() - start) / looked_at * (total - done)
            left = f"{left_s:.0f} s" if left_s < 90 else f"{left_s / 60:.0f} min"
            bar.progress(done / total, f"Comparing on photo {done} of {total}, about {left} left")

    comparison = compare(job.data, current, new, tell, scores)
    bar.empty()
    return comparison


def _show_part(part: _Part, comparison: Comparison, folder: SessionFolder, job: Job) -> None:
    scores = part.scores
    cracks = int(scores.labels.sum())
    st.subheader(part.title, anchor=False)
    st.caption(f"{len(scores.photos)} photos, {cracks} cracked, {len(scores.photos) - cracks} not.")
    st.html(_table_html(scores))
    gain = scores.auc_gain
    ranking = (
        f" The AUC changed by {_signed(gain.value)} ({_signed(gain.low)} to {_signed(gain.high)})."
        if gain
        else ""
    )
    st.markdown(scores.explain() + ranking)
    open_cell = _show_matrices(part)
    if open_cell:
        with errors_told(st.error):
            _show_photos(part, open_cell, comparison, folder, job)


def _table_html(scores: PairedScores) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{title}<small>{meaning}</small></th>"
        + "".join(
            f"<td>{_estimate_html(getattr(scores.metrics[side], name), name)}</td>"
            for side in SIDES
        )
        + "</tr>"
        for name, (title, meaning) in _METRICS.items()
    )
    return (
        "<table class='comparison-table'><thead><tr><td></td><th scope='col'>Before</th>"
        f"<th scope='col'>New</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _signed(value: float) -> str:
    return f"{value:+z.2f}".replace("-", "−")


def _estimate_html(estimate: Estimate | CalibrationError | None, name: str) -> str:
    if estimate is None:
        return "–"
    if isinstance(estimate, CalibrationError):
        value, low, high = (100 * figure for figure in astuple(estimate))
        return f"{value:.1f} %<small>(chance {low:.0f}–{high:.0f})</small>"
    if name == "auc":
        return f"{estimate.value:.2f}<small>({estimate.low:.2f}–{estimate.high:.2f})</small>"
    value, low, high = (100 * figure for figure in (estimate.value, estimate.low, estimate.high))
    return f"{value:.1f} %<small>({low:.0f}–{high:.0f})</small>"


def _show_matrices(part: _Part) -> _OpenCell | None:
    """Both confusion matrices, every cell a button; returns the cell that is open."""
    state_key = f"cell-{part.key}"
    chosen: _OpenCell | None = st.session_state.get(state_key)

    def toggle(side: Side, cracked: bool, called: bool) -> None:
        now = st.session_state.get(state_key)
        same = now is not None and now.is_at(side, cracked, called)
        st.session_state[state_key] = None if same else _OpenCell(side, cracked, called)

    st.markdown("**Verdicts** – choose a field to see its photos")
    for side, column in zip(SIDES, st.columns(2, gap="small"), strict=True):
        with column, st.container(key=f"matrix-{part.key}-{side}"):
            st.caption(_MODEL[side])
            for cracked, called in _CELLS:
                count = len(part.scores.cell(side, cracked, called))
                is_open = chosen is not None and chosen.is_at(side, cracked, called)
                kind = "right" if cracked == called else "wrong"
                st.button(
                    f"**{count}** {_cell_name(cracked, called)}",
                    key=f"cell-{kind}-{part.key}-{side}-{cracked}-{called}",
                    type="primary" if is_open else "secondary",
                    width="stretch",
                    disabled=not count,
                    on_click=toggle,
                    args=(side, cracked, called),
                )
    return chosen


def _cell_name(cracked: bool, called: bool) -> str:
    return f"{'Cracked' if cracked else 'Sound'}, called {'cracked' if called else 'sound'}"


def _show_photos(
    part: _Part, cell: _OpenCell, comparison: Comparison, folder: SessionFolder, job: Job
) -> None:
    photos = part.scores.cell(cell.side, cell.cracked, cell.called)
    with st.container(border=True, key=f"cell-photos-{part.key}"):
        st.markdown(
            f"{_MODEL[cell.side]}: **{_cell_name(cell.cracked, cell.called)}**, most wrong first, "
            "with that model's evidence for a crack. "
            "Below each, both models' probability of a crack."
        )
        shown = photos[: cell.shown]
        missing = [photo for photo in shown if photo.name not in cell.pictures]
        if missing:
            sha256 = getattr(comparison, cell.side).sha256
            with st.spinner("Drawing the heatmaps …"):
                _draw(missing, _inspector_with(sha256, folder), job.data, cell.pictures)
        with st.container(key=f"pictures-{part.key}"):
            for photo in shown:
                _show_photo(photo, cell)
        if len(photos) > cell.shown:
            more = min(len(photos) - cell.shown, _PICTURES_AT_ONCE)

            def show_more() -> None:
                cell.shown += _PICTURES_AT_ONCE

            st.button(f"Show {more} more", key=f"more-{part.key}", on_click=show_more)


def _show_photo(photo: ComparedPhoto, cell: _OpenCell) -> None:
    before, new = (
        percent(photo.probability(side)).replace(" ", "\N{NO-BREAK SPACE}") for side in SIDES
    )
    st.image(
        cell.pictures[photo.name],
        width="stretch",
        alt=f"{_cell_name(cell.cracked, cell.called)}, with the evidence for a crack as colours",
        caption=f"Before {before}, new {new}",
    )


def _draw(
    photos: Sequence[ComparedPhoto], inspector: Inspector, data: Path, pictures: dict[str, bytes]
) -> None:
    for compared in photos:
        inspection = inspector.inspect(_photo(compared.name, data))
        pixels = fit_within(inspection.photo.pixels, _PICTURE_PX)
        pictures[compared.name] = encode_jpeg(
            render_overlay(
                pixels, inspection.heat, DEFAULT_OPACITY, DEFAULT_COLORMAP, DISPLAY_THRESHOLD
            )
        )


def _photo(name: str, data: Path) -> Photo:
    for picture in CHECK_SET:
        if picture.name == name:
            return picture.render()
    return read_photo(data / "val" / name)


def _inspector_with(sha256: str, folder: SessionFolder) -> Inspector:
    """The bundled model or one of this session's, known by its hash."""
    bundled = bundled_inspector()
    if bundled.card.sha256 == sha256:
        return bundled
    for path in folder.models():
        with contextlib.suppress(WeightsError):
            if read_card(path).sha256 == sha256:
                return inspector_at(path)
    raise CrackError("That model was deleted, so its heatmaps can't be drawn any more.")


def _show_curves(parts: Sequence[_Part]) -> None:
    st.subheader("Curves", anchor=False)
    kind = st.segmented_control(
        "Curve",
        list(charts.EXPLAINED),
        default="ROC",
        required=True,
        label_visibility="collapsed",
        key=f"curve-{parts[0].key}",
    )
    st.markdown(charts.EXPLAINED[kind])
    for part, column in zip(parts, st.columns(2, gap="large"), strict=True):
        with column:
            st.markdown(f"**{part.title}**")
            st.altair_chart(
                charts.draw_curves(kind, _lines(part.scores)),
                width="stretch",
                alt=f"{kind} of both models on {part.title.lower()}",
            )


def _lines(scores: PairedScores) -> list[charts.Line]:
    thresholds = {"current": scores.current_threshold, "new": scores.new_threshold}
    return [
        charts.Line(
            _MODEL[side],
            _COLOURS[side],
            _DASHES[side],
            scores.labels,
            scores.probabilities(side),
            thresholds[side],
        )
        for side in SIDES
    ]
