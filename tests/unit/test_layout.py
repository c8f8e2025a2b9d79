"""What docs/architecture.md promises about the modules, checked in their source."""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORTED_AS = {  # where a library's name is not that of its package
    "babel": "Babel",
    "css_inline": "css-inline",
    "dns": "dnspython",
    "email_validator": "email-validator",
    "flufl": "flufl.bounce",
    "imap_tools": "imap-tools",
    "jinja2": "Jinja2",
    "markdown_it": "markdown-it-py",
    "PIL": "Pillow",
    "procrastinate": "Procrastinate",
    "pydantic_core": "pydantic",
    "python_calamine": "python-calamine",
    "starlette": "Starlette",
    "typer": "Typer",
    "yaml": "PyYAML",
}


@cache
def trees() -> dict[str, ast.Module]:
    """Each module by its path, parsed; not while tests are collected, which each process does."""
    return {
        path.relative_to(ROOT / "petition").as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "petition").rglob("*.py"))
    }


def read_table() -> dict[str, list[str]]:
    """The paths where each library of the table may be imported."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    section = text.partition("## Libraries")[2].partition("\n## ")[0]
    found = {}
    for row in re.findall(r"^\| (.*) \|$", section, re.MULTILINE)[1:]:
        names, _, where = row.split(" | ")
        for name in re.sub(r" \(.*?\)", "", names).split(", "):
            found[name] = re.findall(r"`([\w./]+)`", where)
    return found


def find_imports() -> dict[str, set[str]]:
    """The modules that import each library, and those that import sqlite3."""
    found = defaultdict(set)
    for path, tree in trees().items():
        for node in ast.walk(tree):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in (name.partition(".")[0] for name in names):
                if name == "sqlite3" or name not in {*sys.stdlib_module_names, "petition"}:
                    found[IMPORTED_AS.get(name, name)].add(path)
    return found


def test_a_library_is_imported_only_where_the_architecture_says():
    table = read_table()
    for library, modules in find_imports().items():
        places = table[library]
        stray = [one for one in sorted(modules) if not one.startswith(tuple(places))]
        assert stray == [], library
        assert all(any(path.startswith(one) for path in modules) for one in places), library


def test_the_layers_are_those_of_the_architecture():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    section = text.partition("\n## Layers")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [contract] = [one for one in settings["tool"]["importlinter"]["contracts"] if "layers" in one]
    assert [re.findall(r"`(\w+)", row) for row in rows] == [
        layer.split(" | ") for layer in contract["layers"]
    ]


def test_a_public_class_or_type_has_a_name_of_its_own():
    found = defaultdict(list)
    for path, tree in trees().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                found[node.name].append(path)
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            for name in (one.id for one in targets if isinstance(one, ast.Name)):
                if name[0].isupper() and not name.isupper():
                    found[name].append(path)
    twice = {name: paths for name, paths in found.items() if len(paths) > 1 and name[0] != "_"}
    assert twice == {}


def test_only_the_package_for_it_knows_systems_apart():
    of_one_system = {
        *("fcntl", "grp", "msvcrt", "posix", "pwd", "resource", "termios", "tty", "winreg"),
        *("nt", "_winapi"),
    }
    asks = {("os", "name"), ("os", "uname"), ("sys", "platform"), ("platform", "system")}
    found = []
    for path, tree in trees().items():
        if path.startswith("system/"):
            continue
        for node in ast.walk(tree):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [(path, one) for one in names if one in of_one_system]
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found += [(path, node.attr)] if (node.value.id, node.attr) in asks else []
    assert found == []
