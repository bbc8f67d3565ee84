"""Rules of docs/architecture.md that no single room can keep alone, checked on the source itself."""

from __future__ import annotations

import ast
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PACKAGE = ROOT / "harness"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

BASE = {"errors", "clock", "paths", "environment", "yamlfile", "yamlmodel"}
PLAIN = {"plan.cell", "plan.result", "plan.row", "plan.explained"}
LOW = {"lab", "plan"}
MIDDLE = {"runners", "devices", "reference", "record"}
TOP = {"session", "plugin", "cli", "commands"}

# What each room may import beside itself, `BASE` and `PLAIN`: rooms, or single modules of one.
ALLOWED: dict[str, set[str]] = {
    **{key: set() for key in BASE | {"__init__"}},
    "measure": set(),
    **{key: set() for key in LOW},
    **dict.fromkeys(MIDDLE, LOW | {"measure"}),
    **dict.fromkeys(("localise", "report"), MIDDLE | LOW | {"measure"}),
    "engine": MIDDLE | LOW | {"measure", "localise"},
    # What a release manager signs is made of reports.
    "release": {*MIDDLE, *LOW, "measure", "report"},
    # What the doctor finds is shown by what shows a report.
    "doctor": {*MIDDLE, *LOW, "report.surface", "report.figures"},
    **{key: {"engine", "localise", "report", "release", "doctor", *TOP, *MIDDLE, *LOW, "measure"} for key in TOP},
}
# A runner is told its job's shape and its platform by the seams of these two rooms.
ALLOWED["runners"] = ALLOWED["runners"] | {"devices.base", "devices.local", "reference.inputs"}

DRIVERS = {"adbutils", "tidevice", "tidevice3", "pymobiledevice3", "paramiko", "asyncssh", "fabric"}
LONGEST = 450


def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def room(module: str) -> str:
    """The room of a module: engine for harness.engine.run, clock for harness.clock."""
    return [*module.split("."), "__init__"][1]


def imports(module: str) -> Iterator[str]:
    """Every module that another one imports, deferred imports and those for types included."""
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            name = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{name}.{alias.name}"
                yield inner if inner in MODULES else name


def own_imports(module: str) -> Iterator[str]:
    """Modules of this package that a module imports, as "room.module"."""
    for name in imports(module):
        if name == "harness" or name.startswith("harness."):
            yield name.removeprefix("harness").removeprefix(".") or "__init__"


def test_the_source_was_found() -> None:
    assert {"harness", "harness.plugin", "harness.engine.engine", "harness.plan.cell"} <= set(MODULES)
    assert "plan.cell" in set(own_imports("harness.engine.engine"))
    assert "session.session" in set(own_imports("harness.plugin")), "deferred imports count"


def test_every_room_has_its_place() -> None:
    assert {room(module) for module in MODULES} <= set(ALLOWED)


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_imports_run_one_way(name: str) -> None:
    wrong = []
    for module in MODULES:
        if room(module) != name:
            continue
        for imported in own_imports(module):
            target = imported.split(".")[0]
            fine = target in BASE or imported in PLAIN or imported == "__init__"
            fine = fine or (target == name and name not in BASE) or (name in BASE and target in BASE)
            fine = fine or target in ALLOWED[name] or imported in ALLOWED[name]
            if not fine:
                wrong.append(f"{module} imports harness.{imported}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", sorted(f"harness.{name}" for name in PLAIN))
def test_plain_data_needs_nothing_of_ours(module: str) -> None:
    assert set(own_imports(module)) <= PLAIN


def test_only_devices_know_how_to_reach_one() -> None:
    found = {module for module in MODULES for name in imports(module) if name.split(".")[0] in DRIVERS}
    assert {room(module) for module in found} <= {"devices"}


def test_tidevice_is_imported_in_the_child_process_alone() -> None:
    """It may hang, and it may download and mount images: nothing else of it is let near a run."""
    found = {module for module in MODULES for name in imports(module) if name.split(".")[0] == "tidevice"}
    inside = {module for module in MODULES if module.startswith("harness.devices.ios.tide_")}
    assert found <= inside
    users = {
        module for module in set(MODULES) - inside for name in imports(module) if name in found and module not in found
    }
    assert users == {"harness.devices.ios.phone_child"}


def test_the_package_needs_nothing_that_lies_beside_it() -> None:
    """A checkout has these folders, an installed wheel has not."""
    beside = {"emulated", "tests", "benchmarks", "models", "bootstrap", "conftest"}
    found = [
        f"{module} imports {name}" for module in MODULES for name in imports(module) if name.split(".")[0] in beside
    ]
    assert not found, "\n".join(found)


