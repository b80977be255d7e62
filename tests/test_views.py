from collections import Counter

import numpy as np
import pytest

from cracklib.dataset import LabelledFile
from cracklib.photo import encode_png
from cracklib.preprocess import resize_to_input
from cracklib.synthesis import render_wall
from cracklib.views import (
    CRACK,
    CROPS_TO_CHOOSE_OF,
    NO_CRACK,
    UNKNOWN,
    WIDE_SIZE,
    Mix,
    View,
    make_view,
    plan_crops,
    plan_photos,
    plan_views,
    plan_wide_views,
)

MIX = Mix(per_class_min=4, per_class_max=6, pairs=10, mosaics=8)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[LabelledFile]:
    """Two sources: 10 uncracked and 2 cracked bricks, 5 uncracked scenes."""
    folder = tmp_path_factory.mktemp("photos")
    files = []
    for number, (source, label) in enumerate(
        [("brick", NO_CRACK)] * 10 + [("brick", CRACK)] * 2 + [("scene", NO_CRACK)] * 5
    ):
        path = folder / f"{source}-{number}.png"
        path.write_bytes(encode_png(render_wall(np.random.default_rng(number), (80, 100))))
        files.append(LabelledFile(path, label, source))
    return files


def test_every_source_and_class_gives_between_min_and_max_views(files):
    views = [view for view in plan_views(files, MIX, [0]) if view.kind == "photo"]
    counts = Counter((view.files[0].source, view.label) for view in views)
    assert counts == {("brick", NO_CRACK): 6, ("brick", CRACK): 4, ("scene", NO_CRACK): 5}


def test_no_photo_comes_twice_before_all_came_once(files):
    views = [view for view in plan_views(files, MIX, [0]) if view.kind == "photo"]
    cracked = Counter(view.files[0].path for view in views if view.label == CRACK)
    assert sorted(cracked.values()) == [2, 2]
    clean = Counter(view.files[0].path for view in views if view.label == NO_CRACK)
    assert max(clean.values()) == 1


def test_a_mosaic_is_cracked_exactly_if_one_of_its_photos_is(files):
    mosaics = [view for view in plan_views(files, MIX, [0]) if view.kind == "mosaic"]
    assert len(mosaics) == MIX.mosaics
    for view in mosaics:
        assert len(view.files) == 4
        assert sum(file.label for file in view.files) == view.label


def test_the_halves_of_a_pair_differ_in_the_crack_alone(files):
    halves = [view for view in plan_views(files, MIX, [0]) if view.kind == "pair"]
    assert len(halves) == 2 * MIX.pairs
    differing = 0
    for plain, cracked in zip(halves[::2], halves[1::2], strict=True):
        assert (plain.label, cracked.label) == (NO_CRACK, CRACK)
        assert (plain.seed, plain.files) == (cracked.seed, cracked.files)
        change = (make_view(plain).pixels != make_view(cracked).pixels).any(axis=2).mean()
        differing += change > 0
    assert differing == MIX.pairs


def test_every_uncracked_photo_gives_crops_to_choose_the_hardest_of(files):
    crops = plan_crops(files, Mix(4, 10, pairs=0, mosaics=0), [0])
    uncracked = [file for file in files if file.label == NO_CRACK]
    assert sorted(of[0].files[0].path for of in crops) == sorted(file.path for file in uncracked)
    for of_photo in crops:
        assert len({view.seed for view in of_photo}) == CROPS_TO_CHOOSE_OF
        assert {(view.label, view.files) for view in of_photo} == {(NO_CRACK, of_photo[0].files)}


def test_wide_views_are_as_large_photos_are_seen(files):
    views = plan_wide_views(files, Mix(0, 0, 0, 0, wide_pairs=6, wide_mosaics=4), [0])
    assert Counter(view.kind for view in views) == {"wide": 12, "mosaic": 4}
    for view in views:
        assert make_view(view).pixels.shape == (*WIDE_SIZE, 3)
    for mosaic in views[:4]:
        assert len(mosaic.files) == 9
        assert sum(file.label for file in mosaic.files) == mosaic.label


def test_the_halves_of_a_wide_pair_differ_where_the_crack_is(files):
    halves = plan_wide_views(files, Mix(0, 0, 0, 0, wide_pairs=8), [2])
    for plain, cracked in zip(halves[::2], halves[1::2], strict=True):
        before, after = make_view(plain), make_view(cracked)
        change = np.abs(before.pixels.astype(int) - after.pixels).sum(axis=2)
        assert not before.truth.any()
        assert change[after.truth == CRACK].mean() > 5 * change[after.truth == NO_CRACK].mean()


