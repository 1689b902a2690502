"""Words as both databases keep them: without marks, case and everything that is no letter or digit."""

from __future__ import annotations

from adjourn.query import text_index


def test_words_are_plain_different_and_in_order() -> None:
    assert text_index.words_of(["Zwölf Čapeks, zwölf!", "a_b-c  3.14 STRASSE straße"]) == (
        "zwolf", "capeks", "a", "b", "c", "3", "14", "strasse",
    )  # fmt: skip


def test_other_scripts_are_words_too() -> None:
    assert text_index.words_of(["Ωmega Привет 東京"]) == ("ωmega", "привет", "東京")


def test_long_words_and_many_words_are_bounded() -> None:
    assert text_index.words_of(["x" * 1000]) == ("x" * 64,)
    assert len(text_index.words_of([" ".join(str(number) for number in range(20_000))])) == text_index.WORDS_MAX


def test_the_digest_tells_other_words() -> None:
    assert text_index.digest(["a", "b"]) != text_index.digest(["ab"])
    assert text_index.digest(["a", "b"]) == text_index.digest(["a", "b"])
