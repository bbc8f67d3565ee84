"""Makes three example reports by real runs, on this machine and on emulated phones: docs/examples.md.

    python docs/make_examples.py [--out FOLDER] [clean-night bad-night release]

Linux only, as the emulated phones. The GPU is the Vulkan driver that VK_ICD_FILENAMES names, else Chromium's
SwiftShader, else there is none, and cells on the GPU are UNSUPPORTED.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # `emulated` and `harness` of this checkout

from emulated.android.lab import AdbLab  # noqa: E402
from emulated.android.phone import Phone  # noqa: E402
from harness.clock import SystemClock  # noqa: E402
from harness.devices.local import machine_name  # noqa: E402

SWIFTSHADER = Path("/usr/lib/chromium/vk_swiftshader_icd.json")
PHONES = ("pixel-8", "galaxy-s23")
CLOCK = SystemClock()

# The transposed convolution with an odd side is one of LiteRT's known wrong answers on the GPU; so is ARG_MAX.
NIGHT = ("mobilenet_v1", "face_contour", "video_segmentation")
BEFORE = {"upscale": "gpu_ops/transpose_conv.3x3", "labels": "gpu_ops/arg_max.odd"}
AFTER = {"upscale": "gpu_ops/transpose_conv.3x3_odd"}

WAIVERS = """\
version: 1
waivers:
  - id: W-3
    owner: example team
    reason: the best label of all-negative classes is wrong on the GPU; the app asks the CPU
    ticket: EXAMPLE-3
    expires: {later}
    scope: {{model: labels, delegate: gpu}}
  - id: W-1
    owner: example team
    reason: upscaled pictures are off at odd sizes on the GPU; to be mended before this day
    ticket: EXAMPLE-1
    expires: {before}
    scope: {{model: upscale, delegate: gpu}}
  - id: W-2
    owner: example team
    reason: faces were off on an older driver
    ticket: EXAMPLE-2
    expires: {later}
    scope: {{model: face_contour, delegate: gpu}}
