"""Whoever waits for a thread of its own at the end asks how much time is left."""

from __future__ import annotations

import ast
from pathlib import Path

import edge_inspect

PACKAGE = Path(edge_inspect.__file__).parent
LINE = ("audit", "cameras", "gate", "outputs", "plc", "runtimes", "service", "station")
HAS_A_LIMIT = {
    "gate/driver.py": 1,  # its thread has failed and is about to end: `start`
    "service/ending.py": 2,  # the one who keeps the time
    "outputs/background.py": 1,  # `limit_s` comes from there
    "plc/follower.py": 1,  # likewise
}
"""Joins that take their limit from elsewhere, by file."""


def joins_without_asking(path):
    """Joins of threads in this file whose limit does not come from `THE_END.at_most`; `" ".join(...)` is none."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    joins = [call for call in calls if call.func.attr == "join" and not is_text(call)]
    return [call for call in joins if not (call.args and "THE_END.at_most" in ast.unparse(call.args[0]))]


def is_text(call):
    return isinstance(call.func.value, (ast.Constant, ast.JoinedStr)) or "path" in ast.unparse(call.func.value)


def test_every_join_of_the_line_takes_its_limit_from_the_one_deadline():
    files = [path for name in LINE for path in sorted((PACKAGE / name).glob("*.py"))]
    found = {str(path.relative_to(PACKAGE)): len(joins_without_asking(path)) for path in files}
    assert {name: count for name, count in found.items() if count} == HAS_A_LIMIT
