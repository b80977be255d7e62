"""On demand: does the map shown tell what the verdict rests on?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from cracklib.faithfulness import STEPS, Faithfulness, measure_faithfulness
from cracklib.overlay import fit_heat
from cracklib.pipeline import Inspection, Inspector
from cracklib.types import Photo, Pixels
from ui.errors import errors_told
from ui.result import HEAT_MAP_NAMES, heat_map_shown
from ui.session import Result


@dataclass(frozen=True, eq=False)
class _Answer:
    looked_at: Inspection
    heat_map: str
    found: Faithfulness


@st.fragment
def show_faithfulness(result: Result, inspector: Inspector) -> None:
    """A button, and below it the curves of the map that is shown when it is pressed."""
    with st.expander("Does the map show what the verdict rests on?"):
        st.markdown(
            "Takes the hottest pixels away bit by bit, blurring them, and asks the network again; "
            "then the other way round, starting from the blurred photo. A faithful map makes the "
            f"probability fall fast and rise fast. That takes {2 * STEPS + 1} pictures."
        )
        st.button(
            "Measure", key="measure-faithfulness", icon=":material/query_stats:", on_click=_ask
        )
        if heat_map := st.session_state.get("faithfulness_asked"):
            with errors_told(st.error), st.spinner("Asking the network …"):
                found = _measure(result, inspector, heat_map)
                st.session_state.faithfulness = _Answer(_looked_at(result), heat_map, found)
            del st.session_state.faithfulness_asked
        answer = st.session_state.get("faithfulness")
        if answer and answer.looked_at is _looked_at(result):
            _show(answer, searched=bool(result.inspection.whole))


def _ask() -> None:
    st.session_state.faithfulness_asked = heat_map_shown()


def _measure(result: Result, inspector: Inspector, heat_map: str) -> Faithfulness:
    def probability_of(pixels: Pixels) -> float:
        return inspector.inspect(Photo(pixels)).probability

    height, width = result.pixels.shape[:2]
    heat = fit_heat(_looked_at(result).heat_of(heat_map), (height, width))
    return measure_faithfulness(probability_of, result.pixels, heat)


def _looked_at(result: Result) -> Inspection:
    """What the looks at the whole found: a search would have to be made for every picture."""
    return result.inspection.whole or result.inspection


def _show(answer: _Answer, *, searched: bool) -> None:
    found = answer.found
    if searched:
        st.caption(
            "Measured on the looks at the whole photo, without the search at full resolution."
        )
    st.line_chart(
        {
            "share of the pixels, %": np.round(100 * found.shares, 1),
            "deletion": found.deletion,
            "insertion": found.insertion,
        },
        x="share of the pixels, %",
        y=["deletion", "insertion"],
        y_label="probability of a crack",
        height=260,
        alt="The probability of a crack while the hottest pixels are taken away and put back",
    )
    st.markdown(
        f"{HEAT_MAP_NAMES[answer.heat_map]}: area under deletion **{found.deletion_area:.2f}** "
        "(low is faithful), under insertion "
        f"**{found.insertion_area:.2f}** (high is faithful); drop of the probability when each "
        f"pixel is kept as far as it is hot: **{100 * found.drop:.0f} %**. After "
        "[Petsiuk et al. 2018](https://arxiv.org/abs/1806.07421) and "
        "[Chattopadhay et al. 2018](https://arxiv.org/abs/1710.11063)."
    )
