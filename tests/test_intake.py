import io
import stat
import struct
import threading
import tracemalloc
import zipfile
from collections import Counter

import cv2
import numpy as np
import pytest
import scipy.fft
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cracklib import config
from cracklib.dataset import find_split
from cracklib.errors import DatasetError
from cracklib.intake import (
    LabelledPhoto,
    Link,
    PhotoSet,
    Split,
    archive,
    find_near_duplicates,
    read_links,
    recognise_label,
    split_photos,
    zip_folders,
)
from cracklib.intake.split import perceptual_hash
from cracklib.photo import decode_photo, encode_jpeg, encode_png, fit_within
from cracklib.synthesis import render_wall
from tests.test_download import answer, serving


def picture(seed=0, side=64):
    """Soft coloured blotches, others for each seed."""
    blotches = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cv2.resize(blotches, (side, side), interpolation=cv2.INTER_CUBIC)


def photo_file(seed=0):
    return encode_png(picture(seed))


@pytest.fixture
def photos(tmp_path):
    return PhotoSet(tmp_path / "set")


def stored_files(photos):
    return sorted(path.name for path in (photos.folder / "photos").iterdir())


def statuses(outcomes):
    return [outcome.status for outcome in outcomes]


# Words for the labels


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("crack", ["crack", "Crack", "Cracked", "Positive", "1", "yes", "defect", "With cracks"]),
        ("no_crack", ["no_crack", "no Crack", "No-Crack", "non-cracked", "uncracked", "Negative"]),
        ("no_crack", ["0", "-1", "no", "ok", "OK", "WITHOUT_CRACKS", " not cracked "]),
        (None, ["", "spalling", "cracker", "crack?", "!crack", "no crack 2", "2", "10", "train"]),
    ],
)
def test_words_for_the_labels(label, words):
    assert {recognise_label(word) for word in words} == {label}


@given(
    st.sampled_from([("no", "crack"), ("crack",), ("un", "cracked"), ("with", "out", "cracks")]),
    st.sampled_from(["", " ", "-", "_", " - "]),
    st.sampled_from([str.upper, str.lower, str.title, str.swapcase]),
)
def test_case_spaces_and_hyphens_do_not_matter(parts, joint, change_case):
    expected = "crack" if parts == ("crack",) else "no_crack"
    assert recognise_label(f" {change_case(joint.join(parts))} ") == expected


# Zips


