"""The page of 60,000 cells, against pytest-html fed the same number of results: time until a reader can work with it.

Needs Chromium, and `pip install -e '.[tests,benchmarks]'`. What is built is a matrix as the largest labs have it:
100 models on 200 devices with 3 delegates, each cell with its own samples and figures; `--quick`: 20 devices.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, arguments, conclude, pytest_command, timed
from playwright.sync_api import Page, sync_playwright

MODELS, DELEGATES = 100, 3
LIMITS = {"build, s": 20.0, "memory, MB": 1000.0, "opens, s": 3.0, "slowest filter, ms": 200.0}
FILTERS = ("phone-b-0009", "gpu-fp16", "fail", "mobilenet_v1", "")
PATIENCE_MS = 600_000

# From typing to the second frame after it: what was filtered is drawn by then.
TYPE = """async text => {
  const field = document.getElementById('filter');
  const began = performance.now();
  field.value = text;
  field.dispatchEvent(new Event('input', {bubbles: true}));
  const before = document.getElementById('shown').textContent;
  const frame = () => new Promise(done => requestAnimationFrame(done));
  await frame();
  await frame();
  return [performance.now() - began, document.getElementById('shown').textContent, before];
}"""
HIDE = """async () => {
  const began = performance.now();
  document.querySelector('input[data-test-result=passed]').click();
  const frame = () => new Promise(done => requestAnimationFrame(done));
  await frame();
  await frame();
  return performance.now() - began;
}"""


def main() -> None:
    """Build both, open both in the same browser, one after the other."""
    if len(sys.argv) == 4 and sys.argv[1] == "--build":
        build(Path(sys.argv[2]), int(sys.argv[3]))
        return
    quick = arguments(__doc__ or "")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None or importlib.util.find_spec("pytest_html") is None:
        sys.exit("needs Chromium (apt-get install chromium) and pytest-html (pip install -e '.[tests,benchmarks]')")
    devices = 20 if quick else 200
    count = MODELS * devices * DELEGATES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = build_ours(folder, devices)
        theirs_seconds = build_theirs(folder, count)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.set_default_timeout(PATIENCE_MS)
            opened, filtered = open_ours(page, folder / "ours.html")
            their_opened, their_filtered = open_theirs(page, folder / "theirs.html", count)
            browser.close()
        size, their_size = ((folder / file).stat().st_size / 1e6 for file in ("ours.html", "theirs.html"))
    rows = [
        ("build, s", ours["seconds"], theirs_seconds),
        ("memory, MB", ours["megabytes"], None),
        ("size, MB", size, their_size),
        ("opens, s", opened, their_opened),
        ("slowest filter, ms", filtered, their_filtered),
    ]
    print(f"{count} cells{'':12} ours  pytest-html")
    missed = []
    for words, mine, other in rows:
        limit = LIMITS.get(words)
        goal = f"   (goal <= {limit:g})" if limit is not None else ""
        print(f"{words:20} {mine:9.2f}  {'-' if other is None else f'{other:.2f}':>11}{goal}")
        if limit is not None and mine > limit:
            missed.append(words)
    print(f"missed: {', '.join(missed)}" if missed else "every limit holds")
    ratio = (ours["seconds"] + opened) / (theirs_seconds + their_opened)
    conclude("report", ratio, 1.0, failed=bool(missed))


def build_ours(folder: Path, devices: int) -> dict[str, float]:
    """Write our page in a process of its own, and say what it took: the page alone, the matrix is there before."""
    command = [sys.executable, __file__, "--build", str(folder), str(devices)]
    answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def build(folder: Path, devices: int) -> None:
    """Write the page; prints seconds, and the peak memory of the whole process, the matrix included."""
    sys.path.insert(0, str(ROOT))
    from harness.report import html
    from tests.report.large import make_large

    matrix = make_large(MODELS, devices, DELEGATES)
    began = time.perf_counter()
    (folder / "ours.html").write_text(html.render(matrix), encoding="utf-8")
    seconds = time.perf_counter() - began
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps({"seconds": seconds, "megabytes": megabytes}))


def build_theirs(folder: Path, count: int) -> float:
    """What writing pytest-html's page adds to a run of as many tests that do nothing."""
    (folder / "test_many.py").write_text(
        f"import pytest\n\n@pytest.mark.parametrize('number', range({count}))\ndef test_one(number):\n    pass\n"
    )
    common = ("-q", "-p", "no:harness", "--rootdir", str(folder))
    bare = timed(pytest_command(*common, "-p", "no:html"), folder)
    with_page = timed(pytest_command(*common, "--html", "theirs.html", "--self-contained-html"), folder)
    return with_page - bare


def open_ours(page: Page, file: Path) -> tuple[float, float]:
    """Seconds until the page can be worked with, and the slowest of some filters in milliseconds."""
    began = time.perf_counter()
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-panels=ready]", state="attached")
    seconds = time.perf_counter() - began
    slowest = 0.0
    for text in FILTERS:
        milliseconds, shown, _ = page.evaluate(TYPE, text)
        slowest = max(slowest, milliseconds)
        print(f"  filter {text!r}: {milliseconds:.0f} ms, {shown}")
    return seconds, slowest


def open_theirs(page: Page, file: Path, count: int) -> tuple[float, float]:
    """Likewise, for pytest-html's page; its filter is to hide what passed."""
    began = time.perf_counter()
    page.goto(file.as_uri())
    page.wait_for_function(f"document.querySelectorAll('.results-table-row').length >= {count}")
    seconds = time.perf_counter() - began
    return seconds, float(page.evaluate(HIDE))


if __name__ == "__main__":
    main()
