"""Constants and environment settings, in one place.

Environment variables
---------------------
CRACKLIB_ENGINE         ``openvino`` (default) or ``tensorflow``: what runs the network.
CRACKLIB_WEIGHTS        weights file to serve instead of the bundled one.
CRACKLIB_ALLOWED_HOSTS  comma-separated host names that may be downloaded from although their
                        address is not public (an intranet, a test server).
CRACKLIB_STORE          folder for the private folders of sessions, instead of one beside the other
                        temporary files. It must belong to the account that the server runs under.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

LABELS = ("no_crack", "crack")
INPUT_SIZE = (224, 224)
"""Height and width in pixels that the network was made for, and of the pictures it trains on. A
small photo is looked at larger and smaller; see ``looks``."""
LARGE_PHOTO_PX = 448
"""A photo with more on its longer side is seen larger, and in windows."""
LARGE_INPUT_SIDE_PX = 336
"""The square whose area the input has for such a photo."""
WINDOW_CELLS = 7
"""Side of a window, in cells of the feature map: a third of the large square."""

STARTS = ("imagenet", "hed", "bundled")
"""Weights a training run can start from."""
OPTIMIZERS = ("adam", "sgd")
AUGMENTATIONS = ("none", "article", "strong", "rendered")
"""How photos are changed before they are trained on; see ``recipes.Recipe``."""

MIN_SIDE_PX = 32
MAX_PIXELS = 60_000_000
MAX_SIDE_PX = 65_500
"""Of a JPEG file that can be written."""
MAX_FILE_BYTES = 512 * 1024 * 1024
"""Enough for an uncompressed 60-megapixel photo of 16 bits a channel."""
MAX_DOWNLOAD_BYTES = 20 * 1024 * 1024
DOWNLOAD_TIMEOUT_S = 10.0
MAX_REDIRECTS = 3

SESSION_UNUSED_S = 24 * 3600.0
"""A session's folder is deleted when it was not used for so long."""
MAX_SESSION_BYTES = 4 * 1024**3
"""Uploads, trained models and the cached features of runs, all together, when more is stored or a
run begins; what that run caches may go beyond."""
MIN_FREE_DISK_BYTES = 1024**3
"""Nothing is stored, started or cached that would leave less."""

MAX_SET_PHOTOS = 5000
"""In one person's set of labelled photos; on two cores an epoch over so many takes minutes."""
MAX_SET_BYTES = 1024**3
"""Of a set's files, and of all that is in a zip, unpacked."""
MAX_ZIP_ENTRIES = 3 * MAX_SET_PHOTOS
"""Folders and the hidden files of macOS come on top of the photos."""
MAX_ZIP_RATIO = 100
"""Unpacked to packed bytes. Photos are packed already and come to 1; drawings in BMP to 20."""
DOWNLOAD_THREADS = 4
NEAR_DUPLICATE_BITS = 6
"""Perceptual hashes of one photo saved twice differ in at most so many of their 64 bits."""
MIN_PHOTOS_PER_CLASS = 10
VALIDATION_SHARE = 0.2
MIN_VALIDATION_PER_CLASS = 2

DEFAULT_OPACITY = 0.35
DEFAULT_COLORMAP = "jet"
HEAT_MAPS = ("crack", "activation", "article")
"""What heat can be drawn as: refined to the crack, the plain class activation map, or the article's
of the class that the verdict names."""
DEFAULT_HEAT_MAP = "crack"
DISPLAY_THRESHOLD = 0.25
"""Heat below this is not drawn by app and command line, so that a clean wall looks clean."""

WEIGHTS_DIR = Path(__file__).resolve().parent.parent / "weights"
BUNDLED_WEIGHTS = WEIGHTS_DIR / "wall_crack_vgg16.safetensors"
SURFACE_READOUT = WEIGHTS_DIR / "surface.json"
"""What tells a known surface from anything else; see ``surface``."""
TRACERS = WEIGHTS_DIR / "tracer.safetensors", WEIGHTS_DIR / "early_tracer.safetensors"
"""What follows cracks on the network's feature maps, all or the first; see ``tracer``."""


def engine_name() -> str:
    """Name of the inference engine asked for, in lower case."""
    return (os.environ.get("CRACKLIB_ENGINE") or "openvino").strip().lower()


def weights_path() -> Path:
    """The weights file to serve."""
    return Path(os.environ.get("CRACKLIB_WEIGHTS") or BUNDLED_WEIGHTS)


def allowed_hosts() -> frozenset[str]:
    """Host names, in lower case, exempt from the public-address rule."""
    names = os.environ.get("CRACKLIB_ALLOWED_HOSTS", "").split(",")
    return frozenset(name.strip().lower() for name in names if name.strip())


def store_root() -> Path:
    """The folder that holds the private folders of sessions."""
    own = Path(tempfile.gettempdir()) / f"wall-crack-inspector-{os.getuid()}"
    return Path(os.environ.get("CRACKLIB_STORE") or own).absolute()