def zip_of(files, method=zipfile.ZIP_DEFLATED):
    """A zip of {path or ZipInfo: bytes}."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return buffer


def test_a_zip_of_two_folders_is_taken_in(photos):
    file = zip_of(
        {
            "walls/Positive/a.png": photo_file(1),
            "walls/Positive/house 2/b.jpg": photo_file(2),
            "walls/Negative/c.png": photo_file(3),
            "walls/Negative/.hidden.png": photo_file(4),
            "walls/Negative/Thumbs.db": b"thumbs",
            "__MACOSX/walls/Positive/._a.png": b"\0\5\26\7",
        }
    )
    folders = zip_folders(file)
    assert folders == {"Positive": "crack", "Negative": "no_crack"}
    outcomes = photos.add_zip(file, folders)
    assert statuses(outcomes) == ["added"] * 3
    assert [(p.name, p.label, p.origin, p.suffix) for p in photos.photos] == [
        ("a.png", "crack", "zip", ".png"),
        ("b.jpg", "crack", "zip", ".png"),
        ("c.png", "no_crack", "zip", ".png"),
    ]
    assert [photos.path(p).read_bytes() for p in photos.photos] == [
        photo_file(i) for i in (1, 2, 3)
    ]


def test_folders_that_are_not_recognised_are_asked_for(photos):
    file = zip_of(
        {
            "top.png": photo_file(1),
            "set/risse/a.png": photo_file(2),
            "set/test/crack/b.png": photo_file(3),
            "set/train/crack/c.png": photo_file(4),
        }
    )
    assert zip_folders(file) == {".": None, "set/risse": None, "crack": "crack"}
    outcomes = photos.add_zip(file, {".": None, "set/risse": "crack", "crack": "no_crack"})
    assert [(o.name, o.photo.label) for o in outcomes] == [
        ("set/risse/a.png", "crack"),
        ("set/test/crack/b.png", "no_crack"),
        ("set/train/crack/c.png", "no_crack"),
    ]


@pytest.mark.parametrize(
    ("paths", "folders"),
    [
        (
            ["crack/1", "crack/2", "no_crack/1", "no_crack/0"],
            {"crack": "crack", "no_crack": "no_crack"},
        ),
        (["0", "1/house 2"], {"0": "no_crack", "1": "crack"}),
        (
            ["cracks/Positive", "cracks/Negative/far"],
            {"Positive": "crack", "cracks/Negative": "no_crack"},
        ),
        (
            ["crack/good", "no_crack/good"],
            {"crack/good": "no_crack", "good": "no_crack"},
        ),
    ],
)
def test_folders_in_folders_of_a_label_are_not_put_together_with_the_others(paths, folders):
    assert zip_folders(zip_of({f"{path}/a.png": b"" for path in paths})) == folders


def test_a_zip_of_one_class_is_kept_but_not_split(photos):
    file = zip_of({f"crack/{i}.png": photo_file(i) for i in range(12)})
    assert zip_folders(file) == {"crack": "crack"}
    photos.add_zip(file, {"crack": "crack"})
    with pytest.raises(DatasetError, match=r"no uncracked photos.*at least 10 of each"):
        split_photos(photos.photos)


def test_files_of_a_zip_that_are_no_photos_are_listed(photos):
    file = zip_of(
        {
            "crack/a.png": photo_file(),
            "crack/readme.txt": b"our walls",
            "crack/b.png": photo_file(1)[:-500],
            "crack/c.jpg": zip_of({"d.png": photo_file()}).getvalue(),
        }
    )
    outcomes = photos.add_zip(file, {"crack": "crack"})
    assert statuses(outcomes) == ["added", "failed", "failed", "failed"]
    messages = [outcome.message for outcome in outcomes]
    assert "'readme.txt' is" in messages[1]
    assert "'b.png' is broken or cut short" in messages[2]
    assert "'c.jpg' is a zip archive" in messages[3]
    assert len(stored_files(photos)) == 1


def test_a_photo_larger_than_what_is_read_at_once_is_taken_in(photos):
    noise = np.random.default_rng(0).integers(0, 256, (1600, 1800, 3), dtype=np.uint8)
    data = cv2.imencode(".bmp", noise)[1].tobytes()
    assert len(data) > archive._MAX_TABLE_BYTES
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        photos.add_zip(zip_of({f"crack/{method}.bmp": data}, method), {"crack": "crack"})
    [photo] = photos.photos
    assert photos.path(photo).read_bytes() == data


def with_kind(name, kind):
    info = zipfile.ZipInfo(name)
    info.external_attr = kind << 16
    return info


def with_bytes(file, signature, offset, patch):
    """The zip with ``patch`` written into the first header that begins with ``signature``."""
    data = bytearray(file.getvalue())
    at = data.index(signature) + offset
    data[at : at + len(patch)] = patch
    return io.BytesIO(data)


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
PLAIN = {"crack/a.png": photo_file()}

REFUSED = {
    "climbs out": (zip_of({"crack/../../a.png": b""}), "leads out.*Zip the folders again"),
    "absolute": (zip_of({"/etc/a.png": b""}), "leads out"),
    "drive": (zip_of({"C:/crack/a.png": b""}), "leads out"),
    "backslashes": (zip_of({r"crack\a.png": b""}), "backslashes"),
    "null": (with_bytes(zip_of(PLAIN), CENTRAL, 46, b"crack\0"), "leads out"),
    "symlink": (
        zip_of({with_kind("crack/a.png", stat.S_IFLNK | 0o777): b"/etc/passwd"}),
        "'crack/a.png' is a link",
    ),
    "device": (zip_of({with_kind("crack/a.png", stat.S_IFCHR): b""}), "is a link"),
    "nested": (zip_of({"crack/more.ZIP": zip_of(PLAIN).getvalue()}), "archive in an archive"),
    "encrypted": (
        with_bytes(with_bytes(zip_of(PLAIN), LOCAL, 6, b"\1"), CENTRAL, 8, b"\1"),
        "encrypted.*without a password",
    ),
    "bzip2": (zip_of(PLAIN, zipfile.ZIP_BZIP2), "uncommon method.*deflate"),
    "lzma": (zip_of(PLAIN, zipfile.ZIP_LZMA), "uncommon method"),
    "bomb": (zip_of({"crack/a.png": bytes(20_000_000)}), "times as large.*the most is 100 times"),
    "over 4 GB": (
        with_bytes(zip_of(PLAIN), CENTRAL, 24, struct.pack("<I", 2**32 - 2)),
        r"would have 4\.0 GB; the most is 1\.0 GB",
    ),
    "empty": (zip_of({}), "has no files"),
    "only folders": (zip_of({"crack/": b"", "no_crack/": b""}), "has no files"),
    "no zip": (io.BytesIO(photo_file()), "no zip file"),
    "nothing": (io.BytesIO(), "no zip file"),
    "cut short": (io.BytesIO(zip_of(PLAIN).getvalue()[:-30]), "no zip file"),
}


@pytest.mark.parametrize(("file", "reason"), REFUSED.values(), ids=REFUSED)
def test_zips_that_are_refused_before_unpacking(photos, monkeypatch, file, reason):
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("something was unpacked"))
    with pytest.raises(DatasetError, match=reason):
        zip_folders(file)
    with pytest.raises(DatasetError, match=reason):
        photos.add_zip(file, {"crack": "crack"})
    assert not photos.photos
    assert not stored_files(photos)


def test_a_bomb_among_good_photos_is_refused():
    files = {f"crack/{i}.png": photo_file(i) for i in range(20)}
    assert zip_folders(zip_of(files)) == {"crack": "crack"}
    with pytest.raises(DatasetError, match="times as large"):
        zip_folders(zip_of(files | {"no_crack/z.png": bytes(50_000_000)}))


def test_a_zip_with_too_many_entries_is_refused(monkeypatch):
    monkeypatch.setattr(config, "MAX_ZIP_ENTRIES", 5)
    files = {f"crack/{i}.png": b"" for i in range(6)}
    with pytest.raises(DatasetError, match="more than 5 entries"):
        zip_folders(zip_of(files))
    files.popitem()
    assert zip_folders(zip_of(files)) == {"crack": "crack"}


def test_a_table_of_contents_that_is_far_too_long_is_not_read(monkeypatch):
    monkeypatch.setattr(archive, "_MAX_TABLE_BYTES", 2000)
    file = zip_of({f"crack/{i}.png": b"" for i in range(100)})
    few = struct.pack("<HH", 1, 1)
    monkeypatch.setattr(zipfile, "ZipInfo", lambda *_: pytest.fail("the table was read"))
    with pytest.raises(DatasetError, match="entries"):
        zip_folders(with_bytes(file, END, 8, few))


@pytest.mark.parametrize("claimed_bytes", [0, 100, 4_000_000])
def test_headers_that_lie_cost_that_photo_and_no_memory(photos, claimed_bytes):
    bomb = zip_of({"crack/a.png": bytes(50_000_000), "crack/b.png": photo_file()})
    for header, offset in ((LOCAL, 22), (CENTRAL, 24)):
        bomb = with_bytes(bomb, header, offset, struct.pack("<I", claimed_bytes))
    tracemalloc.start()
    outcomes = photos.add_zip(bomb, {"crack": "crack"})
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert statuses(outcomes) == ["failed", "added"]
    assert "'a.png' is damaged" in outcomes[0].message
    assert peak_bytes < 16_000_000


def test_a_photo_in_a_zip_is_unpacked_to_the_limit_only(photos, monkeypatch):
    monkeypatch.setattr(config, "MAX_FILE_BYTES", 2**20)
    file = zip_of({"crack/a.png": bytes(50_000_000)}, zipfile.ZIP_STORED)
    tracemalloc.start()
    outcomes = photos.add_zip(file, {"crack": "crack"})
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "'a.png' has more than 1 MB" in outcomes[0].message
    assert peak_bytes < 10_000_000
    assert not stored_files(photos)


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 2**16),
)
def test_damaged_zips_are_refused_in_words(tmp_path_factory, changes, cut):
    data = bytearray(zip_of({"crack/a.png": photo_file(), "no crack/b.png": b"b"}).getvalue())
    tail = len(data) - 400  # the photo itself would swallow most changes
    for at, value in changes:
        data[tail + at % 400] = value
    if cut % 5 == 0:
        del data[cut % len(data) :]
    file = io.BytesIO(data)
    try:
        folders = zip_folders(file)
    except DatasetError:
        return
    photos = PhotoSet(tmp_path_factory.mktemp("set"))
    photos.add_zip(file, dict.fromkeys(folders, "crack"))


# Uploads, and the set itself


def test_a_set_opened_again_is_as_it_was_left(photos):
    photos.add_uploads([(f"{i}.png", photo_file(i), "crack") for i in range(3)])
    first, second, third = photos.photos
    photos.relabel(second.digest, "no_crack")
    photos.remove(first.digest)
    again = PhotoSet(photos.folder)
    assert again.photos == photos.photos
    assert [(p.name, p.label) for p in again.photos] == [("1.png", "no_crack"), ("2.png", "crack")]
    assert stored_files(photos) == sorted(f"{p.digest}.png" for p in (second, third))


def test_a_manifest_cut_short_loses_its_last_line_only(photos):
    photos.add_uploads([(f"{i}.png", photo_file(i), "crack") for i in range(2)])
    manifest = photos.folder / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    again = PhotoSet(photos.folder)
    assert [p.name for p in again.photos] == ["0.png"]
    again.add_uploads([("1.png", photo_file(1), "crack")])
    assert [p.name for p in PhotoSet(photos.folder).photos] == ["0.png", "1.png"]


def test_names_given_are_never_paths(photos):
    names = ["../../evil.png", "/etc/passwd", "a\0b.png", "C:\\x\\wall.jpg", "<b>‮.png", "", "..."]
    outcomes = photos.add_uploads([(n, photo_file(i), "crack") for i, n in enumerate(names)])
    assert [outcome.photo.name for outcome in outcomes] == [
        "evil.png",
        "passwd",
        "a_b.png",
        "wall.jpg",
        "b__.png",
        "photo",
        "photo",
    ]
    assert stored_files(photos) == sorted(f"{o.photo.digest}.png" for o in outcomes)


def test_the_same_file_is_kept_once(photos):
    wall = photo_file()
    outcomes = photos.add_uploads(
        [("a.png", wall, "crack"), ("b.png", wall, "crack"), ("c.png", wall, "no_crack")]
    )
    assert statuses(outcomes) == ["added", "duplicate", "conflict"]
    assert "'b.png' is the same file as 'a.png'" in outcomes[1].message
    assert (
        "is the same file as 'a.png', but labelled no crack. It is kept as crack"
        in outcomes[2].message
    )
    assert [(p.name, p.label) for p in photos.photos] == [("a.png", "crack")]
    assert outcomes[2].photo == photos.photos[0]


def test_a_set_has_room_for_so_many_photos(photos, monkeypatch):
    monkeypatch.setattr(config, "MAX_SET_PHOTOS", 2)
    uploads = [(f"{i}.png", photo_file(i), "crack") for i in range(3)]
    with pytest.raises(DatasetError, match="The set has 2 photos, the most it may hold"):
        photos.add_uploads(uploads)
    assert [photo.name for photo in photos.photos] == ["0.png", "1.png"]
    # As where the page began anew before all were added, and the same are given once more.
    assert statuses(photos.add_uploads(uploads[:2])) == ["duplicate", "duplicate"]


def test_a_set_has_room_for_so_many_bytes(photos, monkeypatch):
    uploads = [(f"{i}.png", photo_file(i), "crack") for i in range(3)]
    monkeypatch.setattr(config, "MAX_SET_BYTES", sum(len(data) for _, data, _ in uploads) - 1)
    with pytest.raises(DatasetError, match=r"With '2\.png'.*kept"):
        photos.add_uploads(uploads)
    assert [p.name for p in photos.photos] == ["0.png", "1.png"]


def test_a_folder_that_can_not_be_written_is_told(photos, tmp_path):
    (photos.folder / "photos").rmdir()
    (photos.folder / "photos").write_bytes(b"")
    with pytest.raises(DatasetError, match="can't be kept on this server"):
        photos.add_uploads([("a.png", photo_file(), "crack")])
    with pytest.raises(DatasetError, match="can't be kept on this server"):
        PhotoSet(photos.folder / "photos")


def test_progress_is_told_in_the_thread_that_asked(photos):
    told = []
    photos.add_uploads(
        [(f"{i}.png", photo_file(i), "crack") for i in range(3)],
        lambda done, of: told.append((done, of, threading.current_thread())),
    )
    assert told == [(n, 3, threading.current_thread()) for n in (1, 2, 3)]


# Lists of links

A, B = "https://example.com/a.jpg", "https://example.com/b.jpg?x=1,2"
DATATURKS = '{"content": "%s", "annotation": %s, "extras": null}'


@pytest.mark.parametrize(
    "text",
    [
        f'content,label\n{A},crack\n"{B}",no_crack\n',
        f'\ufeffcontent,label\r\n{A},Crack\r\n"{B}",no Crack\r\n',
        f"content;label\n{A};1\n\n{B};0\n",
        f'"Label";"note";"Content"\n"yes";"a;b";"{A}"\n"no";"";"{B}"',
        f" content \tlabel\n{A}\tpositive\n{B}\tnegative",
        DATATURKS % (A, '{"labels": ["Crack"]}')
        + "\n"
        + DATATURKS % (B, '{"labels":["no Crack"]}'),
    ],
)
def test_lists_of_links(text):
    found = read_links(text.encode())
    assert [(link.url, link.label) for link in found.links] == [(A, "crack"), (B, "no_crack")]
    assert not found.bad_lines


@pytest.mark.parametrize(
    "text",
    [
        DATATURKS % (A, '{"labels": []}'),
        DATATURKS % (A, '{"labels": null}'),
        DATATURKS % (A, "null"),
        f"content,label\n{A},\n",
        f"content,label\n{A},  \n",
    ],
)
def test_links_without_a_label_are_asked_for(text):
    [link] = read_links(text.encode()).links
    assert (link.url, link.label) == (A, None)


def test_a_list_as_excel_writes_unicode_text():
    found = read_links(f"content\tlabel\r\n{A}\tcrack\r\n".encode("utf-16"))
    assert found.links == [Link(A, "crack", 2)]


def test_a_link_with_a_comma_needs_quotes():
    found = read_links(f'label,content\ncrack,{B}\ncrack,"{B}"\ncrack,{A},\n'.encode())
    assert [(link.url, link.line) for link in found.links] == [(B, 3), (A, 4)]
    assert found.bad_lines[2].startswith("Expected 2 columns, found 3. Put a link that has a ','")


def test_bad_lines_are_listed_and_the_others_kept():
    lines = [
        "content,label",
        f"{A},crack",
        "just one",
        ",crack",
        f'"{B}",spalling',
        f'"{A},crack',
        "",
        f"{A},crack",
        f"{A},no_crack",
        f'"{B}",no_crack',
    ]
    found = read_links("\n".join(lines).encode())
    assert found.links == [Link(A, "crack", 2), Link(B, "no_crack", 10)]
    assert found.bad_lines == {
        3: "Expected 2 columns, found 1.",
        4: "It has no link.",
        5: "'spalling' is no known label. Write crack or no_crack.",
        6: "Expected 2 columns, found 1.",
        8: "The same link as in line 2.",
        9: "The same link as in line 2, with another label.",
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[1]", "Expected"),
        ('{"content": 5, "annotation": null}', "Expected"),
        ('{"annotation": {"labels": ["Crack"]}}', "Expected"),
        (DATATURKS % (A, '{"labels": "Crack"}'), "Expected"),
        (DATATURKS % (A, '{"labels": [7]}'), "Expected"),
        (DATATURKS % (A, '["Crack"]'), "Expected"),
        (DATATURKS % (A, '{"labels": ["Crack", "no Crack"]}'), "more than one label"),
        (DATATURKS % ("\\ud800", '{"labels": ["Crack"]}'), "no link"),
    ],
)
def test_bad_lines_of_json(line, reason):
    good = DATATURKS % (B, '{"labels": ["Crack"]}')
    found = read_links(f"{good}\n{line}\n".encode())
    assert [link.url for link in found.links] == [B]
    assert reason in found.bad_lines[2]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "list is empty"),
        ("\ufeff \n\n", "list is empty"),
        (f"url,label\n{A},crack", "no column content: expected .*, found url, label"),
        (f"content,class\n{A},crack", "no column label: .*found content, class"),
        (f"{A}\n{B}", "no column content and no column label"),
    ],
)
def test_lists_that_can_not_be_read(text, reason):
    with pytest.raises(DatasetError, match=reason):
        read_links(text.encode())


def test_a_list_has_so_many_links(monkeypatch):
    monkeypatch.setattr(config, "MAX_SET_PHOTOS", 1)
    with pytest.raises(DatasetError, match="has 2 links; the most is 1"):
        read_links(f'content,label\n{A},1\n"{B}",1'.encode())


@given(
    st.sampled_from([b"content,label\n", b"{", b'{"content":"http://a.test/","annotation":', b""]),
    st.binary(max_size=80)
    | st.text('{}[]":,content labelsannotation\n', max_size=80).map(str.encode),
)
def test_any_list_is_read_or_refused_in_words(start, rest):
    try:
        found = read_links(start + rest)
    except DatasetError:
        return
    assert all(link.url.isprintable() for link in found.links)


# Downloads


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("CRACKLIB_ALLOWED_HOSTS", "localhost")
    with serving() as site:
        yield site


def links_to(site, count, label="crack"):
    return [Link(site.url(f"/{i}.png"), label, i + 2) for i in range(count)]


def test_links_are_fetched_once_and_failures_are_tried_again(photos, site):
    site.answers = {f"/{i}.png": answer(photo_file(i)) for i in range(4)}
    site.answers["/1.png"] = answer(status=404)
    site.answers["/2.png"] = answer(b"\x89PNG\r\n\x1a\n cut short")
    told = []
    links = [*links_to(site, 4), Link(site.url("/unlabelled.png"), None, 9)]
    outcomes = photos.add_links(links, lambda *progress: told.append(progress))
    assert statuses(outcomes) == ["added", "failed", "failed", "added"]
    assert [outcome.name for outcome in outcomes] == [link.url for link in links[:4]]
    assert "no photo at this link" in outcomes[1].message
    assert "broken or cut short" in outcomes[2].message
    assert told == [(n, 4) for n in (1, 2, 3, 4)]
    assert {(p.name, p.origin, p.label) for p in photos.photos} == {
        ("0.png", "link", "crack"),
        ("3.png", "link", "crack"),
    }

    site.requests.clear()
    site.answers["/1.png"] = answer(photo_file(1))
    again = PhotoSet(photos.folder)
    assert statuses(again.add_links(links)) == ["added", "failed"]
    assert sorted(request.path for request in site.requests) == ["/1.png", "/2.png"]


def test_links_to_a_photo_that_was_removed_are_fetched_again(photos, site):
    site.answers["/0.png"] = answer(photo_file())
    photos.add_links(links_to(site, 1))
    photos.remove(photos.photos[0].digest)
    assert statuses(photos.add_links(links_to(site, 1))) == ["added"]


def test_two_links_to_the_same_photo_are_both_known(photos, site):
    site.answers = {"/0.png": answer(photo_file()), "/1.png": answer(photo_file())}
    links = [*links_to(site, 1, "crack"), Link(site.url("/1.png"), "no_crack", 3)]
    assert sorted(statuses(photos.add_links(links))) == ["added", "conflict"]
    assert photos.add_links(links) == []


def test_four_photos_are_downloaded_at_a_time(photos, site):
    together = threading.Barrier(config.DOWNLOAD_THREADS)

    def meet(request):
        together.wait(5)
        answer(photo_file(int(request.path[1])))(request)

    site.answers = {f"/{i}.png": meet for i in range(4)}
    assert statuses(photos.add_links(links_to(site, 4))) == ["added"] * 4


def test_downloads_can_be_cancelled_and_resumed(photos, site, monkeypatch):
    monkeypatch.setattr(config, "DOWNLOAD_TIMEOUT_S", 0.3)
    links = links_to(site, 20)
    site.answers = {f"/{i}.png": lambda _: site.stopping.wait(10) for i in range(20)}
    site.answers["/0.png"] = answer(photo_file())

    class ClosedError(Exception):
        """The browser's tab was closed."""

    def stop(*_):
        raise ClosedError

    with pytest.raises(ClosedError):
        photos.add_links(links, stop)
    assert len(photos.photos) == 1
    assert len(site.requests) < 12  # at most those that had begun
    site.answers = {f"/{i}.png": answer(photo_file(i)) for i in range(20)}
    site.requests.clear()
    monkeypatch.undo()
    monkeypatch.setenv("CRACKLIB_ALLOWED_HOSTS", "localhost")
    again = PhotoSet(photos.folder)
    assert again.open_links == links
    assert statuses(again.add_links(again.open_links)) == ["added"] * 19
    assert again.open_links == []
    assert "/0.png" not in {request.path for request in site.requests}


