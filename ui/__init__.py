"""Streamlit code that pages share. Only this, ``pages`` and ``streamlit_app`` import Streamlit."""
