"""Rows of the matrix from what was measured: plain assembly, no decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from harness.measure import gates, latency
from harness.plan.cell import Cell, ErrorClass, Outcome, Problem
from harness.plan.result import Delegation, Measurement, RoundResult
from harness.plan.row import AttemptRow, CellRow, DelegationRow, LatencyRow, RoundRow, RunnerRow


def new_row(cell: Cell, rounds: Sequence[RoundResult], inputs_sha256: str | None) -> CellRow:
    """The row of a cell as its rounds alone tell it: not judged yet, without latency and accuracy."""
    measurement = last_measured(rounds)
    ran = next((result for result in reversed(rounds) if result.runner), None)
    peaks = [r.measurement.peak_rss_bytes for r in rounds if r.measurement and r.measurement.peak_rss_bytes]
    return {
        "id": cell.id,
        "role": cell.role,
        "device": cell.device,
        "unit": None,
        "model": cell.model.name,
        "delegate": cell.delegate.name,
        "outcome": Outcome.PASS.value,
        "reason": None,
        "error": None,
        "from_run": None,
        "inputs_sha256": inputs_sha256,
        "latency": None,
        "speedup": None,
        "accuracy": [],
        "delegation": _delegation(measurement.delegation) if measurement else None,
        "memory": {"peak_rss_bytes": max(peaks)} if peaks else None,
        "energy": None,
        "sustained": None,
        "compatibility": None,
        "localisation": None,
        "artifacts": [path for result in rounds for path in result.artifacts],
        "validity": {"void": False, "reasons": []},
        "notes": list(measurement.notes) if measurement else [],
        "regression": None,
        "device_state": {"before": dict(rounds[0].state_before), "after": dict(rounds[-1].state_after)}
        if rounds
        else None,
        "gates": [],
        "runner": _runner(ran) if ran else None,
        "runtime": {"version": ran.runtime.get("version"), "sha256": ran.runtime.get("sha256")} if ran else None,
        "attempts": [_attempt(result) for result in rounds],
    }


def latency_row(measured: Sequence[RoundResult]) -> LatencyRow:
    """Latency over all measured rounds. Raises ValueError without any."""
    rounds: list[RoundRow] = []
    first: Measurement | None = None
    for result in measured:
        if result.measurement is None:
            continue
        first = first or result.measurement
        entry: RoundRow = {
            "round": result.round,
            "order": result.order,
            "started": result.started,
            "samples_us": list(result.measurement.samples_us),
            "device_state": dict(result.state_before),
        }
        if result.measurement.summary is not None:
            entry["summary"] = result.measurement.summary
        rounds.append(entry)
    if first is None:
        raise ValueError("nothing was measured")
    return latency.summarise(rounds, first.scope, first.init_us, first.first_us, first.start)


def last_measured(rounds: Sequence[RoundResult]) -> Measurement | None:
    """The measurement of the last round that has one."""
    return next((result.measurement for result in reversed(rounds) if result.measurement is not None), None)


def set_judgement(row: CellRow, judgement: gates.Judgement) -> None:
    """Give a row the outcome that its gates make."""
    row["outcome"], row["reason"] = judgement.outcome.value, judgement.reason
    if judgement.error_class is not None:
        row["error"] = {"class": judgement.error_class.value, "kind": "gate_unset", "signal": None, "stage": None}


def set_problem(row: CellRow, problem: Problem) -> None:
    """Give a row the outcome of a problem."""
    row["outcome"], row["reason"] = problem.outcome.value, problem.reason
    if problem.outcome in (Outcome.ERROR, Outcome.TIMEOUT):
        row["error"] = {
            "class": (problem.error_class or ErrorClass.RUNNER).value,
            "kind": problem.kind,
            "signal": problem.signal,
            "stage": problem.stage,
        }
    if problem.unsupported_ops and row["delegation"] is None:
        row["delegation"] = _delegation(
            Delegation(unsupported_ops=problem.unsupported_ops, evidence="the accelerator names what it refuses")
        )


def _delegation(delegation: Delegation) -> DelegationRow:
    fields = asdict(delegation)
    fields["unsupported_ops"] = list(delegation.unsupported_ops)
    row: DelegationRow = fields  # type: ignore[assignment]
    return row


def _runner(result: RoundResult) -> RunnerRow:
    facts = result.runner
    return {
        "name": facts.get("name") or "unknown",
        "context": facts.get("context") or "shell",
        "version": facts.get("version"),
        "sha256": facts.get("sha256"),
        "command": facts.get("command"),
    }


def _attempt(result: RoundResult) -> AttemptRow:
    return {
        "round": result.round,
        "number": result.attempt,
        "outcome": result.problem.outcome.value if result.problem else "MEASURED",
        "reason": result.problem.reason if result.problem else None,
        "started": result.started,
        "seconds": round(result.seconds, 3),
        "transfer_bytes": result.transfer_bytes,
    }