# Near-duplicates


def test_the_perceptual_hash_agrees_with_its_definition():
    pixels = picture(3, side=32)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(float)
    lowest = scipy.fft.dctn(grey, norm="ortho")[:8, :8].ravel()
    bits = "".join("01"[int(value > np.median(lowest))] for value in lowest)
    assert perceptual_hash(pixels) == int(bits, 2)


def test_a_photo_saved_again_is_a_near_duplicate_and_another_wall_is_not(photos):
    walls = [render_wall(np.random.default_rng(seed), (160, 200), "stone") for seed in range(6)]
    files = [encode_png(wall) for wall in walls]
    files += [encode_jpeg(walls[2], 60), encode_png(fit_within(walls[2], 120))]
    photos.add_uploads([(f"{i}.png", data, "crack") for i, data in enumerate(files)])
    groups = find_near_duplicates(photos.photos)
    assert [[p.name for p in group] for group in groups] == [["2.png", "6.png", "7.png"]]


def labelled(number, label="crack", phash=None, scene=""):
    """A photo on paper; unless given, the hash is far from all others."""
    if phash is None:
        phash = int(np.random.default_rng(number).integers(2**64, dtype=np.uint64))
    return LabelledPhoto(f"{number:04}", ".png", f"{number}.png", label, "upload", phash, 1, scene)


