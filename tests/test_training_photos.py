"""The first part of the training page, run by Streamlit's own tester."""

import io
import zipfile
from collections import Counter

import pytest
import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest

from cracklib.intake import PhotoSet
from cracklib.photo import encode_png
from cracklib.store import Store
from tests.test_download import answer, serving
from tests.test_intake import photo_file, picture
from ui.training import adding
from ui.training.photo_set import photo_set

# Only in a script of its own: beside a folder called pages the tester takes over the navigation.
PAGE = """
import streamlit as st
from ui.training.adding import own_folder
from ui.training.photos import show_photos

st.session_state.split = show_photos(own_folder(create=False))
"""


@pytest.fixture
def folders(monkeypatch, tmp_path):
    """The session folders that were made; the page has the last."""
    made = []
    store = Store(tmp_path / "store")

    def own(create=True):
        if create and not made:
            made.append(store.create())
        return made[-1] if made else None

    monkeypatch.setattr(adding, "own_folder", own)
    monkeypatch.setattr(st, "page_link", lambda *_, **__: None)  # there are no other pages
    return made


@pytest.fixture
def app(folders):
    return AppTest.from_string(PAGE, default_timeout=60).run()


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("CRACKLIB_ALLOWED_HOSTS", "localhost")
    with serving() as site:
        yield site


def go_to(app, way):
    app.button_group(key="photo-way").set_value(way).run()


def press(app, key):
    app.button(key=key).click().run()
    assert not app.exception


def add_practice(app, per_class=10):
    go_to(app, "Practice set")
    app.number_input(key="n-practice").set_value(per_class).run()
    press(app, "add-practice")