"""


class Failed(Exception):
    """A run did not end as it should."""


@dataclass(frozen=True)
class Project:
    """A folder to run pytest in, as somebody's project: suites, models, devices.yaml, and the reports."""

    folder: Path
    environ: Mapping[str, str]

    def models(self, files: Mapping[str, str]) -> None:
        """Copy models: name in the project -> file in models/, without suffix."""
        (self.folder / "models").mkdir(parents=True, exist_ok=True)
        for name, source in files.items():
            shutil.copy(ROOT / "models" / f"{source}.tflite", self.folder / "models" / f"{name}.tflite")

    def write(self, name: str, text: str) -> None:
        """A file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def suite(self, name: str, *replaced: tuple[str, str]) -> None:
        """One of docs/examples/, with some of its text replaced."""
        text = (ROOT / "docs" / "examples" / f"{name}.yaml").read_text(encoding="utf-8")
        for before, after in replaced:
            text = text.replace(before, after)
        self.write(f"suites/{name}.yaml", text)

    def devices(self, lab: AdbLab, phones: Sequence[Phone], *, together: bool) -> None:
        """This machine and the phones; `together`: they take turns, which makes their timings steadier."""
        devices: list[dict[str, str]] = [{"name": "this-machine", "kind": "local"}]
        for phone in phones:
            entry = {"name": phone.description.name, "kind": "android", "serial": phone.serial}
            entry["adb_server"] = f"localhost:{lab.server_port}"
            devices.append(entry | ({"machine": machine_name()} if together else {}))
        self.write("devices.yaml", json.dumps({"version": 1, "devices": devices}, indent=1) + "\n")

    def measure(self, suite: str, *options: str) -> None:
        """A run of pytest; 1 is how it ends when cells fail."""
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
        what = ["--devices", "devices.yaml", f"suites/{suite}.yaml", *options]
        latest = self.folder / "reports" / "latest"
        before = latest.resolve()
        self._call([*command, *what], (0, 1), shown=f"pytest {' '.join(what)}")
        if latest.resolve() == before:
            raise Failed(f"the run left no report: see {self.folder / 'output.txt'}")

    def harness(self, *arguments: str, allowed: Sequence[int] = (0,)) -> None:
        """A command of the harness."""
        program = [sys.executable, "-c", "import sys; from harness.cli import main; sys.exit(main())"]
        self._call([*program, *arguments], allowed, shown=f"harness {' '.join(arguments)}")

    def _call(self, command: Sequence[str], allowed: Sequence[int], *, shown: str) -> None:
        answer = subprocess.run(
            command, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False, timeout=900
        )
        with (self.folder / "output.txt").open("a", encoding="utf-8") as stream:
            stream.write(f"$ {shown}\n{answer.stdout}{answer.stderr}\n")
        if answer.returncode not in allowed:
            raise Failed(f"{shown}: exit code {answer.returncode}\n{answer.stdout}{answer.stderr}")


def clean_night(project: Project, folder: Path) -> None:
    """This machine and two emulated phones; nothing is wrong."""
    project.models({name: name for name in NIGHT})
    project.suite("night")
    with laboratory(project, folder) as (lab, phones):
        project.devices(lab, phones, together=True)
        project.measure("night")


def bad_night(project: Project, folder: Path) -> None:
    """One phone dies in the middle of its second cell, and another has a full disk; the rest is not touched."""
    project.models({name: name for name in NIGHT})
    project.suite("night")
    with laboratory(project, folder) as (lab, phones):
        project.devices(lab, phones, together=False)
        dying = threading.Thread(target=_die, args=(phones[-1],), daemon=True)
        dying.start()
        project.measure("night")
        dying.join(5)


def release(project: Project, folder: Path) -> None:
    """A release against its baseline: the app lost its fast kernels, a new model is wrong on the GPU; waivers."""
    today = CLOCK.now().date()
    month = datetime.timedelta(days=30)
    project.models({name: name for name in NIGHT[:2]} | BEFORE)
    project.suite("release")
    project.write("waivers.yaml", WAIVERS.format(later=today + month, before=today))
    with laboratory(project, folder) as (lab, phones):
        project.devices(lab, phones, together=True)
        project.measure("release")
        project.harness("baseline", "v1.0", "reports/latest")
        project.models(AFTER)
        project.suite("release", ("kernels: xnnpack", "kernels: builtin"))
        project.write("waivers.yaml", WAIVERS.format(later=today + month, before=today - month))
        project.measure("release", "--baseline", "v1.0")
    project.harness("qualify", "reports/latest", "--baseline", "v1.0", "--out", "qualification", allowed=(0, 1))
    project.harness("verify", "qualification/evidence.zip")


@contextlib.contextmanager
def laboratory(project: Project, folder: Path) -> Iterator[tuple[AdbLab, list[Phone]]]:
    """A lab with the phones in it, and its adb server."""
    with AdbLab(folder, environ=dict(project.environ)) as lab:
        yield lab, [lab.add(name) for name in PHONES]


def _die(phone: Phone) -> None:
    """Wait until a phone runs its second job, then take its battery out."""
    for _ in range(6000):
        jobs = [service for service in phone.opened if service.startswith("shell") and "delegate_bench" in service]
        if len(jobs) >= 2 and phone.processes():
            phone.crash()
            return
        CLOCK.sleep(0.02)


EXAMPLES: Mapping[str, Callable[[Project, Path], None]] = {
    "clean-night": clean_night,
    "bad-night": bad_night,
    "release": release,
}


def make(name: str, out: Path) -> Path:
    """Make one example in `out`; its page. Raises Failed: with what the program printed."""
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "GITHUB_"))}
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environ.get("PYTHONPATH")]))
    if "VK_ICD_FILENAMES" not in environ and SWIFTSHADER.is_file():
        environ["VK_ICD_FILENAMES"] = str(SWIFTSHADER)
    project = Project(folder, environ)
    project.write("pytest.ini", "[pytest]\n")
    try:
        EXAMPLES[name](project, folder / "lab")
    finally:
        shutil.rmtree(folder / "lab", ignore_errors=True)  # the phones' files
    return folder / "reports" / "latest" / "index.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the examples; the exit code."""
    parser = argparse.ArgumentParser(description="Makes the example reports of docs/examples.md by real runs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXAMPLES)}; default: all")
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "examples", metavar="FOLDER")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(EXAMPLES)
    if unknown:
        parser.error(f"there is no example {sorted(unknown)[0]!r}; there are {', '.join(EXAMPLES)}")
    for name in options.names or EXAMPLES:
        began = CLOCK.monotonic()
        try:
            page = make(name, options.out.resolve())
        except Failed as error:
            sys.stderr.write(f"{error}\n")
            return 1
        verdict = json.loads((page.parent / "matrix.json").read_text(encoding="utf-8"))["summary"]["verdict"]
        sys.stdout.write(f"{name}: {verdict} after {CLOCK.monotonic() - began:.0f} s, {page}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