def test_near_duplicates_are_joined_in_chains():
    six, twelve = 0b111111, 0b111111_111111
    hashes = [0, six, 2**64 - 1, twelve, 0, 0b1111111 << 40, 1 << 63]
    photos = [labelled(i, phash=phash) for i, phash in enumerate(hashes)]
    groups = [[p.digest for p in group] for group in find_near_duplicates(photos)]
    assert groups == [["0000", "0001", "0003", "0004", "0006"]]
    assert find_near_duplicates([]) == []


# The split


def labels_of(photos):
    return Counter(photo.label for photo in photos)


def test_a_fifth_of_each_class_is_set_aside():
    photos = [labelled(i, "crack" if i < 20 else "no_crack") for i in range(50)]
    split = split_photos(photos, seed=1)
    assert labels_of(split.val) == {"crack": 4, "no_crack": 6}
    assert labels_of(split.train) == {"crack": 16, "no_crack": 24}
    assert split_photos(photos[::-1], seed=1) == split
    assert split_photos(photos, seed=2) != split


@st.composite
def sets_of_photos(draw):
    """Photos in groups that show the same, by their hash or their scene, of any labels."""
    groups = draw(
        st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=8, max_size=40)
    )
    photos = []
    for number, labels in enumerate(groups):
        by_scene = draw(st.booleans())
        for cracked in labels:
            phash = None if by_scene else labelled(10_000 + number).phash
            scene = f"scene {number}" if by_scene else ""
            label = "crack" if cracked else "no_crack"
            photos.append((number, labelled(len(photos), label, phash, scene)))
    return photos


