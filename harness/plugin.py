"""pytest's door: options, and the lab session when `--devices` is given.

This module is imported by every pytest run in an environment that has the harness installed. It must import
nothing beyond the standard library and pytest; everything else waits until `--devices` is there.
"""

from __future__ import annotations

import pytest

_OPTIONS = (
    ("--model", "make a suite on the spot from a .tflite file (cpu, gpu-fp16, gpu-fp32); may be repeated", "append"),
    ("--baseline", "judge this run against an earlier one: a tag, a run folder or its matrix.json", "store"),
    ("--reports", "folder for reports (default: reports)", "store"),
    ("--waivers", "failures that may be: a waivers file (default: waivers.yaml, if there is one)", "store"),
)

_LOCALISE = "--localise"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our options, in a group of their own."""
    group = parser.getgroup("harness", "device-farm harness")
    group.addoption(
        "--devices",
        metavar="FILE",
        default=None,
        help="measure on the devices of FILE (devices.yaml); 'auto': this machine and what is plugged in",
    )
    for name, text, action in _OPTIONS:
        group.addoption(name, metavar="PATH", action=action, default=None, dest=f"harness_{name[2:]}", help=text)
    group.addoption(
        _LOCALISE,
        action="store_true",
        default=None,
        dest="harness_localise",
        help="find the operation that makes the largest difference to the CPU in every cell, right or wrong",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; start a lab session if `--devices` is given."""
    config.addinivalue_line(
        "markers",
        "cell(model, delegate): give the test the measurement of this cell, on every device, as fixture `cell`",
    )
    if config.getoption("devices") is not None:
        from harness.session.session import activate

        activate(config)
        return
    for name in (*(name for name, _, _ in _OPTIONS), _LOCALISE):
        if config.getoption(f"harness_{name[2:]}") is not None:
            raise pytest.UsageError(f"{name} needs --devices: name a devices file, or 'auto' for this machine")


@pytest.fixture
def cell(request: pytest.FixtureRequest) -> object:
    """The finished cell that the test's `cell` marker asks for: a `harness.session.fixture.MeasuredCell`."""
    if request.config.getoption("devices") is None:
        pytest.skip("needs a lab: run pytest with --devices")
    from harness.session.fixture import measured_cell

    return measured_cell(request)
