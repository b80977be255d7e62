"""One photo from bytes to verdict and heatmap."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np

from cracklib.cam import article_heat, to_heat
from cracklib.classifier import Classifier, load_classifier
from cracklib.config import (
    DEFAULT_COLORMAP,
    DEFAULT_HEAT_MAP,
    DEFAULT_OPACITY,
    HEAT_MAPS,
    LABELS,
)
from cracklib.doubts import Doubt, find_doubts
from cracklib.looks import FIRST_LOOK_SIZE, look_twice
from cracklib.overlay import fit_heat, render_overlay, upsample_heat
from cracklib.photo import decode_photo, read_photo
from cracklib.preprocess import large_input_size
from cracklib.refine import (
    follow_thin,
    raise_faint,
    refine_heat,
    refine_scales,
    show_hottest,
)
from cracklib.scan import Scan, join_scales
from cracklib.types import FloatArray, HeatScale, Look, Photo, Pixels, Progress, Trace, Verdict
from cracklib.weights import ModelCard

SURE = 0.9
"""The probability from which on faint heat beside a crack is taken for more of it."""


@dataclass(frozen=True, eq=False)
class Inspection:
    """What one look at a photo found.

    ``probability`` is the calibrated probability of a crack; ``heat`` is float32 (rows, columns)
    in [0, 1] as the network sees it, ``scale`` the log-odds that its 0 and 1 stand for; ``seconds``
    is the time from the photo as given to the heat. ``scales`` is the heat at each scale that the
    photo was searched at, the photo's own last; ``heat`` then has the most of them and of what the
    looks at the whole see. Empty where it was not searched. ``known_surface`` is as in ``Look``.
    ``traces`` is that of the first look or, for a photo that was searched, of each scale; empty
    where there is no tracer. ``likeness`` is that of the looks at the whole,
    ``class_maps`` are those of the first, and ``whole`` is what they alone found, for a photo that
    was searched.
    """

    photo: Photo
    verdict: Verdict
    probability: float
    heat: FloatArray
    scale: HeatScale
    seconds: float
    model_name: str
    model_sha256: str
    scales: tuple[FloatArray, ...] = ()
    known_surface: bool | None = None
    traces: tuple[Trace, ...] = ()
    likeness: FloatArray | None = None
    class_maps: FloatArray | None = None
    whole: Inspection | None = None

    @cached_property
    def doubts(self) -> tuple[Doubt, ...]:
        """Why the verdict is unsure, if it is: see ``doubts.find_doubts``."""
        return find_doubts(self.photo.pixels, self.known_surface)

    @cached_property
    def heatmap(self) -> FloatArray:
        """The heat at the photo's size: float32 (height, width) in [0, 1]."""
        return upsample_heat(self.heat, self.photo.size)

    @cached_property
    def crack_heat(self) -> FloatArray:
        """The heat refined to the crack: float32 in [0, 1], of the size it is found at.

        See ``refine.refine_heat`` and, for a photo that was searched, ``refine_scales``: that draws
        no less than the looks at the whole do. The faint heat of a photo that is called cracked is
        raised (``raise_faint``, ``show_hottest``), and where the looks at the whole are sure of it
        and the surface is known, it is followed to where cracks get thin (``follow_thin``).
        """
        if self.whole:
            coarsest = self.whole.crack_heat
            found = refine_scales(self.photo.pixels, coarsest, self.scales, self.traces)
            return show_hottest(found) if self.verdict == "crack" else found
        trace = self.traces[0] if self.traces else None
        refined = refine_heat(self.photo.pixels, self.heat, trace, self.likeness)
        if self.verdict == "crack":
            refined = raise_faint(refined)
        surely = self.probability >= SURE and self.known_surface is not False
        return follow_thin(refined) if surely else refined

    @cached_property
    def refined(self) -> FloatArray:
        """``crack_heat`` at the photo's size: float32 (height, width) in [0, 1]."""
        return fit_heat(self.crack_heat, self.photo.size)

    def heat_of(self, heat_map: str) -> FloatArray:
        """The heat to draw as ``heat_map``, one of ``config.HEAT_MAPS``, at its own size.

        "article" is the map of the class that the verdict names (``cam.article_heat``): where no
        crack is found, of what speaks for none. Raises ``ValueError`` for any other.
        """
        if heat_map not in HEAT_MAPS:
            raise ValueError(f"heat_map must be one of {', '.join(HEAT_MAPS)}, not {heat_map!r}")
        if heat_map == "article":
            if self.class_maps is None:
                raise ValueError("this inspection was made without class_maps")
            return article_heat(self.class_maps[LABELS.index(self.verdict)])
        return self.crack_heat if heat_map == "crack" else self.heat

    def overlay(
        self,
        opacity: float = DEFAULT_OPACITY,
        colormap: str = DEFAULT_COLORMAP,
        threshold: float = 0.0,
        heat_map: str = DEFAULT_HEAT_MAP,
    ) -> Pixels:
        """The heat blended over the photo: uint8 RGB (height, width, 3).

        See ``heat_of`` and ``render_overlay``, whose errors it raises. Nothing is drawn where heat
        is below ``threshold``.
        """
        heat = self.heat_of(heat_map)
        return render_overlay(self.photo.pixels, heat, opacity, colormap, threshold)