@settings(deadline=None)
@given(sets_of_photos(), st.integers(0, 3))
def test_splits_keep_groups_together_and_both_classes_apart(photos, seed):
    group_of = {photo.digest: group for group, photo in photos}
    counts = labels_of(photo for _, photo in photos)
    try:
        split = split_photos([photo for _, photo in photos], seed)
    except DatasetError:
        largest = Counter(group_of.values()).most_common(1)[0][1]
        assert min(counts["crack"], counts["no_crack"]) < 4 * largest + 10
        return
    assert sorted(p.digest for p in split.train + split.val) == sorted(group_of)
    assert not {group_of[p.digest] for p in split.train} & {group_of[p.digest] for p in split.val}
    for label, count in counts.items():
        assert 2 <= labels_of(split.val)[label] <= count / 2
    assert min(counts["crack"], counts["no_crack"]) >= 10


def test_a_class_whose_groups_are_all_large_gives_its_smallest():
    photos = [labelled(i, "no_crack") for i in range(10)]
    photos += [labelled(i, scene="a" if i < 14 else "b") for i in range(10, 20)]
    split = split_photos(photos)
    assert {p.scene for p in split.val if p.label == "crack"} == {"a"}
    assert labels_of(split.val) == {"crack": 4, "no_crack": 2}


