"""The last part of the training page: the models to choose from, and what is known of each."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from cracklib.config import weights_path
from cracklib.jobs import check_no_run
from cracklib.store import SessionFolder
from cracklib.weights import pack_model, read_card, unpack_upload
from ui.card import card_rows, rows_html, summary
from ui.errors import errors_told
from ui.model import model_in_use, use_model
from ui.own_folder import own_folder
from ui.quality import quality_rows
from ui.text import plain
from ui.uploads import let_go

_MAX_UPLOAD_MB = 70
"""Enough for the weights in float32."""


def show_models(folder: SessionFolder | None) -> None:
    """List the bundled model and those of the session: use, download, delete, upload."""
    models = st.container()
    with st.expander("Upload a model", icon=":material/upload:"):
        _show_upload()
    in_use = model_in_use()
    with models:
        _show_model(None, weights_path(), in_use)
        for path in folder.models() if folder else []:
            _show_model(path.stem, path, in_use, folder)


def choose_model(name: str | None) -> None:
    """Let the model called ``name`` judge in this session, None being the bundled one; say so."""
    with errors_told(st.toast):
        use_model(name)
        title = f"‘{plain(name)}’" if name else "The bundled model"
        st.toast(f"{title} judges your photos from now on, also the one shown on Inspect.")


def _show_model(
    name: str | None, path: Path, in_use: str | None, folder: SessionFolder | None = None
) -> None:
    """``name`` of None is the bundled model, which can't be deleted."""
    key = name or ""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            title = "Bundled model" if name is None else plain(name)
            st.markdown(f"**{title}**", width="content")
            if name == in_use:
                st.badge("In use", icon=":material/check:", color="green")
        card = None
        with errors_told(st.error):
            card = read_card(path)
            st.caption(summary(card, with_start=name is not None))
        with st.container(horizontal=True):
            st.button(
                "Use",
                key=f"use-{key}",
                type="primary",
                disabled=name == in_use or card is None,
                on_click=choose_model,
                args=(name,),
            )
            st.download_button(
                "Download",
                lambda: pack_model(path),
                key=f"download-{key}",
                file_name=f"{path.stem}.zip",
                mime="application/zip",
                icon=":material/download:",
                on_click="ignore",
                disabled=card is None,
                help="A zip with the weights and their card.",
            )
            if folder and name:
                with st.popover("Delete", icon=":material/delete:"):
                    then = "The bundled model then judges your photos. " if name == in_use else ""
                    st.markdown(f"Delete ‘{plain(name)}’? {then}This can't be undone.")
                    st.button(
                        "Delete it",
                        key=f"delete-{key}",
                        type="primary",
                        on_click=_delete,
                        args=(folder, name),
                    )
        if card:
            with st.expander("Card"):
                st.html(rows_html(card_rows(card)))
                if card.quality:
                    st.caption(
                        "Measured on held-out photos, by source; 95 % intervals in brackets. "
                        "Chance: what the calibration error of exactly right probabilities would "
                        "be, of as many photos."
                    )
                    st.table(quality_rows(card.quality))


def _show_upload() -> None:
    n_added = st.session_state.setdefault("models_added", 0)
    with st.form(f"upload-model-{n_added}", border=False):
        st.caption(
            "The zip that Download gives, or a .safetensors file together with its .json card. "
            "Files that can hold code are never opened."
        )
        st.file_uploader(
            "Model files",
            accept_multiple_files=True,
            max_upload_size=_MAX_UPLOAD_MB,
            key=f"model-files-{n_added}",
            label_visibility="collapsed",
        )
        st.text_input(
            "Name", max_chars=40, key=f"model-name-{n_added}", placeholder="As the file is called"
        )
        st.form_submit_button("Add the model", on_click=_upload, args=(n_added,))
    if problem := st.session_state.pop("model_problem", None):
        st.error(plain(problem), icon=":material/error:")


def _upload(n_added: int) -> None:
    files = st.session_state[f"model-files-{n_added}"]
    name = st.session_state[f"model-name-{n_added}"].strip()
    with errors_told(lambda message: st.session_state.update(model_problem=message)):
        encoded, card_text = unpack_upload([(file.name, file.getvalue()) for file in files])
        name = name or Path(files[0].name).stem
        folder = own_folder()
        check_no_run(folder, folder.model_path(name))
        folder.add_model(name, encoded, card_text)
        let_go(files)
        st.session_state.models_added += 1
        st.toast(f"‘{plain(name)}’ is here. Press Use to let it judge.")


def _delete(folder: SessionFolder, name: str) -> None:
    with errors_told(st.toast):
        folder.delete_model(name)
