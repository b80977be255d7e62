"""Sound surfaces to train on, from the free textures of games.

``python weights/collect_surfaces.py DATA OUT`` makes OUT a folder that ``python -m cracklib train``
takes: the photos of DATA, linked, and beside them, as uncracked, the surfaces that ``surfaces.csv``
names: walls, pavings, cobbles, tiles, planks and roofs from Debian packages, none of them under the
GPL, each looked at and found without a crack. ``portraits`` in OUT is for ``fit_surface.py``:
pictures of what is no wall. Needs Debian 12 or a system that has its packages
(``apt-get download``), 3 GB of room and a few minutes. Nothing of the packages is run.
"""

import csv
import subprocess
import sys
import zipfile
from collections import defaultdict
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from PIL import Image

LIST = Path(__file__).with_name("surfaces.csv")
SIDE_PX = 640
ZIPPED = {"0ad-data": "usr/share/games/0ad/mods/public/public.zip"}
"""Packages whose paths are those inside a zip."""
PORTRAITS = "art/textures/ui/session/portraits/[gu]*/*.dds"
"""Of animals, plants, people and things: gaia and units of 0 A.D."""


def main() -> None:
    """Link the photos, then unpack one package after the other."""
    data, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    for label in ("crack", "no_crack"):
        (out / "train" / label).mkdir(parents=True, exist_ok=True)
        for photo in (data / "train" / label).iterdir():
            _link(out / "train" / label / photo.name, photo)
    _link(out / "val", data / "val")

    wanted = defaultdict(list)
    with LIST.open() as rows:
        for row in csv.DictReader(rows):
            wanted[row["package"]].append((row["name"], row["path"]))
    for package, surfaces in wanted.items():
        print(f"{package}: {len(surfaces)} surfaces")
        with TemporaryDirectory() as folder:
            root = _unpack(package, Path(folder), [path for _, path in surfaces])
            for name, path in surfaces:
                _save(root / path, out / "train" / "no_crack" / f"{name}.jpg")
            for portrait in sorted(root.glob(PORTRAITS)):
                _save(portrait, out / "portraits" / f"{portrait.parent.name}-{portrait.stem}.jpg")


def _link(link: Path, target: Path) -> None:
    if not link.is_symlink():
        link.symlink_to(target)


def _unpack(package: str, folder: Path, paths: list[str]) -> Path:
    """Where ``paths`` of the package lie once it is downloaded and unpacked."""
    subprocess.run(["apt-get", "download", package], cwd=folder, check=True)  # noqa: S603, S607
    [archive] = folder.glob("*.deb")
    subprocess.run(["dpkg", "-x", archive, folder], check=True)  # noqa: S603, S607
    if package not in ZIPPED:
        return folder
    with zipfile.ZipFile(folder / ZIPPED[package]) as zipped:
        names = zipped.namelist()
        paths = [*paths, *(name for name in names if PurePosixPath(name).match(PORTRAITS))]
        zipped.extractall(folder / "unzipped", paths)
    return folder / "unzipped"


def _save(texture: Path, photo: Path) -> None:
    photo.parent.mkdir(exist_ok=True)
    with Image.open(texture) as image:
        rgb = image.convert("RGB")
    rgb.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    rgb.save(photo, quality=92)


if __name__ == "__main__":
    main()
