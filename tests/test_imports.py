"""The house: imports go from a lower line to a higher one only."""

import ast
from pathlib import Path

import jaxgan

ROOT = Path(jaxgan.__file__).parent
ORDER = [
    ["config", "cache"],
    ["game"],
    ["random"],
    ["losses"],
    ["testing"],
    ["nn"],
    ["nets"],
    ["two_player"],
    ["steps"],
    ["dynamics"],
    ["parallel"],
    ["data"],
    ["metrics"],
    ["plots"],
    ["checkpoint"],
    ["run"],
    ["evaluate"],
    ["compare"],
    ["report"],
    ["train"],
    ["cli"],
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


def test_pmap_has_one_home():
    users = {_part(p) for p in ROOT.rglob("*.py") if "jax.pmap(" in p.read_text()}
    assert users == {"parallel"}
