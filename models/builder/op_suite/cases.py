"""Every case of the op suite, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from models.builder.op_suite import elementwise, moves, sums
from models.builder.op_suite.case import FEW_SHAPES, SHAPES, WITHOUT_FLOATS, build

_MODULES = ((elementwise, FEW_SHAPES), (sums, SHAPES), (moves, SHAPES))


def builders() -> dict[str, Callable[[], bytes]]:
    """For each case, "conv_2d.odd", the function that makes its file's content."""
    made: dict[str, Callable[[], bytes]] = {}
    for module, shapes in _MODULES:
        for code, maker in module.MAKERS.items():
            for case, shape in shapes.items():
                called = "basic" if case == "plain" and code in WITHOUT_FLOATS else case
                name = f"{code.lower()}.{called}"
                made[name] = partial(build, name, maker, shape)
        for name, (maker, shape) in module.EXTRA.items():
            made[name] = partial(build, name, maker, shape)
    return dict(sorted(made.items()))