def give_zip(app, files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    app.file_uploader[0].set_value(("walls.zip", buffer.getvalue(), "application/zip")).run()
    assert not app.exception


def give_list(app, text):
    go_to(app, "List of links")
    app.file_uploader[0].set_value(("walls.csv", text.encode(), "text/csv")).run()
    assert not app.exception


def photos_in(folders):
    return PhotoSet(folders[-1].path / "photos").photos


def labels_in(folders):
    return Counter(photo.label for photo in photos_in(folders))


def figures(app):
    return {metric.label: metric.value for metric in app.metric}


def text_of(app):
    elements = [*app.markdown, *app.caption, *app.warning, *app.error, *app.success]
    return "\n".join(element.value for element in elements)


def test_nothing_is_made_before_photos_are_given(app, folders):
    for way in ("Two folders", "List of links", "Practice set", "From Inspect", "Zip"):
        go_to(app, way)
        assert not app.exception
    assert folders == []
    assert app.session_state.split is None


def test_a_practice_set_is_split_and_its_labels_can_be_corrected(app, folders):
    add_practice(app, 12)
    assert figures(app) == {
        "Cracked": "12",
        "Not cracked": "12",
        "To train on": "20",
        "Held out": "4",
    }
    assert len(app.get("image")) == 24
    split = app.session_state.split
    assert Counter(photo.label for photo in split.val) == {"crack": 2, "no_crack": 2}

    wrong, doubtful = [p for p in photos_in(folders) if p.label == "crack"][:2]
    app.button_group(key=f"label-{wrong.digest[:16]}-crack").set_value("no_crack").run()
    assert figures(app)["Cracked"] == "11"
    press(app, f"remove-{doubtful.digest[:16]}")
    assert figures(app)["Cracked"] == "10"
    assert labels_in(folders) == {"crack": 10, "no_crack": 13}
    assert doubtful not in app.session_state.split.train + app.session_state.split.val

    another = next(p for p in photos_in(folders) if p.label == "crack")
    photo_set(folders[0]).relabel(another.digest, "no_crack")  # as another tab does
    app.run()
    assert app.button_group(key=f"label-{another.digest[:16]}-no_crack").value == "no_crack"
    photo_set(folders[0]).relabel(another.digest, "crack")

    app.button_group(key="gallery-filter").set_value("crack").run()
    assert len(app.get("image")) == 10

    app.button_group(key="gallery-filter").set_value("held_out").run()
    held_out = app.session_state.split.val
    assert len(app.get("image")) == len(held_out)
    assert any(caption.value.endswith("crack\\.jpg  \nheld out") for caption in app.caption)


def test_a_second_practice_set_has_other_walls(app, folders):
    add_practice(app)
    add_practice(app)
    assert labels_in(folders) == {"crack": 20, "no_crack": 20}
    for photo in photos_in(folders)[:20]:
        photo_set(folders[0]).remove(photo.digest)
    add_practice(app)
    assert labels_in(folders) == {"crack": 20, "no_crack": 20}


def test_all_photos_can_be_removed(app, folders):
    add_practice(app)
    press(app, "remove-all")
    assert photos_in(folders) == []
    assert app.session_state.split is None
    assert not app.metric


def test_the_gallery_has_pages(app, folders):
    add_practice(app, 20)
    assert len(app.get("image")) == 24
    app.get("pagination")[0].set_value(2).run()
    assert len(app.get("image")) == 16


def test_the_folders_of_a_zip_are_confirmed_or_corrected(app, folders):
    files = {f"set/Positive/{i}.png": photo_file(i) for i in range(10)}
    files |= {f"set/heil/{i}.png": photo_file(i) for i in range(10, 20)}
    files |= {"set/other/x.png": photo_file(99), "set/heil/notes.txt": b"these are notes"}
    give_zip(app, files)
    assert folders == []
    assert {box.label.replace("\\", ""): box.value for box in app.selectbox} == {
        "Folder Positive": "crack",
        "Folder set/heil": None,
        "Folder set/other": None,
    }
    app.selectbox[1].set_value("no_crack").run()
    press(app, "add-zip")
    assert labels_in(folders) == {"crack": 10, "no_crack": 10}
    assert figures(app)["To train on"] == "16"
    assert "text, not a photo" in text_of(app)
    assert app.file_uploader  # empty, for the next
    press(app, "dismiss")
    assert "text, not a photo" not in text_of(app)


def test_a_zip_that_was_cancelled_leaves_nothing(app, folders):
    give_zip(app, {"crack/a.png": photo_file()})
    press(app, "drop-zip")
    assert folders == []
    assert not app.selectbox


@pytest.mark.parametrize("way", ["zip", "links"])
def test_cancel_also_ends_adding_that_has_begun(app, folders, site, way):
    site.answers = {"/0.png": answer(photo_file())}
    if way == "zip":
        give_zip(app, {"crack/a.png": photo_file()})
    else:
        give_list(app, f"content,label\n{site.url('/0.png')},crack")
    app.session_state["intake"].requests += [
        adding.Request(lambda photos, _: photos.add_uploads([("a", photo_file(1), "crack")])),
        adding.Request(lambda *_: pytest.fail("was not cancelled"), way),
    ]
    press(app, f"drop-{way}")
    assert not app.error
    assert labels_in(folders) == {"crack": 1}


def test_the_labels_chosen_for_a_zip_stay_when_another_way_is_looked_at(app):
    give_zip(app, {"heil/a.png": photo_file()})
    app.selectbox[0].set_value("no_crack").run()
    go_to(app, "Two folders")
    go_to(app, "Zip")
    assert app.selectbox[0].value == "no_crack"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"crack/a.bmp": bytes(2_000_000)}, "times as large"),
        ({"crack/../../a.png": photo_file()}, "leads out of the zip"),
        ({"crack/a.zip": b"PK"}, "an archive in an archive"),
    ],
)
def test_a_zip_that_is_refused_says_why_and_loses_nothing(app, folders, files, reason):
    add_practice(app)
    go_to(app, "Zip")
    give_zip(app, files)
    assert reason in app.error[0].value
    assert not app.selectbox
    assert figures(app)["Cracked"] == "10"
    give_zip(app, {"crack/a.png": photo_file()})
    assert not app.error


