"""From a photo to a verdict: the engine's feature map, the head, the temperature, the threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np

from cracklib.architecture import HEAD, STRIDE
from cracklib.cam import class_activation_map, class_maps, measure_windows, strongest_window
from cracklib.config import TRACERS, WINDOW_CELLS, engine_name, weights_path
from cracklib.engines import Engine, build_engine, computes_in_8_bits, openvino_engine
from cracklib.refine import prominence
from cracklib.surface import SurfaceReadout, find_readout
from cracklib.tracer import ALL_BLOCKS, Tracer, read_tracer, to_trace
from cracklib.types import FloatArray, Look, Verdict
from cracklib.weights import ModelCard, Weights, layers_sha256, load_weights


class Classifier:
    """An engine, the head's weights, and the card that says how to read the logits.

    With ``surface`` looks tell known surfaces from anything else. ``build_search_engine`` is called
    when a photo is first searched. ``forward_passes`` counts the calls of ``look``.
    """

    def __init__(
        self,
        engine: Engine,
        weights: Mapping[str, FloatArray],
        card: ModelCard,
        surface: SurfaceReadout | None = None,
        build_search_engine: Callable[[], Engine] | None = None,
    ) -> None:
        self.card = card
        self._head = weights[f"{HEAD}/kernel"], weights[f"{HEAD}/bias"]
        self.forward_passes = 0
        self._engine = engine
        self._surface = surface
        self._build_search_engine = build_search_engine
        self._building = Lock()
        self._for_search: Classifier | None = None

    @property
    def for_search(self) -> Classifier:
        """What sees the tiles of a search: this one, or the same on an engine that is faster."""
        with self._building:
            if self._build_search_engine:
                head = dict(zip((f"{HEAD}/kernel", f"{HEAD}/bias"), self._head, strict=True))
                engine = self._build_search_engine()
                self._for_search = Classifier(engine, head, self.card, self._surface)
                self._build_search_engine = None
        return self._for_search or self

    def look(self, photo: FloatArray) -> Look:
        """One forward pass, of a preprocessed photo, float32 (height, width, 3)."""
        self.forward_passes += 1
        return look_at(photo, self._engine, self._head, self._surface, self.card.temperature)

    def probability(self, look: Look, *, in_windows: bool = False) -> float:
        """The calibrated probability of a crack, from what a look at a photo saw.

        That is the softmax of the logits divided by the card's temperature (Guo et al. 2017,
        equation 9, https://arxiv.org/abs/1706.04599); for two classes, the sigmoid of their
        difference, which is the mean of the class activation map. With ``in_windows`` the strongest
        window counts instead of the whole, read as the card's ``window_scale`` says; a card without
        one raises ``ValueError``. What looks most like a crack counts as its ``trace_weight`` says.
        Its ``surface_prior``, if it has one, takes a photo for a known surface unless it is told
        that it is not.
        """
        prior = self.card.surface_prior
        if in_windows:
            scale = self.card.window_scale
            if scale is None:
                raise ValueError("these weights have no window_scale")
            log_odds = scale.slope * strongest_window(look.evidence, WINDOW_CELLS) + scale.offset
        else:
            log_odds = float(look.evidence.mean(dtype=np.float64))
            log_odds += prior.offset if prior else 0.0
        if look.likeness is not None and self.card.trace_weight:
            log_odds += self.card.trace_weight * prominence(look.likeness)
        if prior and look.known_surface is False:
            log_odds -= prior.deduction
        return float(np.exp(-np.logaddexp(0.0, -log_odds)))

    @property
    def stride(self) -> int:
        """Pixels, each way, to a cell of the feature map."""
        return STRIDE if self.card.feature_layer == "block5_conv3" else 2 * STRIDE

    def release_memory(self) -> None:
        """Give back what a photo larger than usual made the engine of a search allocate."""
        (self._for_search or self)._engine.release_memory()

    def allowance(self, evidence: FloatArray, cells_once: int) -> float:
        """What chance may add to the strongest window of a map, in log-odds; 0 or more.

        The map has more windows than that of one look at the photo, which had ``cells_once``; see
        ``Windows.by_chance``. The card's ``deduction`` times that, 0 where it has none.
        """
        scale = self.card.window_scale
        if scale is None or scale.deduction is None:
            return 0.0
        windows = measure_windows([evidence], WINDOW_CELLS)
        return scale.deduction * windows.by_chance(cells_once / WINDOW_CELLS**2)

    def verdict(self, probability: float) -> Verdict:
        """What a photo of this probability is called."""
        return "crack" if probability >= self.card.verdict_threshold else "no_crack"


def look_at(
    photo: FloatArray,
    engine: Engine,
    head: tuple[FloatArray, FloatArray],
    surface: SurfaceReadout | None,
    temperature: float,
) -> Look:
    """As ``Classifier.look``; ``head`` is its kernel and its bias."""
    found = engine.describe(photo[np.newaxis])
    return Look(
        evidence=class_activation_map(found.feature_maps[0], *head, temperature),
        class_maps=class_maps(found.feature_maps[0], head[0]),
        known_surface=surface.is_known(found.deviations[0]) if surface else None,
        trace=None if found.traces is None else to_trace(found.traces[0], photo.shape[:2]),
    )


def load_classifier(path: str | Path | None = None, engine: str | None = None) -> Classifier:
    """The classifier with the weights at ``path``; by default as ``config`` has it.

    Raises ``WeightsError`` for the weights, ``CrackError`` for the engine.
    """
    weights, card = load_weights(Path(path) if path else weights_path())
    tracer = find_tracer(weights)
    if tracer is None or tracer.blocks != ALL_BLOCKS:
        card = replace(card, trace_weight=0.0)
    name = engine or engine_name()
    run = build_engine(name, weights, card.feature_layer, tracer)
    in_8_bits = None
    if card.activation_ranges and computes_in_8_bits(name):
        in_8_bits = partial(
            openvino_engine, weights, card.feature_layer, tracer, card.activation_ranges
        )
    return Classifier(run, weights, card, find_readout(weights), in_8_bits)


def find_tracer(weights: Weights) -> Tracer | None:
    """The first of the bundled tracers that belongs to these weights, if any does."""
    for path in TRACERS:
        if path.exists():
            tracer = read_tracer(path)
            if tracer.layers_sha256 == layers_sha256(weights, max(tracer.blocks)):
                return tracer
    return None
