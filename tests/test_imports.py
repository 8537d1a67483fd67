"""The house: imports go from a lower line to a higher one only."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jaxgan

ROOT = Path(jaxgan.__file__).parent
ORDER = [
    ["config", "cache"],
    ["signals"],
    ["torch_weights"],
    ["memory", "records", "origin", "recipes"],
    ["game"],
    ["random"],
    ["augment"],
    ["latents"],
    ["losses"],
    ["testing"],
    ["nn"],
    ["nets"],
    ["terms"],
    ["pool"],
    ["two_player"],
    ["steps", "reset"],
    ["dynamics"],
    ["processes"],
    ["parallel"],
    ["data"],
    ["metrics"],
    ["pages"],
    ["plots"],
    ["troubles"],
    ["anomaly"],
    ["kinds"],
    ["checkpoint"],
    ["methods"],
    ["standing"],
    ["run"],
    ["sampling"],
    ["published"],
    ["averages"],
    ["translate"],
    ["projector"],
    ["explorer"],
    ["detector"],
    ["evaluate"],
    ["statistics"],
    ["results"],
    ["compare"],
    ["report"],
    ["export"],
    ["program"],
    ["feed"],
    ["lanes"],
    ["train"],
    ["fitting"],
    ["sweeps"],
    ["cli"],
    ["__main__"],
]
# What works on every kind of data: it takes from `kinds` what that package names, and knows none by itself.
GENERAL = [
    "records",
    "run",
    "checkpoint",
    "evaluate",
    "compare",
    "report",
    "export",
    "program",
    "lanes",
    "train",
    "fitting",
    "statistics",
    "results",
    "sweeps",
    "cli",
]
KINDS = [[p.stem] for p in (ROOT / "kinds").glob("*.py") if p.stem not in ("__init__", "kind")]
OF_IMAGES = [["jaxgan", "data", "load"], ["jaxgan", "data", "sources"]] + [
    ["jaxgan", "metrics", p.stem]
    for p in (ROOT / "metrics").glob("*.py")
    if p.stem not in ("__init__", "score")
]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _part(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _violations(path, part):
    for name in _imports(path):
        words = name.split(".")
        if words[0] == "jaxgan" and len(words) > 1 and words[1] in RANK:
            other = words[1]
            if other != part and RANK[other] >= RANK[part]:
                yield f"{part} imports {other}"
        if part in GENERAL and (
            words[:2] == ["jaxgan", "kinds"] and words[2:3] in KINDS or words[:3] in OF_IMAGES
        ):
            yield f"{part} imports {name}"
        if part == "losses" and words[0] == "flax":
            yield "losses imports flax"
        if part == "nets" and words[:2] == ["jaxgan", "losses"]:
            yield "nets imports losses"


def test_every_part_has_its_place():
    parts = {_part(p) for p in ROOT.rglob("*.py")} - {"__init__"}
    assert parts == set(RANK)


def test_imports_go_upwards():
    files = [p for p in ROOT.rglob("*.py") if _part(p) != "__init__"]
    assert [v for p in files for v in _violations(p, _part(p))] == []


def test_a_downward_import_is_seen(tmp_path):
    wrong = tmp_path / "x.py"
    wrong.write_text("from jaxgan import train\nimport flax\n")
    assert list(_violations(wrong, "losses")) == ["losses imports train", "losses imports flax"]


def test_what_knows_a_kind_of_data_is_seen(tmp_path):
    names = ["anomalies", "domains", "images", "music", "pairs", "points", "records", "sequences"]
    assert sorted(KINDS) == [[name] for name in names]
    wrong = tmp_path / "x.py"
    lines = [
        "from jaxgan.kinds.images import images",
        "from jaxgan.metrics import scores",
        "from jaxgan import kinds",
    ]
    wrong.write_text("\n".join(lines))
    assert list(_violations(wrong, "train")) == [
        "train imports jaxgan.kinds.images.images",
        "train imports jaxgan.metrics.scores",
    ]


@pytest.mark.parametrize("part", GENERAL)
def test_what_is_general_speaks_of_no_image(part):
    """But for a picture's own `add_image`, the alias of an old flag, and a docstring's examples."""
    files = [ROOT / f"{part}.py"] if (ROOT / f"{part}.py").is_file() else sorted((ROOT / part).glob("*.py"))
    files = [file for file in files if file.stem not in ("pictures", "page")]  # charts, as `plots`
    text = "\n".join(file.read_text() for file in files)
    code = ast.unparse(_without_docstrings(ast.parse(text)))
    words = re.findall(r"\w*(?:image|label|n_classes|uint8)\w*", code)
    allowed = {"add_image", "images", "images_split", "label", "Image"}
    assert set(words) <= allowed, set(words) - allowed
    assert "n_classes" not in code


def _without_docstrings(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body[0] = ast.Pass()
    return tree


def test_pmap_has_one_home():
    users = {_part(p) for p in ROOT.rglob("*.py") if "jax.pmap(" in p.read_text()}
    assert users == {"parallel"}


AT_ONCE = """
import sys
from jaxgan import cli
cli.main(["list", sys.argv[1]])
try:
    cli.main(["--help"])
except SystemExit:
    pass
heavy = {"jax", "jaxlib", "flax", "optax", "optuna", "orbax", "scipy", "sklearn", "matplotlib"}
print(*heavy & set(sys.modules))
"""


def test_help_and_lists_wait_for_no_heavy_import(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "damaged" in done.stdout
    assert "usage: jaxgan" in done.stdout
    assert done.stdout.splitlines()[-1] == "", done.stdout.splitlines()[-1]


def test_no_import_asks_jax_for_devices():
    """Several processes have to find each other before anything does."""
    names = [f"experiments.{p.stem}" for p in (ROOT.parent / "experiments").glob("[a-z]*.py")]
    names += [".".join(p.relative_to(ROOT.parent).with_suffix("").parts) for p in ROOT.rglob("*.py")]
    names = sorted(name.removesuffix(".__init__") for name in names if not name.endswith("__main__"))
    code = f"""
import importlib
from jax._src import xla_bridge
for name in {names!r}:
    importlib.import_module(name)
    assert not xla_bridge.backends_are_initialized(), name
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)
