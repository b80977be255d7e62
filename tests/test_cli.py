import errno
import json
import os
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest

from cracklib.__main__ import main
from cracklib.classifier import Classifier
from cracklib.errors import TrainingError
from cracklib.photo import encode_png, read_photo
from cracklib.pipeline import Inspector
from cracklib.recipes import RECIPES, resolve_recipe
from cracklib.scale import render_marker
from cracklib.types import Photo
from tests.tiny import TINY_HEAD, make_card, tiny_dense_engine


@pytest.fixture(autouse=True)
def _tiny_network(inspector, monkeypatch):
    monkeypatch.setattr(Inspector, "load", lambda path=None: inspector)


@pytest.fixture
def folder(tmp_path, save_photo, clean_wall, dark_corner):
    """Three photos, two of one stem, a text file, and the litter macOS leaves on memory cards."""
    save_photo(dark_corner, tmp_path / "walls" / "b" / "wall.png")
    save_photo(clean_wall, tmp_path / "walls" / "a" / "wall.png")
    save_photo(clean_wall, tmp_path / "walls" / "z.png")
    (tmp_path / "walls" / "notes.txt").write_text("no photo")
    (tmp_path / "walls" / "._z.png").write_bytes(b"litter")
    return tmp_path / "walls"


def test_one_line_a_photo(folder, capsys):
    assert main(["inspect", str(folder / "z.png"), str(folder / "b" / "wall.png")]) == 0
    clean, crack = capsys.readouterr().out.splitlines()
    assert clean.startswith(f"{folder / 'z.png'}: no crack, probability of a crack 0.")
    assert f"{folder / 'b' / 'wall.png'}: crack, probability" in crack
    assert crack.endswith(" s")


def test_an_unsure_verdict_says_why(tmp_path, save_photo, capsys):
    path = save_photo(Photo(np.zeros((64, 80, 3), np.uint8)), tmp_path / "night.png")
    main(["inspect", str(path)])
    assert "unsure: The photo is too dark. Photograph it with more light" in capsys.readouterr().out
    main(["inspect", "--json", str(path)])
    assert json.loads(capsys.readouterr().out)[0]["doubts"] == ["dark"]


def test_folders_are_searched_in_order(folder, capsys):
    assert main(["inspect", str(folder)]) == 0
    names = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [str(folder / name) for name in ("a/wall.png", "b/wall.png", "z.png")]


