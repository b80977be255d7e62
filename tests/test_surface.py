from pathlib import Path

import numpy as np
import pytest

from cracklib import surface as surface_module
from cracklib.architecture import STATISTICS_BLOCK, weight_shapes
from cracklib.classifier import Classifier, load_classifier
from cracklib.errors import WeightsError
from cracklib.pipeline import Inspector
from cracklib.surface import SurfaceReadout, find_readout, read_readout
from cracklib.types import Photo, SurfacePrior, WindowScale
from cracklib.weights import layers_sha256
from tests.tiny import TINY_HEAD, PlainEngine, make_card, tiny_dense_map, tiny_map

SAMPLES = sorted((Path(__file__).parent.parent / "ui" / "samples").glob("*.jpg"))
READOUT = SurfaceReadout("0" * 64, kernel=(1.0, 0.5), bias=-6.0)


class Describing(PlainEngine):
    """How much light varies over the photo stands for both channels."""

    def describe(self, batch):
        deviation = batch.std((1, 2, 3))
        return super().describe(batch)._replace(deviations=np.stack([deviation, deviation], axis=1))


def stripes(contrast):
    pixels = np.full((80, 80, 3), 120, np.uint8)
    pixels[::8] += np.uint8(contrast)
    pixels[::5, ::3] -= np.uint8(contrast)
    return Photo(pixels)


def inspector(surface=READOUT, engine=None, **card):
    return Inspector(
        Classifier(engine or Describing(tiny_map), TINY_HEAD, make_card(**card), surface)
    )


def test_the_readout_by_hand():
    assert READOUT.log_odds(np.array([4, 16], np.float32)) == pytest.approx(2 + 0.5 * 4 - 6)


def test_what_is_no_known_surface_is_told_and_the_verdict_stays():
    wall, cat = stripes(20), stripes(100)
    assert inspector().inspect(wall).doubts == ()
    inspection = inspector().inspect(cat)
    assert [doubt.kind for doubt in inspection.doubts] == ["unknown"]
    plain = inspector(surface=None).inspect(cat)
    assert plain.doubts == ()
    assert (inspection.verdict, inspection.probability) == (plain.verdict, plain.probability)


def log_odds(inspection):
    return np.log(inspection.probability / (1 - inspection.probability))


PRIOR = SurfacePrior(offset=0.5, deduction=2.0)


@pytest.mark.parametrize(("photo", "shift"), [(stripes(20), 0.5), (stripes(100), -1.5)])
def test_the_prior_shifts_verdicts_of_known_surfaces_and_of_others(photo, shift):
    plain, shifted = inspector().inspect(photo), inspector(surface_prior=PRIOR).inspect(photo)
    assert log_odds(shifted) - log_odds(plain) == pytest.approx(shift, abs=1e-4)
    assert np.array_equal(shifted.heat, plain.heat), "the map shows evidence alone"


@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize(("contrast", "shift"), [(20, 0.0), (100, -2.0)])
def test_large_photos_have_an_offset_of_their_own(contrast, shift, scan):
    """A search must not take a surface for another than the looks at the whole did."""
    photo = Photo(stripes(contrast).pixels.repeat(30, axis=0).repeat(30, axis=1))
    plain, shifted = (
        inspector(
            engine=Describing(tiny_dense_map),
            window_scale=WindowScale(1.0, 0.0, deduction=0.0),
            surface_prior=prior,
        ).inspect(photo, scan=scan)
        for prior in (None, PRIOR)
    )
    assert bool(plain.scales) is scan
    assert log_odds(shifted) - log_odds(plain) == pytest.approx(shift, abs=1e-4)


def test_without_a_readout_every_photo_counts_as_a_wall():
    plain, shifted = (
        inspector(surface=None, surface_prior=prior).inspect(stripes(100))
        for prior in (None, PRIOR)
    )
    assert log_odds(shifted) - log_odds(plain) == pytest.approx(PRIOR.offset, abs=1e-4)


def test_a_fault_of_the_photo_is_told_alone():
    tiny = Photo(np.ascontiguousarray(stripes(100).pixels[:48, :48]))
    assert [doubt.kind for doubt in inspector().inspect(tiny).doubts] == ["small"]


def test_a_readout_of_other_layers_is_not_used(tmp_path, monkeypatch):
    weights = {name: np.ones(shape, np.float32) for name, shape in weight_shapes().items()}
    path = tmp_path / "surface.json"
    monkeypatch.setattr(surface_module, "SURFACE_READOUT", path)
    assert find_readout(weights) is None, "there is none"
    own = SurfaceReadout(layers_sha256(weights, STATISTICS_BLOCK), (1.0,), 0.0)
    path.write_text(own.to_json())
    assert find_readout(weights) == own
    weights["block5_conv1/kernel"] = weights["block5_conv1/kernel"] + 1
    assert find_readout(weights) == own, "what comes after it doesn't matter"
    last = f"block{STATISTICS_BLOCK}_conv3/bias"
    weights[last] = weights[last] + 1
    assert find_readout(weights) is None


@pytest.mark.parametrize("text", ["", "[]", '{"kernel": [1]}', '{"kernel": [NaN], "bias": 0}'])
def test_a_damaged_readout_is_told(tmp_path, text):
    path = tmp_path / "surface.json"
    path.write_text(text)
    with pytest.raises(WeightsError, match=r"surface\.json"):
        read_readout(path)


@pytest.mark.slow
def test_the_bundled_readout_belongs_to_the_bundled_weights(bundled_weights):
    """And knows the app's samples."""
    inspector = Inspector(load_classifier(bundled_weights))
    told = {path.stem: inspector.inspect(path).known_surface for path in SAMPLES}
    assert None not in told.values(), "run weights/fit_surface.py after training"
    assert all(told.values()), told
