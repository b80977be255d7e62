"""The search of large photos: tiles that make no difference, scales, progress, and its end."""

import cv2
import numpy as np
import pytest

from cracklib import scan
from cracklib.architecture import BLOCKS
from cracklib.classifier import Classifier
from cracklib.config import DISPLAY_THRESHOLD
from cracklib.pipeline import Inspector
from cracklib.preprocess import IMAGENET_MEANS_BGR, preprocess_pixels
from cracklib.scan import Scan, join_scales, scan_sizes
from cracklib.synthesis import render_crack, render_wall
from cracklib.types import Photo, WindowScale
from tests.tiny import TINY_HEAD, PlainEngine, make_card, tiny_dense_engine, tiny_dense_map


def one_channel_vgg(batch):
    """The layers of VGG16 with a single channel: it sees as far, and pools where it does."""
    rng = np.random.default_rng(0)
    maps = batch.mean(-1) / 64
    for block, (count, _) in enumerate(BLOCKS, start=1):
        for _ in range(count):
            kernel = rng.uniform(-0.2, 0.6, (3, 3)).astype(np.float32)
            maps = np.stack(
                [cv2.filter2D(m, -1, kernel, borderType=cv2.BORDER_CONSTANT) for m in maps]
            )
            maps = np.maximum(maps / kernel.sum(), 0)
        if block < len(BLOCKS):
            rows, columns = (side // 2 for side in maps.shape[1:])
            maps = maps[:, : 2 * rows, : 2 * columns].reshape(-1, rows, 2, columns, 2).max((2, 4))
    return np.stack([maps, 1 - maps], axis=-1)


def grainy_wall(height, width):
    """With light enough to be seen as it is."""
    rng = np.random.default_rng(height)
    return rng.integers(80, 256, (height, width, 3), dtype=np.uint8)


def run(searched):
    while not searched.finished:
        searched.step()
    return searched


@pytest.mark.parametrize(
    ("size", "tile_px"),
    [
        pytest.param((640, 640), 320, id="whole tiles"),
        pytest.param((523, 777), 256, id="odd sizes, last tiles in part"),
        pytest.param((481, 500), 1024, id="smaller than a tile"),
        pytest.param((130, 4500), 256, id="strip"),
    ],
)
def test_tiles_give_what_the_whole_gives(size, tile_px, monkeypatch):
    monkeypatch.setattr(scan, "TILE_PX", tile_px)
    classifier = Classifier(PlainEngine(one_channel_vgg), TINY_HEAD, make_card())
    pixels = grainy_wall(*size)
    found = run(Scan(classifier, pixels))
    assert found.sizes[-1] == size
    for evidence, (height, width) in zip(found.evidence, found.sizes, strict=True):
        scaled = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        whole = classifier.look(preprocess_pixels(scaled)).evidence
        assert evidence.shape == whole.shape == (height // 16, width // 16)
        np.testing.assert_allclose(evidence, whole, atol=1e-4)


class Tracing(PlainEngine):
    """What it traces is how light each place is."""

    def describe(self, batch):
        _, height, width, _ = batch.shape
        rows, columns = height // 4 * 2, width // 4 * 2
        light = (batch[:, : 2 * rows, : 2 * columns].mean(-1) + 128) / 256
        traces = light.reshape(-1, rows, 2, columns, 2).mean((2, 4)).clip(0, 1)
        return super().describe(batch)._replace(traces=traces)


@pytest.mark.parametrize("size", [(640, 640), (523, 777), (481, 500), (130, 4500)])
def test_the_trace_of_tiles_is_that_of_the_whole(size, monkeypatch):
    monkeypatch.setattr(scan, "TILE_PX", 256)
    classifier = Classifier(Tracing(one_channel_vgg), TINY_HEAD, make_card())
    pixels = grainy_wall(*size)
    found = run(Scan(classifier, pixels))
    assert len(found.traces) == len(found.evidence)
    whole = classifier.look(preprocess_pixels(pixels))
    np.testing.assert_array_equal(found.traces[-1], whole.trace)


def test_every_tile_of_a_dark_photo_is_made_brighter_alike(monkeypatch):
    monkeypatch.setattr(scan, "TILE_PX", 256)
    pixels = np.full((640, 1280, 3), 56, np.uint8)
    pixels[:, 800:] = 100
    seen = set()

    def engine(batch):
        seen.add(tuple(np.unique(np.rint(batch + IMAGENET_MEANS_BGR))))
        return one_channel_vgg(batch)

    run(Scan(Classifier(PlainEngine(engine), TINY_HEAD, make_card()), pixels))
    assert {(140,), (250,)} <= seen <= {(140,), (250,), (140, 250)}


@pytest.mark.slow
@pytest.mark.parametrize("for_search", [True, False])
def test_tiles_of_the_real_network_give_what_the_whole_gives(
    bundled_weights, monkeypatch, for_search
):
    monkeypatch.setattr(scan, "TILE_PX", 256)
    if not for_search:
        monkeypatch.setattr(Classifier, "for_search", property(lambda self: self))
    classifier = Inspector.load(bundled_weights).classifier
    pixels = cv2.resize(grainy_wall(40, 60), (787, 523), interpolation=cv2.INTER_CUBIC)
    found = run(Scan(classifier, pixels))
    whole = classifier.for_search.look(preprocess_pixels(pixels))
    assert np.ptp(whole.evidence) > 1
    # Where OpenVINO computes in bfloat16, sums of another order may round to the next number.
    np.testing.assert_allclose(found.evidence[-1], whole.evidence, atol=0.05)
    np.testing.assert_allclose(found.traces[-1], whole.trace.astype(int), atol=4)


def test_the_faster_engine_is_built_for_tiles_alone_and_gives_back_its_memory():
    built, released = [], []

    class Faster(PlainEngine):
        def release_memory(self):
            released.append(self)

    def build():
        built.append(1)
        return Faster(tiny_dense_map)

    classifier = Classifier(tiny_dense_engine, TINY_HEAD, make_card(), build_search_engine=build)
    for size in ((200, 300), (600, 800)):
        begun = Inspector(classifier).begin_scan(
            Inspector(classifier).inspect(Photo(grainy_wall(*size)))
        )
        begun.release_memory()
        assert not built
    begun.step()
    assert built == [1]
    begun.release_memory()
    assert released


def test_scales_go_from_near_what_one_pass_sees_to_the_photos_own():
    assert scan_sizes((3000, 4000)) == [(752, 992), (1504, 2000), (3000, 4000)]
    assert scan_sizes((600, 800)) == [(600, 800)]
    assert scan_sizes((448, 448)) == []


def test_the_heat_of_each_place_is_the_most_of_any_scale():
    coarse, fine = np.zeros((1, 2), np.float32), np.zeros((2, 4), np.float32)
    coarse[0, 0], fine[1, 3] = 0.5, 0.75
    joined = join_scales([coarse, fine])
    assert joined.shape == (2, 4)
    assert joined[1, 3] == 0.75
    assert joined[0, 0] == joined[1, 0] == 0.5


def finder(window_scale=None):
    """An inspector that finds dark cells, on any size of photo."""
    return Inspector(Classifier(tiny_dense_engine, TINY_HEAD, make_card(window_scale=window_scale)))


@pytest.fixture
def searching():
    return finder()


@pytest.fixture
def speck():
    """A wall of 1200x1600 with a dark spot that one forward pass can't make out."""
    pixels = np.full((1200, 1600, 3), 150, np.uint8)
    pixels[656:672, 1104:1120] = 0
    return Photo(pixels, "speck.png")


def test_a_search_finds_what_one_pass_does_not(searching, speck):
    once, searched = searching.inspect(speck), searching.inspect(speck, scan=True)
    assert once.heat.max() < 0.1
    assert searched.heat[41, 69] > 0.4
    assert searched.heat.shape == (75, 100)
    assert searched.crack_heat.shape == speck.size
    assert searched.crack_heat[664, 1112] > 0.25 > once.refined.max()


def test_the_strongest_window_decides_less_what_chance_may_add(speck):
    """The window of the speck has -1.05 when seen at once and -0.89 at the photo's own scale."""
    once = finder(WindowScale(10.0, 9.7)).inspect(speck)
    assert once.verdict == "no_crack"
    for deduction, verdict in ((0.0, "crack"), (50.0, "no_crack"), (None, "no_crack")):
        searched = finder(WindowScale(10.0, 9.7, deduction)).inspect(speck, scan=True)
        assert searched.verdict == verdict
        assert searched.probability >= once.probability


def test_a_second_search_finds_what_the_first_did(speck):
    inspector = finder(WindowScale(10.0, 9.7, deduction=50.0))
    searched = inspector.inspect(speck, scan=True)
    again = inspector.search(searched)
    assert again.probability == searched.probability
    assert again.whole == searched.whole


def test_a_search_takes_no_crack_back():
    pixels = np.full((1200, 1600, 3), 150, np.uint8)
    pixels[:, 800:] = 0
    dark = Photo(pixels)
    inspector = finder(WindowScale(1.0, 0.0, deduction=50.0))
    once, searched = inspector.inspect(dark), inspector.inspect(dark, scan=True)
    assert once.verdict == searched.verdict == "crack"
    assert once.probability == searched.probability


def test_a_strip_of_any_length_is_searched(searching):
    strip = np.full((48, 80_000, 3), 150, np.uint8)
    strip[16:32, 70_000:70_016] = 0
    searched = searching.inspect(Photo(strip), scan=True)
    assert searched.crack_heat.shape == (48, 80_000)
    assert searched.crack_heat[24, 70_008] > 0.25


@pytest.mark.parametrize("stride", [16, 32])
def test_a_strip_of_one_cell_is_searched(stride):
    """Weights that average block5_pool have a cell for 32 pixels, and photos may be as low."""
    pixels = np.full((32, 80_000, 3), 150, np.uint8)
    pixels[:, 69_984:70_016] = 0
    card = make_card(feature_layer={16: "block5_conv3", 32: "block5_pool"}[stride])
    engine = PlainEngine(lambda batch: tiny_dense_map(batch, stride))
    searched = Inspector(Classifier(engine, TINY_HEAD, card)).inspect(Photo(pixels), scan=True)
    assert len(searched.scales) > 1
    assert searched.scales[-1][0].argmax() * stride // 32 == 69_984 // 32


def test_a_photo_that_one_pass_sees_well_is_left_as_it_is(searching, dark_corner):
    once, searched = searching.inspect(dark_corner), searching.inspect(dark_corner, scan=True)
    assert not searched.scales
    np.testing.assert_array_equal(once.heat, searched.heat)


def test_progress_grows_to_its_total(searching, speck, monkeypatch):
    monkeypatch.setattr(scan, "TILE_PX", 512)
    heard = []
    searching.inspect(speck, scan=True, progress=lambda done, total: heard.append((done, total)))
    done = [done for done, _ in heard]
    assert len({total for _, total in heard}) == 1
    assert done == sorted(set(done))
    assert done[-1] == heard[-1][1]


def test_what_progress_raises_ends_the_search(searching, speck, monkeypatch):
    monkeypatch.setattr(scan, "TILE_PX", 512)
    monkeypatch.setattr(searching, "finish_scan", lambda *_: pytest.fail("it went on"))
    once = searching.inspect(speck)
    before = searching.classifier.forward_passes

    def cancel(done, total):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        searching.search(once, cancel)
    assert searching.classifier.forward_passes == before + 1


@pytest.fixture(scope="module")
def real(bundled_weights):
    inspector = Inspector.load(bundled_weights)
    scale = inspector.card.window_scale
    if scale is None or scale.deduction is None:
        pytest.skip("the bundled weights have nothing fitted for a search")
    return inspector


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed"), [("concrete", 3), ("plaster", 3)])
def test_a_hairline_in_a_large_wall_is_found_and_the_wall_without_it_is_sound(real, kind, seed):
    """Four megapixels; the crack is 600 px long and at most 2 px wide."""
    rng = np.random.default_rng(seed)
    sound = render_wall(rng, (1800, 2400), kind)
    cracked = sound.copy()
    at = slice(600, 1200), slice(800, 1600)
    cracked[at], mask = render_crack(sound[at], rng, "single", width_px=0.8)
    assert real.inspect(Photo(sound), scan=True).verdict == "no_crack"
    once = real.inspect(Photo(cracked))
    searched = real.search(once)
    assert searched.verdict == "crack"
    assert (searched.refined[at] >= DISPLAY_THRESHOLD)[mask].mean() > 0.3
    for found in (once, searched):
        assert (found.refined >= DISPLAY_THRESHOLD).mean() < 0.005, "and little else"