def test_an_unreadable_photo_does_not_stop_the_rest(folder, capsys):
    photos = [folder / "notes.txt", folder / "gone.png", folder / "z.png"]
    assert main(["inspect", *map(str, photos)]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert "notes.txt" in captured.err
    assert "gone.png" in captured.err


def test_empty_folder(tmp_path, capsys):
    assert main(["inspect", str(tmp_path)]) == 1
    assert f"No photos in {tmp_path}" in capsys.readouterr().err


def test_overlays_never_overwrite(folder, tmp_path, dark_corner, inspector):
    out = tmp_path / "new" / "out"
    assert main(["inspect", str(folder), "--out", str(out), "--threshold", "0"]) == 0
    assert main(["inspect", str(folder / "z.png"), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "wall-overlay-2.png",
        "wall-overlay.png",
        "z-overlay-2.png",
        "z-overlay.png",
    ]
    expected = inspector.inspect(dark_corner).overlay(0.35, "jet", 0.0)
    np.testing.assert_array_equal(read_photo(out / "wall-overlay-2.png").pixels, expected)


def test_a_folder_inspected_again_has_no_more_photos_than_before(folder, capsys):
    (folder / ".thumbnails").mkdir()
    shutil.copy(folder / "z.png", folder / ".thumbnails" / "z.png")
    for out in (folder, folder / "overlays"):
        for _ in range(2):
            assert main(["inspect", str(folder), "--out", str(out), "--json"]) == 0
            names = [Path(record["photo"]).name for record in json.loads(capsys.readouterr().out)]
            assert sorted(names) == ["wall.png", "wall.png", "z.png"]
        for path in folder.rglob("*-overlay*.png"):
            path.unlink()


def test_what_was_found_is_told_though_the_disk_is_full(folder, tmp_path, monkeypatch, capsys):
    write, written = Path.write_bytes, []

    def fill_up(path, data):
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    assert main(["inspect", str(folder), "--out", str(tmp_path / "out"), "--json"]) == 1
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 1
    assert "No space left" in captured.err


def test_names_that_are_no_text_or_very_long_are_photos_too(folder, tmp_path):
    wall = (folder / "z.png").read_bytes()
    for name in (b"caf\xe9.png", "裂".encode() * 83 + b".png"):
        (folder / os.fsdecode(name)).write_bytes(wall)
    command = "import sys; from cracklib.__main__ import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", command, "inspect", folder, "--out", tmp_path / "out"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        check=False,
    )
    assert done.stderr == b""
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 5
    assert len(list((tmp_path / "out").iterdir())) == 5


@pytest.mark.parametrize("command", ["inspect", "evaluate"])
def test_a_path_that_can_not_even_be_looked_for(command, capsys):
    assert main([command, 300 * "x"]) == 1
    assert 300 * "x" in capsys.readouterr().err


def test_overlay_options(folder, tmp_path, dark_corner, inspector):
    photo = str(folder / "b" / "wall.png")
    options = ["--opacity", "0.8", "--colormap", "magma", "--threshold", "0.5"]
    options += ["--heat", "activation"]
    assert main(["inspect", photo, "--out", str(tmp_path), *options]) == 0
    expected = inspector.inspect(dark_corner).overlay(0.8, "magma", 0.5, "activation")
    np.testing.assert_array_equal(read_photo(tmp_path / "wall-overlay.png").pixels, expected)


def test_a_clean_wall_stays_clean_by_default(folder, tmp_path, clean_wall):
    main(["inspect", str(folder / "z.png"), "--out", str(tmp_path)])
    overlay = read_photo(tmp_path / "z-overlay.png").pixels
    np.testing.assert_array_equal(overlay, clean_wall.pixels)


def test_out_that_is_a_file(folder, capsys):
    assert main(["inspect", str(folder / "z.png"), "--out", str(folder / "notes.txt")]) == 1
    assert "Give --out a folder" in capsys.readouterr().err


def test_json_is_one_array(folder, tmp_path, capsys):
    arguments = [str(folder / "b"), str(folder / "gone.png"), "--json", "--out", str(tmp_path)]
    assert main(["inspect", *arguments]) == 1
    [record] = json.loads(capsys.readouterr().out)
    assert record["photo"] == str(folder / "b" / "wall.png")
    assert record["verdict"] == "crack"
    assert 0.5 < record["probability"] <= 1
    assert (record["height_px"], record["width_px"]) == (60, 90)
    assert Path(record["overlay"]).is_file()
    assert record["model"] == "tiny"


@pytest.fixture
def bar_photo(tmp_path, save_photo):
    """A light wall with a black bar, 168 × 28 px, in one row of the tiny network's cells."""
    pixels = np.full((224, 224, 3), 140, np.uint8)
    pixels[140:168, 28:196] = 0
    return save_photo(Photo(pixels, "bar.png"), tmp_path / "bar.png")


def test_measure_in_pixels(bar_photo, capsys):
    assert main(["measure", str(bar_photo)]) == 0
    verdict, header, _, row = capsys.readouterr().out.splitlines()
    assert verdict.startswith(f"{bar_photo}: ")
    assert "length, px" in header
    number, length, mean, widest, angle, branches, *_ = row.split()
    assert (number, angle.rstrip("°"), branches) == ("1", "0", "0")
    assert float(length) == pytest.approx(168, abs=5)
    assert float(mean) == pytest.approx(28, abs=1)
    assert float(widest) == pytest.approx(28, abs=2)


def test_measure_in_millimetres_says_the_class_as_an_indication(bar_photo, capsys):
    assert main(["measure", str(bar_photo), "--mm-per-px", "0.5"]) == 0
    _, header, _, row, _, note = capsys.readouterr().out.splitlines()
    assert "length, mm" in header
    assert float(row.split()[1]) == pytest.approx(84, abs=3)
    assert row.endswith("up to 15 mm")
    assert note.startswith("1 px = 0.5 mm. ")
    assert "indication" in note


def test_measure_by_a_marker(tmp_path, save_photo, capsys):
    pixels = np.full((448, 448, 3), 140, np.uint8)
    pixels[280:336, 56:392] = 0
    pixels[20:170, 20:170] = render_marker(100)
    photo = save_photo(Photo(pixels, "wall.png"), tmp_path / "wall.png")
    assert main(["measure", str(photo), "--marker-mm", "50"]) == 0
    assert "1 px = 0.5" in capsys.readouterr().out


def test_measure_without_the_marker_it_was_told_of(bar_photo, capsys):
    assert main(["measure", str(bar_photo), "--marker-mm", "50"]) == 1
    assert "No ArUco marker" in capsys.readouterr().err


def test_measure_writes_files_for_other_tools(bar_photo, tmp_path, capsys):
    files = {name: tmp_path / f"cracks.{name}" for name in ("csv", "geojson", "coco")}
    options = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    assert main(["measure", str(bar_photo), *options]) == 0
    header, row = files["csv"].read_text().splitlines()
    assert len(header.split(",")) == len(row.split(","))
    collection = json.loads(files["geojson"].read_text())
    assert [f["properties"]["part"] for f in collection["features"]] == ["outline", "centreline"]
    coco = json.loads(files["coco"].read_text())
    assert coco["images"][0]["file_name"] == "bar.png"
    assert len(coco["annotations"]) == 1


def test_measure_a_clean_wall(folder, capsys):
    assert main(["measure", str(folder / "z.png")]) == 0
    assert "Nothing to measure" in capsys.readouterr().out


def test_measure_says_where_it_can_not_write_and_what_it_found(bar_photo, tmp_path, capsys):
    missing = tmp_path / "gone" / "cracks.csv"
    assert main(["measure", str(bar_photo), "--csv", str(missing)]) == 1
    captured = capsys.readouterr()
    assert f"Can't write {missing}" in captured.err
    assert "mean width" in captured.out


def test_urls(dark_corner, monkeypatch, capsys):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            self.wfile.write(encode_png(dark_corner.pixels))

        def log_message(self, *_):
            pass

    monkeypatch.setenv("CRACKLIB_ALLOWED_HOSTS", "127.0.0.1")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/wall.png"
        status = main(["inspect", url])
        server.shutdown()
    captured = capsys.readouterr()
    assert status == 0, captured.err
    assert captured.out.startswith(f"{url}: crack")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required"),
        (["inspect"], "PHOTO"),
        (["inspect", "x.png", "--opacity", "1.5"], "'1.5' is not a number from 0 to 1"),
        (["inspect", "x.png", "--threshold", "nan"], "'nan' is not a number from 0 to 1"),
        (["inspect", "x.png", "--colormap", "rainbow"], "invalid choice"),
        (["train", "--data", "d", "--out", "w.h5"], "w.h5 does not end in .safetensors"),
        (
            ["train", "--data", "d", "--out", "w.safetensors", "--epochs", "0"],
            "'0' is not a whole number from 1 up",
        ),
        (
            ["train", "--data", "d", "--out", "w.safetensors", "--seed", str(2**32)],
            "'4294967296' is not a whole number from 0 to 4294967295",
        ),
    ],
)
def test_wrong_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_evaluate(tmp_path, save_photo, clean_wall, dark_corner, capsys):
    for number in range(2):
        save_photo(dark_corner, tmp_path / "crack" / f"brick-{number}.png")
        save_photo(clean_wall, tmp_path / "no_crack" / f"brick-{number}.png")
    assert main(["evaluate", str(tmp_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["model"] == "tiny"
    assert "brick" in result["verdicts"]
    out = tmp_path / "measured" / "verdicts.json"
    assert main(["evaluate", str(tmp_path), "--out", str(out)]) == 0
    assert "brick" in capsys.readouterr().out
    assert json.loads(out.read_text()) == result
    assert main(["evaluate", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_evaluate_a_folder_of_neither_kind(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path)]) == 1
    assert "crack/" in capsys.readouterr().err


def fake_training(monkeypatch, train):
    """In the place of the module that imports TensorFlow."""
    monkeypatch.setitem(sys.modules, "cracklib.training", SimpleNamespace(train=train))


def test_train_leaves_to_the_recipe_what_is_not_given(monkeypatch):
    calls = []
    fake_training(monkeypatch, lambda *args, **options: calls.append((args, options)))
    paths = ["--data", "data", "--out", "weights/mine.safetensors"]
    assert main(["train", *paths]) == 0
    options = "--recipe article --start hed --trainable block5 --epochs 3 --batch-size 8"
    options += " --optimizer adam --learning-rate 1e-3 --augmentation strong --class-weights"
    options += " --patience 2 --seed 7 --without b"
    assert main(["train", *paths, *options.split()]) == 0
    given = (Path("data"), Path("weights/mine.safetensors"))
    changed = resolve_recipe(
        "article",
        **{"start": "hed", "trainable": "block5", "epochs": 3, "batch_size": 8},
        **{"optimizer": "adam", "learning_rate": 1e-3, "augmentation": "strong"},
        **{"class_weights": True, "patience": 2},
    )
    assert calls == [
        ((*given, RECIPES["default"]), {"seed": 0, "without": [], "report": None}),
        ((*given, changed), {"seed": 7, "without": ["b"], "report": None}),
    ]


def test_train_writes_its_progress_and_can_be_stopped(monkeypatch, tmp_path):
    class StopTraining(Exception):  # noqa: N818 (as StopIteration)
        pass

    def train(*_, report, **__):
        report({"event": "epoch", "epoch": 1})
        report({"event": "step", "step": 1})
        (tmp_path / "stop").touch()
        with pytest.raises(StopTraining):
            report({"event": "features", "done": 1, "total": 2})
        raise TrainingError("Too few photos.")

    module = SimpleNamespace(train=train, StopTraining=StopTraining)
    monkeypatch.setitem(sys.modules, "cracklib.training", module)
    progress = tmp_path / "progress.jsonl"
    options = ["--data", "data", "--out", "mine.safetensors", "--progress", str(progress)]
    assert main(["train", *options]) == 1
    events = [json.loads(line) for line in progress.read_text().splitlines()]
    assert events[0] == {"event": "epoch", "epoch": 1}
    assert events[-1] == {"event": "failed", "message": "Too few photos."}


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [(TrainingError("Too few photos."), 1, "Too few photos.\n"), (KeyboardInterrupt(), 130, "")],
)
def test_failures_end_without_a_traceback(error, status, message, monkeypatch, capsys):
    def train(*_, **__):
        raise error

    fake_training(monkeypatch, train)
    assert main(["train", "--data", "d", "--out", "w.safetensors"]) == status
    assert capsys.readouterr().err == message


@pytest.mark.slow
def test_a_reader_that_goes_away_gets_no_traceback(bundled_weights):
    command = [sys.executable, "-m", "cracklib", "inspect", "ui/samples"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.fixture
def thin_line(tmp_path, save_photo, monkeypatch):
    """A wall of 1500x1600 px with a line of 10, which one look can't make out, and a network that
    finds dark places.
    """
    dense = Inspector(Classifier(tiny_dense_engine, TINY_HEAD, make_card()))
    monkeypatch.setattr(Inspector, "load", lambda path=None: dense)
    pixels = np.full((1500, 1600, 3), 150, np.uint8)
    pixels[704:714, 400:800] = 0
    return str(save_photo(Photo(pixels), tmp_path / "line.png"))


def test_a_scan_searches_a_large_photo(thin_line, capsys):
    for options, searched in (([], False), (["--scan"], True)):
        assert main(["inspect", thin_line, "--json", *options]) == 0
        [record] = json.loads(capsys.readouterr().out)
        assert record["searched"] == searched


def test_a_scan_measures_what_one_look_does_not_see(thin_line, capsys):
    assert main(["measure", thin_line]) == 0
    assert "Nothing to measure" in capsys.readouterr().out
    assert main(["measure", thin_line, "--scan"]) == 0
    assert "Nothing to measure" not in capsys.readouterr().out