def test_the_way_through_adb_knows_nothing_of_phones() -> None:
    below = {name for module in MODULES if module.startswith("harness.devices.adb") for name in own_imports(module)}
    shared = {f"devices.shell.{name}" for name in ("deadline", "errors", "stretches", "way")}
    assert {name for name in below if name.startswith("devices.")} - {"devices.base", *shared} == {
        name for name in below if name.startswith("devices.adb")
    }


def test_emulated_phones_use_nothing_that_they_are_there_to_test() -> None:
    modules = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "emulated").rglob("*.py")]
    found = {node.module for tree in modules for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    used = {name for name in found if name and name.startswith("harness")}
    assert used == {
        f"harness.{name}"
        for name in ("clock", "environment", "errors", "paths", "yamlfile", "yamlmodel", "devices.local")
    }


def test_time_comes_from_the_clock() -> None:
    """No module but harness.clock imports `time`, or asks datetime what time it is."""
    wrong = []
    for module in MODULES:
        if module == "harness.clock":
            continue
        if "time" in set(imports(module)):
            wrong.append(f"{module} imports time")
        for node in ast.walk(tree(module)):
            if not (isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"}):
                continue
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if owner in {"datetime", "date"}:
                wrong.append(f"{module}:{node.lineno}: {owner}.{node.attr}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", ["harness", "emulated"])
def test_a_module_gives_a_name_one_meaning(folder: str) -> None:
    """A constant that is assigned again further down changes what the functions above it mean."""
    wrong = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        seen: set[str] = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            for name in [target.id for target in targets if isinstance(target, ast.Name)]:
                if name in seen:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
                seen.add(name)
    assert not wrong, "\n".join(wrong)


def test_only_the_command_line_prints() -> None:
    wrong = [
        f"{module}:{node.lineno}"
        for module in MODULES
        if module != "harness.cli" and not module.startswith("harness.commands.")
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"print", "pprint"}
    ]
    assert not wrong, "\n".join(wrong)


def test_files_can_be_read_in_one_sitting() -> None:
    long = {path.name: count for path in MODULES.values() if (count := len(path.read_text().splitlines())) > LONGEST}
    assert not long


def needed(python_version: str) -> set[str]:
    """Names of all packages that the check in CI installs on a Python."""
    where = {"python_version": python_version, "python_full_version": f"{python_version}.0"}
    found: set[tuple[str, frozenset[str]]] = set()
    to_do = [Requirement("delegate-harness[tests,zig]")]
    while to_do:
        wanted = to_do.pop()
        one = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if one in found:
            continue
        found.add(one)
        with contextlib.suppress(PackageNotFoundError):  # the Python that runs this test does not need it
            for requirement in map(Requirement, requires(wanted.name) or []):
                marker = requirement.marker
                if marker is None or any(marker.evaluate(where | {"extra": extra}) for extra in ("", *wanted.extras)):
                    to_do.append(requirement)
    return {name for name, _ in found} - {"delegate-harness"}


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_every_package_of_the_check_is_pinned(version: str) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    where = {"python_version": version, "python_full_version": f"{version}.0"}
    pinned = [canonicalize_name(pin.name) for pin in pins if pin.marker is None or pin.marker.evaluate(where)]
    assert len(set(pinned)) == len(pinned), "one version for each Python"
    assert needed(version) - set(pinned) == set()


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_the_plugin_costs_a_run_without_devices_nothing() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import harness.plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = {name for name in python(code).split() if name.split(".")[0] not in sys.stdlib_module_names}
    assert loaded == {"harness", "harness.plugin"}


def test_plain_data_and_measures_need_no_runtime() -> None:
    heavy = {"ai_edge_litert", "tflite_runtime", "pytest", "rich", "jinja2", "pydantic", "yaml"}
    rooms = [module for module in MODULES if room(module) == "measure" or module == "harness.plan.cell"]
    code = f"import sys, importlib; [importlib.import_module(name) for name in {rooms}]; print(*sys.modules)"
    assert not heavy & {name.split(".")[0] for name in python(code).split()}


def test_nothing_happens_when_a_module_is_imported(tmp_path: Path) -> None:
    """Importing everything writes no file, starts no thread and says nothing."""
    names = [name for name in MODULES if name not in ("harness.plugin", "harness.reference.child")]
    code = (
        f"import sys, threading, importlib; sys.path.insert(0, {str(ROOT)!r}); "
        f"[importlib.import_module(name) for name in {names}]; assert threading.active_count() == 1"
    )
    answer = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "HARNESS_CACHE": str(tmp_path / "cache")},
        check=False,
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
