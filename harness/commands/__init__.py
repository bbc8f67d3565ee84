"""One module per command of `harness`: `add` puts its options into the parser, and its answer is the exit code.

What a command needs is imported when it runs: `harness --help` has to be quick.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = argparse._SubParsersAction