def test_a_photo_is_shown_in_other_colours_and_light_but_never_burnt_out(tmp_path):
    pale_grey = np.random.default_rng(0).normal(180, 10, (100, 100, 1)).repeat(3, axis=2)
    file = LabelledFile(tmp_path / "wall.png", NO_CRACK, "wall")
    file.path.write_bytes(encode_png(pale_grey.astype(np.uint8)))
    shown = [make_view(View("photo", file.label, (file,), seed)).pixels for seed in range(100)]
    colours = np.array([pixels.reshape(-1, 3).mean(axis=0) for pixels in shown])
    tinted = colours.max(axis=1) > 1.5 * colours.min(axis=1)
    assert 10 < tinted.sum() < 70
    assert (colours.mean(axis=1) < 70).sum() > 5
    assert max((pixels == 255).mean() for pixels in shown) < 0.3


def test_pairs_are_never_made_from_cracked_photos(files):
    for view in plan_views(files, MIX, [0]):
        if view.kind == "pair":
            assert all(file.label == NO_CRACK for file in view.files)


def test_some_pairs_take_their_crack_from_a_photo_of_a_plain_surface(files):
    donor = next(file for file in files if file.label == CRACK)
    plain = LabelledFile(donor.path, CRACK, "concrete")
    views = plan_views([*files, plain], Mix(4, 6, pairs=40, mosaics=0), [0])
    donors = [view.donor for view in views if view.kind == "pair"]
    assert set(donors) == {None, plain}
    assert donors[::2] == donors[1::2]
    # Bricks have joints, which can't be told from their cracks.
    assert not any(view.donor for view in plan_views(files, MIX, [0]))


def test_pairs_show_rendered_walls_photos_and_two_photos_at_once(files):
    views = plan_views(files, Mix(4, 6, pairs=60, mosaics=0), [0])
    assert {len(view.files) for view in views if view.kind == "pair"} == {0, 1, 2}


def test_the_plan_and_its_pictures_follow_from_the_seed(files):
    assert plan_views(files, MIX, [3, 1]) == plan_views(files, MIX, [3, 1])
    assert plan_views(files, MIX, [3, 1]) != plan_views(files, MIX, [3, 2])
    for view in plan_views(files, MIX, [3, 1])[::5]:
        first, second = make_view(view), make_view(view)
        assert np.array_equal(first.pixels, second.pixels)
        assert np.array_equal(first.truth, second.truth)


def test_the_article_shows_every_photo_once(files):
    views = plan_photos(files, "plain", [0])
    assert [view.files for view in views] == [(file,) for file in files]
    assert [view.label for view in views] == [file.label for file in files]
    assert make_view(views[0]).pixels.shape == (224, 224, 3)


def test_a_whole_view_is_what_is_served(files):
    from cracklib.photo import read_photo

    served = resize_to_input(read_photo(files[0].path).pixels)
    assert np.array_equal(make_view(View("whole", NO_CRACK, (files[0],), 0)).pixels, served)


def test_the_truth_of_a_pair_says_where_the_crack_was_drawn(files):
    halves = [view for view in plan_views(files, MIX, [0]) if view.kind == "pair"]
    for plain, cracked in zip(halves[::2], halves[1::2], strict=True):
        before, after = make_view(plain), make_view(cracked)
        assert (before.truth == NO_CRACK).all()
        assert set(np.unique(after.truth)) == {NO_CRACK, CRACK}
        change = np.abs(before.pixels.astype(int) - after.pixels).mean(axis=2)
        assert change[after.truth == CRACK].mean() > 2 * change[after.truth == NO_CRACK].mean()


def test_of_a_real_crack_only_the_label_is_known(files):
    cracked = next(file for file in files if file.label == CRACK)
    sound = next(file for file in files if file.label == NO_CRACK)
    assert (make_view(View("photo", CRACK, (cracked,), 0)).truth == UNKNOWN).all()
    assert (make_view(View("photo", NO_CRACK, (sound,), 0)).truth == NO_CRACK).all()


def test_a_mosaic_knows_its_uncracked_quarters(files):
    cracked = next(file for file in files if file.label == CRACK)
    sound = next(file for file in files if file.label == NO_CRACK)
    truth = make_view(View("mosaic", CRACK, (sound, cracked, sound, sound), 0)).truth
    assert truth[0, 0] == truth[-1, 0] == truth[-1, -1] == NO_CRACK
    assert truth[0, -1] == UNKNOWN
    assert 0.15 < (truth == UNKNOWN).mean() < 0.37
