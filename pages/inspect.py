"""A wall photo in; the verdict, how sure it is, and where, out."""

import streamlit as st

from ui import session
from ui.cracks import show_cracks
from ui.errors import errors_told
from ui.faithfulness import show_faithfulness
from ui.feedback import show_feedback
from ui.model import load_inspector, show_model_in_use
from ui.navigation import require_router
from ui.result import show_result
from ui.scan import show_scan
from ui.text import plain
from ui.ways_in import show_ways_in

require_router()

st.title("Wall Crack Inspector", anchor=False)
st.markdown("A photo of a wall in; whether there is a crack, how sure that is, and where, out.")
show_ways_in()

# Always there, full or empty: what comes and goes in it leaves the result in its place on the page,
# and so the viewer as the person left it.
with st.container():
    inspector = load_inspector()
    with st.spinner("Inspecting …"):
        session.serve(inspector)
    show_model_in_use()
    result = session.result()
    if problem := session.problem():
        below = f" Shown below is {result.inspection.photo.name}." if result else ""
        st.error(plain(problem + below), icon=":material/error:")
    show_scan(inspector)
if result := session.result():
    show_result(result)
    show_cracks(result)
    show_faithfulness(result, inspector)
    with errors_told(st.error):
        show_feedback(result)
