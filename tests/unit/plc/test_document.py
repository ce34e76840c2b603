"""docs/modbus.md says what the server serves."""

from __future__ import annotations

from pathlib import Path

from edge_inspect.plc.document import modbus_document
from edge_inspect.plc.registers import CONTROL, STATUS
from edge_inspect.plc.signals import TROUBLE_MEANING, Trouble

ROOT = Path(__file__).resolve().parents[3]


def test_the_document_in_the_repository_is_the_one_the_code_writes() -> None:
    written = (ROOT / "docs" / "modbus.md").read_text(encoding="utf-8")
    assert written == modbus_document(), "run tools/generate-modbus-map"


def test_every_row_and_every_trouble_is_in_the_document() -> None:
    text = modbus_document()
    assert all(f"`{row.name}`" in text and row.meaning in text for row in (*CONTROL, *STATUS))
    assert set(TROUBLE_MEANING) == set(Trouble)
    assert all(meaning in text for meaning in TROUBLE_MEANING.values())