def test_a_zip_of_one_class_is_added_and_the_other_asked_for(app, folders):
    give_zip(app, {f"crack/{i}.png": photo_file(i) for i in range(12)})
    press(app, "add-zip")
    assert labels_in(folders) == {"crack": 12}
    assert "no uncracked photos" in app.warning[0].value
    assert app.session_state.split is None


def test_photos_in_two_folders_are_added_as_they_are_dropped(app, folders):
    go_to(app, "Two folders")
    for zone, numbers in ((0, range(10)), (1, range(9, 20))):
        files = [(f"{i}.png", photo_file(i), "image/png") for i in numbers]
        app.file_uploader[zone].set_value(files).run()
        assert not app.exception
    assert labels_in(folders) == {"crack": 10, "no_crack": 10}
    assert "labelled no crack" in text_of(app)  # number 9 came with both labels
    assert app.session_state.split


def test_names_of_files_are_shown_as_text(app, folders):
    go_to(app, "Two folders")
    app.file_uploader[0].set_value(("**[x](y)**<b>.png", b"no photo", "image/png")).run()
    assert r"\*\*\[x\]\(y\)\*\*\<b\>\.png" in text_of(app)


def test_what_was_uploaded_is_not_kept_in_memory(app, folders, monkeypatch):
    removed = []
    remove = MemoryUploadedFileManager.remove_file
    monkeypatch.setattr(
        MemoryUploadedFileManager,
        "remove_file",
        lambda self, *args: (removed.append(args), remove(self, *args)),
    )
    give_zip(app, {"crack/a.png": photo_file()})
    assert len(removed) == 1


def test_links_that_fail_are_listed_and_tried_again(app, folders, site):
    site.answers = {f"/{i}.png": answer(photo_file(i)) for i in range(20)}
    site.answers["/3.png"] = answer(status=404)
    site.answers["/4.png"] = answer(b"<html>gone</html>", Content_Type="text/html")
    lines = [f"{site.url(f'/{i}.png')},{'crack' if i < 10 else 'no crack'}" for i in range(20)]
    give_list(app, "\n".join(["content,label", *lines, "no comma here"]))
    assert "**20 links**: 10 cracked, 10 not cracked, 0 without a label" in text_of(app)
    assert "Line 22" in text_of(app)
    assert folders == []
    press(app, "add-links")
    assert labels_in(folders) == {"crack": 8, "no_crack": 10}
    assert "18 of 20 photos are here, 2 failed" in text_of(app)
    assert "no photo at this link" in text_of(app)
    assert "a page, not a photo" in text_of(app)

    site.answers["/3.png"] = answer(photo_file(3))
    site.requests.clear()
    press(app, "add-links")
    assert sorted(request.path for request in site.requests) == ["/3.png", "/4.png"]
    assert "19 of 20 photos are here, 1 failed" in text_of(app)
    assert "no photo at this link" not in text_of(app)

    reloaded = AppTest.from_string(PAGE, default_timeout=60).run()
    assert "19 of 20 photos are here" in text_of(reloaded)
    assert "add-links" in [button.key for button in reloaded.button]
    press(reloaded, "drop-links")
    assert labels_in(folders) == {"crack": 9, "no_crack": 10}
    reloaded = AppTest.from_string(PAGE, default_timeout=60).run()
    assert "of 20 photos" not in text_of(reloaded)


@pytest.mark.parametrize("label", [None, "crack"])
def test_links_without_a_label_are_asked_for(app, folders, site, label):
    site.answers = {f"/{i}.png": answer(photo_file(i)) for i in range(2)}
    entry = '{{"content": "{}", "annotation": {{"labels": {}}}, "extras": null}}'
    give_list(
        app,
        "\n".join(
            [
                entry.format(site.url("/0.png"), '["no Crack"]'),
                entry.format(site.url("/1.png"), "[]"),
            ]
        ),
    )
    app.selectbox(key="no-label").set_value(label).run()
    press(app, "add-links")
    assert labels_in(folders) == ({"no_crack": 1, "crack": 1} if label else {"no_crack": 1})


