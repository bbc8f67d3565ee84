"""A stub of delegate_bench that takes its time: it sleeps, then replays a real run's record and outputs."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from common import ROOT
from lab import link_job_files

from harness.plan.cell import InputPlan

SOURCE = """\
#include <stdio.h>
#include <string.h>
#include <time.h>

static const unsigned char output[] = {OUTPUT};

static const char *option(int count, char **words, const char *name) {
    for (int i = 1; i + 1 < count; i++)
        if (!strcmp(words[i], name)) return words[i + 1];
    return "";
}

int main(int count, char **words) {
    char path[4096];
    struct timespec pause = {SECONDS, 0};
    while (nanosleep(&pause, &pause)) {}
    snprintf(path, sizeof path, "%s/s0_o0.bin", option(count, words, "--out"));
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(output, 1, sizeof output, file) != sizeof output || fclose(file)) return 1;
    snprintf(path, sizeof path, "%s/result.json", option(count, words, "--out"));
    file = fopen(path, "wb");
    if (!file) return 1;
    fprintf(file, "%s%s%s", BEFORE, option(count, words, "--run-id"), AFTER);
    return fclose(file) ? 1 : 0;
}
"""
MODEL = ROOT / "models" / "ops" / "add.tflite"


def build_stub(program: Path, seconds: int) -> None:
    """Compile a stub for this computer, and so for emulated phones, that takes so many seconds."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        link_job_files(work, MODEL, InputPlan(samples=1))
        (work / "out").mkdir()
        inputs = [word for path in sorted((work / "inputs").iterdir()) for word in ("--input", str(path))]
        line = [
            "./delegate_bench",
            "--lib",
            "runtime/libLiteRt.so",
            "--accel-dir",
            "runtime",
            "--model",
            "model.tflite",
        ]
        line += ["--out", "out", "--run-id", "RUN", "--accelerator", "cpu", "--threads", "1", "--kernels", "xnnpack"]
        line += ["--warmup", "0", "--warmup-seconds", "0", "--runs", "1", "--min-seconds", "0", "--samples", "1"]
        subprocess.run([*line, *inputs], cwd=work, check=True, capture_output=True)
        record = (work / "out" / "result.json").read_text()
        output = (work / "out" / "s0_o0.bin").read_bytes()
        before, after = record.split("RUN")
        source = SOURCE.replace("{OUTPUT}", "{" + ", ".join(map(str, output)) + "}").replace("SECONDS", str(seconds))
        source = source.replace("BEFORE", json.dumps(before)).replace("AFTER", json.dumps(after))
        (work / "stub.c").write_text(source)
        subprocess.run(["cc", "-O1", "-o", str(program), str(work / "stub.c")], check=True)