@pytest.mark.parametrize(
    ("n_crack", "n_no_crack", "reason"),
    [
        (9, 50, "9 cracked photos and 50 uncracked ones: at least 10 of each"),
        (50, 9, "50 cracked photos and 9 uncracked ones"),
        (0, 50, "no cracked photos.*Add photos"),
        (50, 0, "no uncracked photos"),
        (0, 0, "at least 10 of each"),
    ],
)
def test_too_few_photos_are_not_split(n_crack, n_no_crack, reason):
    photos = [
        labelled(i, "crack" if i < n_crack else "no_crack") for i in range(n_crack + n_no_crack)
    ]
    with pytest.raises(DatasetError, match=reason):
        split_photos(photos)


def test_photos_that_all_look_the_same_are_not_split():
    photos = [labelled(i, "no_crack") for i in range(10)] + [
        labelled(i, phash=5 if i > 11 else None) for i in range(11, 30)
    ]
    with pytest.raises(DatasetError, match="Most of the 19 cracked photos look the same"):
        split_photos(photos)


# Practice, and the folder that training reads


@pytest.fixture(scope="module")
def practice(tmp_path_factory):
    photos = PhotoSet(tmp_path_factory.mktemp("practice"))
    photos.add_practice(10, seed=3)
    return photos


def test_a_practice_set_has_each_wall_without_and_with_a_crack(practice, tmp_path):
    assert labels_of(practice.photos) == {"crack": 10, "no_crack": 10}
    walls = {
        p.scene: decode_photo(practice.path(p).read_bytes()).pixels
        for p in practice.photos
        if p.label == "no_crack"
    }
    for photo in practice.photos:
        assert photo.origin == "practice"
        if photo.label == "crack":
            cracked = decode_photo(practice.path(photo).read_bytes()).pixels
            assert cracked.shape == (224, 224, 3)
            changed = np.abs(cracked.astype(int) - walls[photo.scene]).max(axis=2) > 40
            assert 0.0005 < changed.mean() < 0.5
    again = PhotoSet(tmp_path)
    again.add_practice(2, seed=3)
    assert again.photos == practice.photos[:4]
    again.add_practice(2, seed=4)
    assert len(again.photos) == 8