def test_the_label_of_links_without_one_stays_when_another_way_is_looked_at_until_another_list(app):
    text = "content,label\nhttp://a.org/b.png,"
    give_list(app, text)
    app.selectbox(key="no-label").set_value("crack").run()
    go_to(app, "Zip")
    go_to(app, "List of links")
    assert app.selectbox(key="no-label").value == "crack"
    press(app, "drop-links")
    give_list(app, text)
    assert app.selectbox(key="no-label").value is None


def test_a_list_with_other_labels_than_photos_that_are_there_is_told(app, folders, site):
    site.answers = {f"/{i}.png": answer(photo_file(i)) for i in range(2)}
    first, second = (site.url(f"/{i}.png") for i in range(2))
    give_list(app, f"content,label\n{first},crack\n{second},crack")
    press(app, "add-links")
    press(app, "drop-links")
    give_list(app, f"content,label\n{first},crack\n{second},no crack")
    assert next(box.label for box in app.expander) == "1 came with two labels; the first is kept"
    assert "It is kept as crack" in text_of(app)
    press(app, "dismiss")
    press(app, "drop-links")

    give_list(app, f"content,label\n{first},crack\n{second},")
    assert "kept as crack" not in text_of(app)
    app.selectbox(key="no-label").set_value("no_crack").run()
    assert "'1.png', but labelled no crack. It is kept as crack" in text_of(app).replace("\\", "")
    assert labels_in(folders) == {"crack": 2}


def test_the_name_of_what_is_refused_is_shown_as_text(app):
    go_to(app, "Zip")
    give_zip(app, {"crack/../**a**.png": photo_file()})
    assert "leads out of the zip" in app.error[0].value
    assert "**a**" not in app.error[0].value


def test_a_list_can_be_pasted_and_one_without_a_column_is_refused(app):
    go_to(app, "List of links")
    app.text_area(key="pasted_list").set_value("content,class\nhttp://a.org/b.png,crack")
    app.button[0].click().run()
    assert "no column label" in app.error[0].value
    app.text_area(key="pasted_list").set_value("content,label\nhttp://a.org/b.png,crack")
    app.button[0].click().run()
    assert not app.error
    assert "**1 link**" in text_of(app)


def test_adding_that_was_cut_short_goes_on_and_tells_of_no_duplicates(app, folders, monkeypatch):
    add_uploads = PhotoSet.add_uploads

    def cut_short(self, uploads, progress):
        monkeypatch.setattr(PhotoSet, "add_uploads", add_uploads)
        add_uploads(self, uploads[:4])
        st.stop()  # as if the next run had replaced this one

    monkeypatch.setattr(PhotoSet, "add_uploads", cut_short)
    go_to(app, "Two folders")
    files = [(f"{i}.png", photo_file(i % 9), "image/png") for i in range(10)]
    app.file_uploader[0].set_value(files).run()
    assert labels_in(folders) == {"crack": 4}
    app.run()
    assert labels_in(folders) == {"crack": 9}
    assert [box.label for box in app.expander] == [
        "1 came twice and is kept once",
        "The photos and their labels (9)",
    ]


def test_look_alikes_are_shown_together(app, folders):
    go_to(app, "Two folders")
    pixels = picture(1, side=128)
    files = [("a.png", encode_png(pixels), "image/png"), ("c.png", photo_file(5), "image/png")]
    app.file_uploader[0].set_value(files).run()
    app.file_uploader[1].set_value(("b.png", encode_png(pixels[::2, ::2]), "image/png")).run()
    assert "**2 photos look alike**" in text_of(app)
    assert "In 1 the labels differ" in text_of(app)
    app.button_group(key="gallery-filter").set_value("alike").run()
    assert len(app.get("image")) == 2


def test_feedback_is_counted(app, folders):
    add_practice(app)
    photo_set(folders[0]).add_uploads([("a.png", photo_file(), "crack")], origin="feedback")
    go_to(app, "From Inspect")
    assert "Kept so far: 1 cracked, 0 not cracked" in text_of(app)
    assert "Inspect 1" in text_of(app)
