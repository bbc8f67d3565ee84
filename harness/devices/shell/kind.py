"""What one kind of shell device differs in from another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Kind:
    """A kind of device: how it is asked, and what messages say about it.

    Attributes:
        noun: "phone" or "board".
        facts_script: POSIX sh that prints the facts; $ROOT is the harness's folder.
        parse_facts: facts from what that printed; never raises.
        target_of: the target whose programs a device with such facts runs; raises UsageError if there is none.
        state_script: POSIX sh that prints the state, made to stand inside other scripts; $ROOT as above.
        parse_state: state from what that printed; never raises.
        needs: commands that it must have.
        elsewhere: what messages say about the choice of another `root`.
        watch: where a person finds out why a job or the device died.
    """

    noun: str
    facts_script: str
    parse_facts: Callable[[str], dict[str, Any]]
    target_of: Callable[[Mapping[str, Any]], str]
    state_script: str
    parse_state: Callable[[str], dict[str, Any]]
    needs: tuple[str, ...]
    elsewhere: str
    watch: str


class Awake(Protocol):
    """What keeps a device awake, and leaves it as it was. All raise WayError when the device is lost."""

    @property
    def kept(self) -> bool:
        """Whether something may have to be set back."""

    def keep_awake(self) -> None:
        """Keep it awake, for as long as the harness has it."""

    def wake(self, state: Mapping[str, Any]) -> None:
        """Do so again if its state of a moment ago says that it sleeps."""

    def restore(self) -> None:
        """Set back what was changed."""
