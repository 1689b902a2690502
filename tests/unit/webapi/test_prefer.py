from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adjourn.errors import InvalidRequest
from adjourn.webapi import prefer
from adjourn.webapi.prefer import Annotations, Preferences


def parsed(text: str) -> Preferences:
    return prefer.parse({"prefer": text})


def test_without_the_header_nothing_is_preferred() -> None:
    assert prefer.parse({}) == Preferences()


def test_formatted_values_alone_can_be_asked_for() -> None:
    found = parsed('odata.include-annotations="OData.Community.Display.V1.FormattedValue"')
    assert found.annotations == Annotations(formatted=True)
    assert found.applied(annotated=True) == 'odata.include-annotations="OData.Community.Display.V1.FormattedValue"'


def test_a_quoted_list_keeps_its_commas_among_other_preferences() -> None:
    found = parsed(
        'return=representation, odata.include-annotations="Microsoft.Dynamics.CRM.lookuplogicalname,'
        'OData.Community.Display.V1.FormattedValue", odata.maxpagesize=50,odata.continue-on-error'
    )
    assert found.representation
    assert found.continue_on_error
    assert found.page_size == 50
    assert found.annotations == Annotations(formatted=True, lookup_table=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", Annotations(*[True] * 8)),
        ("OData.Community.Display.V1.*", Annotations(formatted=True, attribute=True)),
        ("Microsoft.Dynamics.CRM.morerecords", Annotations(more=True)),
        ("Some.Other.Annotation", Annotations()),
        ("*,-Microsoft.Dynamics.CRM.*", Annotations(formatted=True, attribute=True)),
    ],
)
def test_annotations_are_chosen_by_name_and_wildcard(text: str, expected: Annotations) -> None:
    assert parsed(f'odata.include-annotations="{text}"').annotations == expected
    if "," not in text:
        assert parsed(f"odata.include-annotations={text}").annotations == expected


def test_a_page_is_never_larger_than_5000_rows() -> None:
    assert parsed("odata.maxpagesize=999999").page_size == 5000
    assert parsed("maxpagesize=10").page_size == 10


@pytest.mark.parametrize("size", ["0", "-1", "many", "1.5", "²"])
def test_a_page_size_that_is_none_is_refused(size: str) -> None:
    with pytest.raises(InvalidRequest, match=r"odata\.maxpagesize must be a number"):
        parsed(f"odata.maxpagesize={size}")


def test_unknown_preferences_are_passed_over_and_not_claimed() -> None:
    found = parsed("respond-async; wait=5, handling=strict")
    assert found == Preferences()
    assert found.applied(paged=True, annotated=True, represented=True) is None


@given(st.text(max_size=300))
def test_any_header_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        parsed(text)
