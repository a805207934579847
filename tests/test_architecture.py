"""The tree is the architecture: who may import whom, drawn from the source and checked."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "llmreq"
ROOT = Path(__file__).resolve().parent.parent / PACKAGE

CONTRACT = {"errors", "limits"}
SETTINGS = {*CONTRACT, "settings", "provider_settings"}
PURE = {"wire", "check", "text", "merge", "agent"}
BELOW = {*SETTINGS, *PURE, "database"}
MIDDLE = {"producer", "documents", "reports", "governor"}

MAY_IMPORT: Mapping[str, set[str]] = {
    "errors": set(),
    "limits": set(),
    "settings": {*CONTRACT, "provider_settings"},
    "provider_settings": CONTRACT,
    **{room: {*CONTRACT, *PURE} for room in PURE},
    "database": SETTINGS,
    **{room: {*BELOW, *MIDDLE} for room in MIDDLE},
    "worker": {*BELOW, *MIDDLE},
    "simulator": {*CONTRACT, *PURE},
    "web": {*BELOW, *MIDDLE},
    "demo": {*BELOW, *MIDDLE, "simulator"},
    "cli": {*BELOW, *MIDDLE, "worker", "simulator", "demo", "web"},
    "__main__": {"cli"},
}
"""Rooms (a folder, or a module at the top) and whom they may import besides themselves: never upwards."""

DOES_IO = {
    *(
        "aiohttp",
        "alembic",
        "asyncio",
        "ftplib",
        "http",
        "httpx",
        "multiprocessing",
        "os",
        "pathlib",
        "platformdirs",
    ),
    *(
        "psycopg",
        "pyreqwest",
        "requests",
        "select",
        "selectors",
        "shutil",
        "signal",
        "smtplib",
        "socket",
        "sqlalchemy",
    ),
    *("sqlite3", "ssl", "subprocess", "tempfile", "urllib.request", "urllib3", "uvloop"),
}
CALLS_DO_IO = {"open", "print", "input"}
MAY_READ = {"text.tokens": {"os", "pathlib"}}
"""Where a tokenizer's data lies is asked once, at start."""

Graph = dict[str, set[str]]
"""Module to the modules it imports, all as dotted names: `llmreq.wire.outcome`, or `httpx` for others'."""


def test_no_import_runs_upwards() -> None:
    assert upward_arrows(draw(ROOT)) == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert cycle(draw(ROOT)) == []


def test_the_pure_rooms_do_no_io() -> None:
    assert list(io_in_pure_rooms(ROOT)) == []


def test_every_room_has_its_place() -> None:
    rooms = {room_of(module) for module in draw(ROOT)} - {""}
    assert rooms <= MAY_IMPORT.keys(), "say in MAY_IMPORT whom the new room may import"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from llmreq.worker.main import run", ["wire.a -> worker"]),
        ("import llmreq.cli.main", ["wire.a -> cli"]),
        ("from llmreq import database", ["wire.a -> database"]),
        ("from ..database import connection", ["wire.a -> database"]),
        ("def f():\n    from llmreq.settings import Settings", ["wire.a -> settings"]),
        ("from llmreq import Client", ["wire.a -> the package itself"]),
        ("from llmreq import __version__", []),
        ("from llmreq.check import decode", []),
    ],
)
def test_an_arrow_upwards_is_found(tmp_path: Path, source: str, expected: list[str]) -> None:
    assert upward_arrows(draw(_tree(tmp_path, {"wire/a.py": source}))) == expected


def test_a_cycle_is_found(tmp_path: Path) -> None:
    tree = {"wire/a.py": "from llmreq.check import b", "check/b.py": "from llmreq.wire.a import x"}
    assert set(cycle(draw(_tree(tmp_path, tree)))) == {"llmreq.check.b", "llmreq.wire.a"}


@pytest.mark.parametrize(
    "source",
    [
        "import httpx",
        "from urllib.request import urlopen",
        "from urllib import request",
        "open('x')",
        "print(1)",
    ],
)
def test_io_in_a_pure_room_is_found(tmp_path: Path, source: str) -> None:
    assert len(list(io_in_pure_rooms(_tree(tmp_path, {"text/a.py": source, "worker/a.py": source})))) == 1


def draw(root: Path) -> Graph:
    """The import graph of a package's source; imports inside functions count as well."""
    modules = {_name_of(path, root): path for path in root.rglob("*.py")}
    return {name: set(_imports(name, path, modules.keys())) for name, path in modules.items()}


def room_of(module: str) -> str:
    """`llmreq.wire.outcome` is in `wire`, `llmreq.errors` in `errors`, the package itself in none."""
    return module.split(".")[1] if "." in module else ""


def upward_arrows(graph: Graph) -> list[str]:
    found = []
    for module, imported in sorted(graph.items()):
        room = room_of(module)
        if not room:
            continue  # the package itself offers the public names
        for other in sorted(each for each in imported if each.split(".")[0] == PACKAGE):
            target = room_of(other)
            if target != room and target not in MAY_IMPORT.get(room, set()):
                found.append(f"{module.removeprefix(f'{PACKAGE}.')} -> {target or 'the package itself'}")
    return found


def cycle(graph: Graph) -> list[str]:
    try:
        TopologicalSorter({module: imported & graph.keys() for module, imported in graph.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def io_in_pure_rooms(root: Path) -> Iterator[str]:
    for module, imported in draw(root).items():
        if room_of(module) in PURE:
            short = module.removeprefix(f"{PACKAGE}.")
            for other in sorted(imported):
                parts = other.split(".")
                named = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
                if named & DOES_IO - MAY_READ.get(short, set()):
                    yield f"{short} imports {other}"
    for room in PURE & {path.name for path in root.iterdir()}:
        for path in (root / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Name)
                    and node.func.id in CALLS_DO_IO
                ):
                    yield f"{path.relative_to(root)}:{node.lineno} calls {node.func.id}()"


def _name_of(path: Path, root: Path) -> str:
    parts = [PACKAGE, *path.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(module: str, path: Path, known: Collection[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, is_package=path.name == "__init__.py")
            for alias in node.names:
                # From a package a module may be imported, from a module only a name in it.
                name = f"{base}.{alias.name}"
                if name in known or base.split(".")[0] != PACKAGE:
                    yield name
                elif name != f"{PACKAGE}.__version__":
                    yield base


def _absolute(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _tree(folder: Path, files: Mapping[str, str]) -> Path:
    """A package with every room in it, and these files."""
    for room in ("wire", "check", "text", "worker", "cli", "database"):
        (folder / room).mkdir()
        (folder / room / "__init__.py").touch()
    modules = ("settings", "worker/main", "cli/main", "database/connection", "check/decode")
    for name in ("__init__.py", *(f"{module}.py" for module in modules)):
        (folder / name).touch()
    for name, source in files.items():
        (folder / name).write_text(source)
    return folder
