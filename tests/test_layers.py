"""The layering of ARCHITECTURE.md, held by reading every import statement."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = [
    {"architecture", "config", "errors", "types"},
    {"dataset", "download", "intake", "metrics", "overlay", "photo", "preprocess", "report"}
    | {"check_set", "faithfulness", "recipes", "refine", "samples", "synthesis", "views"}
    | {"centreline", "doubts", "export", "measured", "region_view", "regions", "scale"}
    | {"widths"},
    {"calibration", "cam", "classifier", "engines", "features", "model", "timing", "training"}
    | {"looks", "scan", "surface", "tracer", "weights"},
    {"__main__", "comparison", "evaluation", "jobs", "measurement", "pipeline", "store"},
    {"__init__"},
]
FRAMEWORKS = {"h5py", "keras", "openvino", "tensorflow"}
IMAGES = {"PIL", "cv2", "matplotlib", "pillow_heif", "scipy", "skimage"}
PACKAGE = ROOT / "cracklib"
MODULES = sorted(PACKAGE.rglob("*.py"))
PAGES = sorted(
    path
    for pattern in ("streamlit_app.py", "ui/**/*.py", "pages/*.py")
    for path in ROOT.glob(pattern)
)


def imports(path):
    """Dotted names of all that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            if node.module == "cracklib":
                found |= {f"cracklib.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


def packages(path):
    return {name.split(".")[0] for name in imports(path)}


def siblings(path):
    return {name.split(".")[1] for name in imports(path) if name.startswith("cracklib.")}


def module_of(path):
    """The module or subpackage that a file of cracklib belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def layer_of(module):
    for number, names in enumerate(LAYERS):
        if module in names:
            return number
    raise AssertionError(f"cracklib/{module}.py has no place in LAYERS; see ARCHITECTURE.md")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_import_downwards(path):
    layer = layer_of(module_of(path))
    above = {name for name in siblings(path) if layer_of(name) > layer}
    assert not above
    forbidden = {"streamlit", "ui", "pages"}
    if layer <= 1:
        forbidden |= FRAMEWORKS
    if layer == 0:
        forbidden |= IMAGES | {"requests"}
    assert not packages(path) & forbidden


def test_no_cycles():
    graph = {module_of(path): set() for path in MODULES}
    for path in MODULES:
        graph[module_of(path)] |= siblings(path) - {module_of(path)}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_lay_out_and_call(path):
    assert not packages(path) & (FRAMEWORKS | IMAGES)