def test_a_split_is_written_as_training_reads_it(practice, tmp_path):
    photos = PhotoSet(tmp_path)
    photos.add_practice(10, seed=3)
    photos.add_uploads([(f"{i}.png", photo_file(i), "crack") for i in range(5)])
    split = split_photos(photos.photos)
    assert not {p.scene for p in split.val if p.scene} & {p.scene for p in split.train}
    folder = photos.write_split(split)
    for files, expected in zip(find_split(folder), (split.train, split.val), strict=True):
        assert {(f.path.read_bytes(), config.LABELS[f.label], f.source) for f in files} == {
            (photos.path(p).read_bytes(), p.label, "practice" if p.scene else "photos")
            for p in expected
        }
        assert all(f.path.stat().st_nlink == 2 for f in files)


def test_an_earlier_split_stays_when_another_is_written(practice):
    split = split_photos(practice.photos, seed=0)
    folder = practice.write_split(split)
    assert practice.write_split(split_photos(practice.photos[::-1], seed=0)) == folder
    assert practice.write_split(split_photos(practice.photos, seed=1)) != folder
    assert len(find_split(folder)[0]) == len(split.train)


def test_photos_are_copied_where_links_are_not_to_be_had(practice, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no hard links here")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    split = split_photos(practice.photos, seed=7)
    train, _ = find_split(practice.write_split(split))
    assert {f.path.stat().st_nlink for f in train} == {1}
    assert len(train) == len(split.train)


def test_a_split_with_photos_that_were_removed_is_not_written(photos):
    photos.add_uploads([("a.png", photo_file(), "crack")])
    [photo] = photos.photos
    photos.remove(photo.digest)
    with pytest.raises(DatasetError, match="removed since the split was made"):
        photos.write_split(Split([photo], []))


def test_of_a_split_that_can_not_be_written_nothing_stays(photos):
    photos.add_uploads([("a.png", photo_file(), "crack")])
    [photo] = photos.photos
    photos.path(photo).unlink()
    with pytest.raises(DatasetError, match="can't be kept"):
        photos.write_split(Split([photo], []))
    assert not list((photos.folder / "splits").iterdir())


def test_feedback_is_a_source_of_photos(photos):
    photos.add_uploads([("a.png", photo_file(), "crack")], origin="feedback")
    assert [photo.origin for photo in PhotoSet(photos.folder).photos] == ["feedback"]


def test_halves_of_the_practice_set_are_no_near_duplicates(practice):
    assert find_near_duplicates(practice.photos) == []
    assert len(find_near_duplicates([labelled(i, phash=7) for i in range(3)])) == 1


def test_a_link_with_another_label_than_its_photo_has_is_a_conflict(photos, site):
    site.answers = {f"/{i}.png": answer(photo_file(i)) for i in range(2)}
    first, second = links_to(site, 2)
    assert photos.conflicts([first]) == []
    photos.add_links([first, second])
    other = Link(first.url, "no_crack", 2)
    [conflict] = photos.conflicts([other, second, Link(second.url, None, 3)])
    assert (conflict.name, conflict.status) == (first.url, "conflict")
    assert "labelled no crack. It is kept as crack" in conflict.message
    photos.relabel(conflict.photo.digest, "no_crack")
    assert photos.conflicts([other]) == []


def test_links_are_missing_until_their_photo_is_there(photos, site):
    site.answers["/0.png"] = answer(photo_file())
    links = [*links_to(site, 2), Link(site.url("/none.png"), None, 9)]
    photos.add_links(links[:1])
    assert photos.missing(links) == links[1:2]
    photos.clear()
    assert photos.missing(links) == links[:2]
    assert stored_files(photos) == []
