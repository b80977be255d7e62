from pathlib import Path

import pytest

from cracklib.config import LABELS
from cracklib.dataset import find_labelled, find_masked, find_split, source_of
from cracklib.errors import DatasetError

SHARED = Path(__file__).parents[2] / "shared" / "data"


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("brickwork-0012.jpg", "brickwork"),
        ("masonry-a_0_10.png", "masonry"),
        ("IMG_1234-edited.HEIC", "IMG"),
        ("wall.jpg", "photos"),
        ("2024-05-01.jpg", "photos"),
        ("_x.jpg", "photos"),
        ("häuser-1.jpg", "häuser"),
        ("facade-1.jpg", "facade"),
        ("a3b1f0c2-5d7e-4f00-9c1d-0123456789ab.jpg", "photos"),
    ],
)
def test_source_is_how_the_name_begins(name, source):
    assert source_of(Path("anywhere-else") / name) == source


def test_labelled_files_come_sorted_with_label_and_source(tmp_path):
    touch(tmp_path, "crack/tile-2.JPG", "crack/slab_1.png", "no_crack/wall.webp")
    found = find_labelled(tmp_path)
    assert [(file.path.name, LABELS[file.label], file.source) for file in found] == [
        ("wall.webp", "no_crack", "photos"),
        ("slab_1.png", "crack", "slab"),
        ("tile-2.JPG", "crack", "tile"),
    ]
    assert all(file.path.is_file() for file in found)


def test_what_is_no_photo_is_passed_over(tmp_path):
    touch(tmp_path, "crack/a-1.jpg", "no_crack/a-2.jpg")
    touch(tmp_path, "crack/notes.txt", "crack/.DS_Store", "crack/._a-1.jpg", "crack/Thumbs.db")
    assert len(find_labelled(tmp_path)) == 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], r"No folder at .*crack/"),
        (["crack/a.jpg"], r"has no no_crack/: expected no_crack/ and crack/ in it, found crack/"),
        (["train/crack/a.jpg", "val/a"], r"no no_crack/ and no crack/.*found train/, val/"),
        (["x.jpg"], "found no folders"),
        (["crack/a.jpg", "no_crack/a.txt"], r"No photos in .*no_crack.*\.jpg"),
    ],
)
def test_labelled_folder_that_is_none_says_what_was_expected(tmp_path, files, message):
    with pytest.raises(DatasetError, match=message):
        find_labelled(touch(tmp_path / "data", *files))


def test_split_reads_train_and_val_apart(tmp_path):
    touch(tmp_path, *(f"train/{label}/a-{i}.jpg" for label in LABELS for i in range(3)))
    touch(tmp_path, *(f"val/{label}/a-9.jpg" for label in LABELS))
    train, val = find_split(tmp_path)
    assert (len(train), len(val)) == (6, 2)
    assert {file.path.name for file in val} == {"a-9.jpg"}


def test_split_without_val_says_so(tmp_path):
    touch(tmp_path, *(f"train/{label}/a.jpg" for label in LABELS))
    with pytest.raises(DatasetError, match="has no val/: expected train/ and val/"):
        find_split(tmp_path)


def test_masked_files_pair_by_stem(tmp_path):
    touch(
        tmp_path, "photos/tile-1.jpg", "photos/slab-2.jpg", "masks/tile-1.png", "masks/slab-2.png"
    )
    assert [(file.photo.name, file.mask.name, file.source) for file in find_masked(tmp_path)] == [
        ("slab-2.jpg", "slab-2.png", "slab"),
        ("tile-1.jpg", "tile-1.png", "tile"),
    ]


def test_photos_and_masks_alone_are_named(tmp_path):
    touch(tmp_path, "photos/a.jpg", "photos/b.jpg", "masks/b.png", "masks/c.png")
    with pytest.raises(DatasetError, match="2 have none: a, c"):
        find_masked(tmp_path)


def test_long_lists_of_names_are_cut_short(tmp_path):
    touch(tmp_path, "masks/z.png", *(f"photos/{i}.jpg" for i in range(9)))
    with pytest.raises(DatasetError, match="10 have none: 0, 1, 2, 3, 4 …"):
        find_masked(tmp_path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no labelled photos in ../shared/data")
def test_real_photos_are_found_under_their_sources():
    train, val = find_split(SHARED)
    sources = {"brickwork", "concrete", "everyday", "slab", "texture", "tile"}
    for files in (train, val):
        assert {file.source for file in files} == sources
        assert {file.label for file in files if file.source == "everyday"} == {0}
    masked = find_masked(SHARED / "localisation")
    assert {file.source for file in masked} == {"masonry", "slab", "tile"}
