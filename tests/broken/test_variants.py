"""Each promise of the service is taken away once, and the proofs must see it; else they prove nothing."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.broken.variants import HARMLESS, UNTOUCHED, VARIANTS, Variant
from tests.broken.workshop import find_out, patched


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda found: found.name)
def test_a_variant_still_applies(variant: Variant) -> None:
    with patched(variant):
        pass


def test_there_are_at_least_fifteen_and_each_is_another_one() -> None:
    names = Counter(variant.name for variant in VARIANTS)
    assert len(names) >= 15
    assert max(names.values()) == 1


@pytest.mark.parametrize("variant", [found for found in VARIANTS if found.quick], ids=lambda found: found.name)
def test_a_quick_variant_is_found_out(variant: Variant) -> None:
    _must_be_found_out(variant)


@pytest.mark.long
@pytest.mark.parametrize("variant", [found for found in VARIANTS if not found.quick], ids=lambda found: found.name)
def test_a_variant_is_found_out(variant: Variant) -> None:
    _must_be_found_out(variant)


@pytest.mark.long
@pytest.mark.parametrize("variant", [HARMLESS, UNTOUCHED], ids=lambda found: found.name)
def test_what_breaks_no_promise_gets_through(variant: Variant) -> None:
    with patched(variant) as source:
        assert find_out(variant, source) is None


def _must_be_found_out(variant: Variant) -> None:
    with patched(variant) as source:
        found = find_out(variant, source)
    assert found is not None, f"'{variant.name}' got through {variant.seeds} seeds"
    print(f"'{variant.name}' was found out by seed {found.seeds - 1}: {found.violation[-300:]}")
