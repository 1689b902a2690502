"""docs/webapi.md names every function and action that is served."""

from __future__ import annotations

from pathlib import Path

from adjourn.webapi import bulk, file_blocks, operations
from adjourn.webapi.operations import FUNCTIONS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "webapi.md").read_text()


def test_every_function_and_action_is_described() -> None:
    served = [*FUNCTIONS, *file_blocks.ACTIONS, *bulk.ACTIONS, operations.EXECUTE_ASYNC, operations.CREATE_ENTITIES]
    assert [name for name in (*served, operations.METADATA_CHANGES) if f"`{name}" not in PAGE] == []
