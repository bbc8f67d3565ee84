"""Every fault between the controller and a phone is an error of the right class, in bounded time, and passes."""

from __future__ import annotations

import pytest

from emulated.android.phone import EMULATED_FAULTS
from emulated.android.real_adbd import FAULTS
from harness.devices.adb.errors import ServerDownError
from harness.plan.cell import ErrorClass
from tests.faults.conftest import BACKENDS, CLOCK, Plug, Rig
from tests.faults.rows import NOT_ON_REAL, ROWS, Row

pytestmark = pytest.mark.timeout(90)

CASES = [(row, backend) for row in ROWS for backend in BACKENDS if backend == "emulated" or row.name not in NOT_ON_REAL]


def test_every_row_runs_on_ours_and_the_list_of_those_that_debian_s_cannot_have_is_exact() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert {row.name for row in ROWS if not row.needs <= EMULATED_FAULTS} == set()
    assert {row.name for row in ROWS if not row.needs <= FAULTS} == NOT_ON_REAL


@pytest.mark.parametrize(("row", "backend"), CASES, ids=[f"{row.name}-{backend}" for row, backend in CASES])
def test_a_fault_is_an_error_of_its_class_in_time_and_passes(plug: Plug, row: Row, backend: str) -> None:
    rig = plug(backend, tcp=row.tcp)
    assert row.needs <= rig.phone.can
    row.cause(rig)
    began = CLOCK.monotonic()
    with pytest.raises(row.expected) as caught:
        row.call(rig)
    assert CLOCK.monotonic() - began < row.bound
    error = caught.value
    assert type(error) is row.expected  # none of them hides behind a more general one
    assert row.said in f"{error} {error.said}"
    assert error.error_class is (ErrorClass.HOST if row.expected is ServerDownError else ErrorClass.DEVICE)
    row.after(rig)
    mend(rig, row)
    rig.connect(40)
    assert rig.device.shell("echo $((6 * 7))", 20).text == "42\n"  # the same way to the phone works again


def mend(rig: Rig, row: Row) -> None:
    """The fault is over."""
    faults = rig.phone.faults
    faults.drop_after = faults.stall_after = faults.rate = faults.quota = None
    faults.hung, faults.refuse_open, faults.open_delay, faults.auth = False, False, 0.0, "none"
    rig.lab.continue_server()
    if "killed" in row.name:
        rig.lab.restart_server()
    if not rig.phone.plugged:
        rig.phone.plug()
    elif "auth" in row.needs:
        rig.phone.drop()
