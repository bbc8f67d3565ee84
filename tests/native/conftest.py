"""The real binary, the real runtime, real models; and a runtime that misbehaves on request."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from emulated.ios.build import build_app
from harness.runners.build import build_runner
from tests.native.bench import Bench
from tests.native.phone_app import PhoneApp

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT.parent / "shared" / "models"
SWIFTSHADER = Path("/usr/lib/chromium/vk_swiftshader_icd.json")


@pytest.fixture(scope="session")
def binary(own_cache: Path) -> Path:
    """delegate_bench for this machine, built into the tests' own cache."""
    assert own_cache.is_dir()
    return build_runner()


@pytest.fixture(scope="session")
def runtime_folder() -> Path:
    """The folder of the installed wheel, where libLiteRt and its GPU accelerator are."""
    spec = importlib.util.find_spec("ai_edge_litert")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


@pytest.fixture
def bench(binary: Path, runtime_folder: Path, tmp_path: Path) -> Bench:
    """delegate_bench with the installed runtime."""
    library = next(path for path in runtime_folder.iterdir() if path.name in ("libLiteRt.so", "libLiteRt.dylib"))
    return Bench(binary, library, tmp_path)


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of real models."""
    if not MODELS.is_dir():
        pytest.skip(f"the real models are not here: {MODELS}")
    return MODELS


@pytest.fixture(scope="session")
def gpu() -> dict[str, str]:
    """Environment variables under which the runtime finds a GPU adapter."""
    if os.environ.get("VK_ICD_FILENAMES"):
        return {}
    if not SWIFTSHADER.is_file():
        pytest.skip("no GPU adapter: install libvulkan1 and chromium (for its SwiftShader), or set VK_ICD_FILENAMES")
    return {"VK_ICD_FILENAMES": str(SWIFTSHADER)}


@pytest.fixture(scope="session")
def fake_runtime(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Builds the misbehaving runtime with some macros defined."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("a C compiler is needed for the misbehaving runtime: install build-essential")
    folder = tmp_path_factory.mktemp("fake-runtime")

    def build(*macros: str) -> Path:
        library = folder / ("-".join(("fake", *macros)) + ".so")
        if not library.exists():
            source = str(Path(__file__).parent / "fake_litert.c")
            defines = [f"-D{macro}" for macro in macros]
            subprocess.run([compiler, "-std=c11", "-shared", "-fPIC", *defines, source, "-o", str(library)], check=True)
        return library

    return build


@pytest.fixture
def faked(binary: Path, fake_runtime: Callable[..., Path], tmp_path: Path) -> Bench:
    """delegate_bench with the misbehaving runtime."""
    return Bench(binary, fake_runtime(), tmp_path)


@pytest.fixture
def fake_model(tmp_path: Path) -> Path:
    """What the misbehaving runtime takes for a model; its one input is float32[2]."""
    path = tmp_path / "model.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3\0\0\0\0")
    return path


@pytest.fixture(scope="session")
def app_program(own_cache: Path) -> Path:
    """The emulated iPhone's app, built into the tests' own cache."""
    assert own_cache.is_dir()
    return build_app(os.environ)


@pytest.fixture
def phone_app(app_program: Path, runtime_folder: Path, tmp_path: Path) -> PhoneApp:
    """The app with the installed runtime."""
    library = next(path for path in runtime_folder.iterdir() if path.name in ("libLiteRt.so", "libLiteRt.dylib"))
    return PhoneApp(app_program, library, runtime_folder, tmp_path / "container")


@pytest.fixture
def faked_app(app_program: Path, fake_runtime: Callable[..., Path], tmp_path: Path) -> PhoneApp:
    """The app with the misbehaving runtime."""
    library = fake_runtime()
    return PhoneApp(app_program, library, library.parent, tmp_path / "container")
