"""Prints the matrix of providers and cases at the end of a test run, from the cells that its tests recorded."""

from collections import Counter

import pytest

CELL = "matrix cell"
"""The property under which a test records `provider: case`."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line per case, one column per provider; a cell counts the forms of the case, "-" where there is none."""
    passed = _cells(terminalreporter, "passed")
    bad = _cells(terminalreporter, "failed") + _cells(terminalreporter, "error")
    if not passed + bad:
        return
    kinds, cases = (list(dict.fromkeys(names)) for names in zip(*passed, *bad, strict=True))
    terminalreporter.section("providers and cases: how many forms of each passed")
    lines = [["", *kinds], *([case, *(_cell(passed[kind, case], bad[kind, case]) for kind in kinds)] for case in cases)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        terminalreporter.line("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _cell(passed: int, bad: int) -> str:
    if bad:
        return f"{bad} FAILED"
    return f"{passed} ok" if passed else "-"


def _cells(reporter: pytest.TerminalReporter, outcome: str) -> Counter[tuple[str, str]]:
    """How many tests of each cell ended so."""
    reports = (report for report in reporter.stats.get(outcome, ()) if isinstance(report, pytest.TestReport))
    found = (str(value) for report in reports for name, value in report.user_properties if name == CELL)
    return Counter((kind, case) for kind, _, case in (cell.partition(": ") for cell in found))