class Inspector:
    """The loaded network, ready for any number of photos. Safe to share between threads."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    @classmethod
    def load(cls, path: str | Path | None = None, engine: str | None = None) -> Inspector:
        """With the weights at ``path`` on ``engine``; by default as ``config`` has it.

        Raises ``WeightsError`` for the weights, ``CrackError`` for the engine.
        """
        return cls(load_classifier(path, engine))

    @property
    def card(self) -> ModelCard:
        """The card of the weights."""
        return self.classifier.card

    def inspect(
        self,
        photo: str | Path | bytes | Photo,
        *,
        scan: bool = False,
        progress: Progress | None = None,
    ) -> Inspection:
        """Look at a photo: a path, the bytes of an image file, or a decoded ``Photo``.

        Two forward passes, whose mean decides; see ``looks``. A large photo is seen larger, and
        judged by its strongest window. With ``scan`` it is searched at its own resolution besides,
        which takes a forward pass for every megapixel or so; ``progress`` hears of it as ``search``
        has it.
        Raises ``PhotoError`` where it is no usable photo.
        """
        inspection = self._look(photo)
        return self.search(inspection, progress) if scan else inspection

    def search(self, inspection: Inspection, progress: Progress | None = None) -> Inspection:
        """The photo of an inspection searched at its own resolution; see ``scan``.

        ``progress`` is called with the pixels seen and those to see; what it raises ends the
        search, and is raised on. A photo that is seen well enough as a whole is left as it is.
        """
        scan = self.begin_scan(inspection)
        try:
            while not scan.finished:
                scan.step()
                if progress:
                    progress(scan.done_px, scan.total_px)
        finally:
            scan.release_memory()
        return self.finish_scan(inspection, scan)

    def begin_scan(self, inspection: Inspection) -> Scan:
        """The search of an inspection's photo, for who wants to do its steps himself."""
        return Scan(self.classifier, inspection.photo.pixels)

    def finish_scan(self, inspection: Inspection, scan: Scan) -> Inspection:
        """What the inspection became by a scan that is ``finished``.

        From the evidence of each scale is taken what chance may have added to it
        (``Classifier.allowance``). Then the strongest window of any decides, so that a search can
        find a crack and never takes one back. With weights that have nothing fitted for it, the
        verdict stays that of the looks at the whole.
        """
        if not scan.evidence:
            return inspection
        inspection = inspection.whole or inspection  # a search goes on from the looks at the whole
        classifier, cells_once = self.classifier, inspection.heat.size
        evidence = [
            found - np.float32(classifier.allowance(found, cells_once)) for found in scan.evidence
        ]
        probability = inspection.probability
        if self.card.window_scale and self.card.window_scale.deduction is not None:
            known, likeness = inspection.known_surface, inspection.likeness
            looks = (Look(found, known, likeness=likeness) for found in evidence)
            probabilities = (classifier.probability(look, in_windows=True) for look in looks)
            probability = max(probability, *probabilities)
        scales = tuple(to_heat(found, self.card.heat_scale) for found in evidence)
        return replace(
            inspection,
            verdict=classifier.verdict(probability),
            probability=probability,
            heat=join_scales([inspection.heat, *scales]),
            scales=scales,
            traces=tuple(scan.traces),
            whole=inspection,
            seconds=inspection.seconds + scan.seconds,
        )

    def _look(self, photo: str | Path | bytes | Photo) -> Inspection:
        start = time.perf_counter()
        photo = _to_photo(photo)
        large = large_input_size(photo.size) if self.card.window_scale else None
        look = look_twice(self.classifier.look, photo.pixels, large or FIRST_LOOK_SIZE)
        probability = self.classifier.probability(look, in_windows=large is not None)
        return Inspection(
            photo=photo,
            verdict=self.classifier.verdict(probability),
            probability=probability,
            heat=to_heat(look.evidence, self.card.heat_scale),
            scale=self.card.heat_scale,
            seconds=time.perf_counter() - start,
            model_name=self.card.name,
            model_sha256=self.card.sha256,
            known_surface=look.known_surface,
            traces=() if look.trace is None else (look.trace,),
            likeness=look.likeness,
            class_maps=look.class_maps,
        )


def _to_photo(photo: str | Path | bytes | Photo) -> Photo:
    if isinstance(photo, Photo):
        return photo
    if isinstance(photo, bytes):
        return decode_photo(photo)
    return read_photo(Path(photo))


_shared: Inspector | None = None
_loading = Lock()


def inspect(
    photo: str | Path | bytes | Photo, *, scan: bool = False, progress: Progress | None = None
) -> Inspection:
    """``Inspector.inspect`` with one inspector for the whole process, loaded at the first call.

    Raises ``PhotoError`` for the photo, ``WeightsError`` or ``CrackError`` for the model.
    """
    global _shared
    with _loading:
        if _shared is None:
            _shared = Inspector.load()
    return _shared.inspect(photo, scan=scan, progress=progress)
