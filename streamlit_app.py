"""The app: what all pages share, around the page that the address names."""

from pathlib import Path

import streamlit as st

from ui.errors import errors_told
from ui.navigation import choose_page, run_page
from ui.own_folder import cookie_kept

UI = Path(__file__).parent / "ui"
LOGO = str(UI / "logo.svg")

page = choose_page()
st.set_page_config(page_title=f"{page.title} · Wall Crack Inspector", page_icon=LOGO, layout="wide")
st.logo(LOGO, size="large")
st.html(UI / "style.css")

with cookie_kept(), errors_told(st.error):
    run_page(page)
