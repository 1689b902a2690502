"""A step that looks at files, for the tests of the Web API."""

from __future__ import annotations

import adjourn


@adjourn.step(message="Update", table="account", stage="PreOperation", filtering_attributes=["new_contract"])
def no_programs(context: adjourn.Context) -> None:
    if str(context.input_parameters["Target"]["new_contract_name"]).endswith(".exe"):
        raise ValueError("no programs")
