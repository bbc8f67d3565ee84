from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.lab.spec import LocalSpec
from harness.plan.cell import Cell
from harness.plan.expand import add_partners, expand, selected_devices
from harness.plan.load import load_suite
from harness.plan.suite import Suite

DESK = LocalSpec(name="desk", kind="local")
PIXEL = LocalSpec(name="pixel-8", kind="local", labels=("flagship", "arm"))
OLD = LocalSpec(name="pixel-3", kind="local", labels=("arm",))
LAB = [DESK, PIXEL, OLD]
DELEGATES = "delegates: {gpu: {accelerator: gpu}, cpu: {}, cpu4: {threads: 4}, npu: {accelerator: npu}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.tflite").touch()
    return tmp_path


def suite(folder: Path, text: str) -> Suite:
    (folder / "s.yaml").write_text(f"version: 1\nmodels: ['*']\n{DELEGATES}{text}")
    return load_suite(folder / "s.yaml")


def ids(cells: list[Cell]) -> list[str]:
    return [cell.id.removeprefix("s::") for cell in cells]


def pick(cells: list[Cell], *wanted: str) -> list[Cell]:
    return [cell for cell in cells if cell.id.removeprefix("s::") in wanted]


def test_cells_are_device_by_device_model_by_model_in_the_suites_order(folder: Path) -> None:
    cells = expand(suite(folder, ""), [DESK, PIXEL])
    assert ids(cells)[:5] == ["a[desk:gpu]", "a[desk:cpu]", "a[desk:cpu4]", "a[desk:npu]", "b[desk:gpu]"]
    assert ids(cells)[8:10] == ["a[pixel-8:gpu]", "a[pixel-8:cpu]"]
    assert len(cells) == 16
    assert {cell.role for cell in cells} == {"cell"}


def test_cells_share_what_does_not_differ(folder: Path) -> None:
    cells = expand(suite(folder, ""), LAB)
    assert len({id(cell.policy) for cell in cells}) == 1
    assert len({id(cell.model) for cell in cells}) == 2
    assert len({id(cell.delegate) for cell in cells}) == 4
    assert len({id(cell.gates) for cell in cells}) == 4


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ("", ["desk", "pixel-8", "pixel-3"]),
        ("devices: {labels: [arm]}", ["pixel-8", "pixel-3"]),
        ("devices: {labels: [arm, flagship]}", ["pixel-8"]),
        ("devices: {names: [desk, '*-3']}", ["desk", "pixel-3"]),
        ("devices: {names: [pixel-*], labels: [flagship]}", ["pixel-8"]),
        ("devices: {labels: [tablet]}", []),
    ],
)
def test_devices_are_selected_by_all_labels_and_any_name(folder: Path, devices: str, expected: list[str]) -> None:
    assert [device.name for device in selected_devices(suite(folder, devices), LAB)] == expected


def test_a_suite_for_none_of_the_devices(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        expand(suite(folder, "devices: {labels: [tablet, arm], names: [ipad*]}\n"), LAB)
    assert str(caught.value) == (
        "s.yaml:4: devices: no device of the lab has the labels tablet, arm and a name like ipad*; "
        "there are: desk []; pixel-8 [flagship, arm]; pixel-3 [arm]"
    )


def test_a_reference_device_that_is_not_in_the_lab(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        expand(suite(folder, "reference: pixel-9\n"), LAB)
    assert str(caught.value) == (
        "s.yaml:4: reference: no device called 'pixel-9'; did you mean 'pixel-8'? "
        "known here: golden, same_device_cpu, desk, pixel-8, pixel-3"
    )


def test_no_partners_without_need(folder: Path) -> None:
    cells = expand(suite(folder, ""), LAB)
    assert add_partners(cells[:3], cells) == []


def test_partners_of_speedups(folder: Path) -> None:
    cells = expand(suite(folder, "gates: {'?pu': {speedup: 2}}\n"), [DESK, PIXEL])
    selected = pick(cells, "b[desk:gpu]", "b[desk:npu]", "b[desk:cpu4]", "a[pixel-8:cpu]")
    helpers = add_partners(selected, cells)
    assert ids(helpers) == ["b[desk:cpu]"]
    assert {helper.role for helper in helpers} == {"helper"}
    assert [rule.metric for rule in helpers[0].gates] == ["nonfinite"]


def test_a_helper_is_asked_for_no_speedup_of_its_own(folder: Path) -> None:
    cells = expand(suite(folder, "gates: {'*': {speedup: 2}}\nadvice: {speedup: {over: npu}}\n"), [DESK])
    assert ids(add_partners(pick(cells, "a[desk:cpu]"), cells)) == ["a[desk:npu]"]


def test_the_same_devices_cpu_is_the_reference(folder: Path) -> None:
    cells = expand(suite(folder, "reference: same_device_cpu\n"), [DESK, PIXEL])
    assert ids(add_partners(pick(cells, "a[desk:gpu]", "b[pixel-8:cpu4]"), cells)) == ["a[desk:cpu]", "b[pixel-8:cpu]"]
    assert add_partners(pick(cells, "a[desk:cpu]"), cells) == []


def test_helpers_bring_their_own_reference(folder: Path) -> None:
    text = "reference: same_device_cpu\ngates: {gpu: {speedup: 2}}\nadvice: {speedup: {over: npu}}\n"
    cells = expand(suite(folder, text), [DESK])
    assert ids(add_partners(pick(cells, "a[desk:gpu]"), cells)) == ["a[desk:cpu]", "a[desk:npu]"]


def test_another_device_is_the_reference_even_if_the_suite_is_not_for_it(folder: Path) -> None:
    cells = expand(suite(folder, "reference: desk\ndevices: {labels: [arm]}\n"), LAB)
    helpers = add_partners(pick(cells, "a[pixel-8:gpu]", "b[pixel-3:cpu]", "a[pixel-3:npu]"), cells)
    assert sorted(ids(helpers)) == ["a[desk:cpu]", "b[desk:cpu]"]
    assert {helper.role for helper in helpers} == {"helper"}
