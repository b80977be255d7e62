"""Photos to train on are linked under the label that they were found to have."""

from weights.collect_surfaces import link_photos


def test_corrected_labels(tmp_path):
    photos = ["crack/a-1.jpg", "crack/a-2.jpg", "no_crack/a-1.jpg", "no_crack/a-2.jpg"]
    for photo in photos:
        path = tmp_path / "train" / photo
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(photo)
    corrections = tmp_path / "labels.csv"
    corrections.write_text("photo,label\nno_crack/a-1.jpg,crack\ncrack/a-2.jpg,\n")

    link_photos(tmp_path / "train", tmp_path / "out", corrections)

    linked = {
        label: {photo.read_text() for photo in (tmp_path / "out" / label).iterdir()}
        for label in ("crack", "no_crack")
    }
    assert linked == {
        "crack": {"crack/a-1.jpg", "no_crack/a-1.jpg"},
        "no_crack": {"no_crack/a-2.jpg"},
    }
