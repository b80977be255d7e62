import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from cracklib.errors import DatasetError
from cracklib.evaluation import evaluate_folder
from cracklib.photo import encode_png, read_photo


@dataclass
class BrightnessInspector:
    """Stands in for the network: dark photos are cracked, dark pixels are hot.

    Refined, only black ones are.
    """

    card: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(
            name="tiny", sha256="ab" * 32, verdict_threshold=0.5
        )
    )

    def inspect(self, path):
        photo = read_photo(path)
        heat = 1 - photo.pixels[..., 0].astype(np.float32) / 255
        return SimpleNamespace(
            photo=photo,
            probability=float(heat.mean()),
            heatmap=heat,
            refined=(heat == 1).astype(np.float32),
        )


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.repeat(pixels[..., None].astype(np.uint8), 3, axis=2)))


def flat(brightness, size=(32, 40)):
    return np.full(size, brightness)


@pytest.fixture
def labelled(tmp_path):
    folder = tmp_path / "labelled"
    write(folder / "crack" / "tile-1.png", flat(51))  # probability 0.8
    write(folder / "crack" / "tile-2.png", flat(153))  # 0.4: missed
    write(folder / "no_crack" / "tile-3.png", flat(204))  # 0.2
    write(folder / "no_crack" / "street-4.png", flat(102))  # 0.6: a false alarm
    return folder


@pytest.fixture
def masked(tmp_path):
    folder = tmp_path / "masked"
    line = flat(255)
    line[10] = 0
    write(folder / "photos" / "brick-1.png", line)
    write(folder / "masks" / "brick-1.png", 255 - line)
    write(folder / "photos" / "slab-2.png", flat(255))
    write(folder / "masks" / "slab-2.png", 255 - line)
    return folder


def test_labelled_folder_scores_the_verdicts_per_source(labelled):
    found = evaluate_folder(labelled, BrightnessInspector())
    assert list(found.verdicts) == ["street", "tile", "overall"]
    assert not found.heatmaps
    assert found.verdicts["tile"].accuracy.value == pytest.approx(2 / 3)
    assert found.verdicts["street"].false_alarm_rate.value == 1.0
    assert found.verdicts["overall"].accuracy.value == pytest.approx(2 / 4)


def test_verdicts_are_those_of_the_cards_threshold(labelled):
    inspector = BrightnessInspector()
    inspector.card.verdict_threshold = 0.3
    found = evaluate_folder(labelled, inspector)
    assert found.verdicts["tile"].accuracy.value == 1.0


def test_masked_folder_scores_the_heatmaps_per_source(masked):
    found = evaluate_folder(masked, BrightnessInspector())
    assert list(found.heatmaps) == ["brick", "slab", "overall"]
    assert not found.verdicts
    assert found.heatmaps["brick"].pxap == 1.0
    assert found.heatmaps["slab"].pxap == pytest.approx(1 / 32)
    # Pooled, half of the cracked pixels are found for sure, the rest with everything else.
    assert found.heatmaps["overall"].pxap == pytest.approx(0.5 + 0.5 / 32)
    assert found.heatmaps["overall"].photos == 2


def test_masked_folder_scores_plain_and_refined_maps_apart(masked):
    line = flat(200)
    line[10], line[20] = 0, 20
    write(masked / "photos" / "brick-1.png", line)
    mask = flat(0)
    mask[10] = mask[20] = 255
    write(masked / "masks" / "brick-1.png", mask)
    found = evaluate_folder(masked, BrightnessInspector())
    assert found.heatmaps["brick"].f1 == 1.0
    assert found.refined["brick"].f1 == pytest.approx(2 / 3)
    assert list(found.refined) == ["brick", "slab", "overall"]


def test_unreadable_photos_are_listed_and_the_rest_measured(labelled):
    (labelled / "crack" / "tile-0.png").write_bytes(b"no photo")
    steps = []
    found = evaluate_folder(
        labelled, BrightnessInspector(), lambda done, total: steps.append((done, total))
    )
    assert len(found.unreadable) == 1
    assert "tile-0.png" in found.unreadable[0]
    assert found.verdicts["overall"].photos == 4
    assert steps == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert "tile-0.png" in str(found)


def test_a_mask_of_another_size_is_listed(masked):
    write(masked / "masks" / "slab-2.png", flat(255, (40, 32)))
    found = evaluate_folder(masked, BrightnessInspector())
    assert list(found.heatmaps) == ["brick", "overall"]
    assert "slab-2.png" in found.unreadable[0]
    assert "(40, 32)" in found.unreadable[0]


@pytest.mark.parametrize(
    ("mask", "problem"),
    [
        (flat(0) + np.eye(32, 40), "has no white in it and is not black"),
        (flat(255), "is white all over"),
    ],
)
def test_a_mask_that_can_not_be_one_is_listed(masked, mask, problem):
    write(masked / "masks" / "slab-2.png", mask)
    found = evaluate_folder(masked, BrightnessInspector())
    assert list(found.heatmaps) == ["brick", "overall"]
    assert f"The mask of slab-2.png {problem}. Give one that is 255" in found.unreadable[0]


def test_a_mask_without_a_crack_is_one(masked):
    write(masked / "masks" / "slab-2.png", flat(0))
    assert not evaluate_folder(masked, BrightnessInspector()).unreadable


def test_nothing_readable_is_an_error(tmp_path):
    for name in ("crack/a.jpg", "no_crack/b.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"no photo")
    with pytest.raises(DatasetError, match=r"None of the 2 photos.*b\.jpg"):
        evaluate_folder(tmp_path, BrightnessInspector())


@pytest.mark.parametrize("folders", [None, [], ["train", "val"]])
def test_a_folder_of_neither_layout_says_what_both_are(tmp_path, folders):
    folder = tmp_path / "data"
    for name in folders or ():
        (folder / name).mkdir(parents=True)
    if folders == []:
        folder.mkdir()
    with pytest.raises(DatasetError, match=r"crack/ and no_crack/.*photos/ and masks/.*val/"):
        evaluate_folder(folder, BrightnessInspector())


def test_half_a_layout_says_what_is_missing(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(DatasetError, match="has no masks/"):
        evaluate_folder(tmp_path, BrightnessInspector())


def test_results_of_both_kinds_print_and_go_to_json(labelled, masked):
    verdicts = evaluate_folder(labelled, BrightnessInspector())
    heatmaps = evaluate_folder(masked, BrightnessInspector())
    assert str(verdicts).startswith("Verdicts of tiny, cracked from probability 0.500\n\nsource")
    plain, refined = str(heatmaps).split("Refined to the crack\nsource")
    assert plain.startswith("Heatmaps of tiny against masks\n\nClass activation maps\nsource")
    assert [part.count("overall") for part in (plain, refined)] == [1, 1]
    values = json.loads(json.dumps(verdicts.to_dict(), allow_nan=False))
    assert values["model"] == "tiny"
    assert values["verdict_threshold"] == 0.5
    assert values["verdicts"]["street"]["auc"] is None
    assert values["verdicts"]["tile"]["recall"]["value"] == 0.5
    assert values["probabilities"] == {
        "street": {"no_crack": [pytest.approx(0.6)], "crack": []},
        "tile": {
            "no_crack": [pytest.approx(0.2)],
            "crack": [pytest.approx(0.8), pytest.approx(0.4)],
        },
    }
    values = json.loads(json.dumps(heatmaps.to_dict(), allow_nan=False))
    assert values["heatmaps"]["brick"]["pointing"] == 1.0
    assert values["refined"]["brick"]["tolerant_f1"] == 1.0
