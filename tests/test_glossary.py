"""The glossary: each term once, explained without itself, and the page of the docs is made of it."""

from pathlib import Path

import pytest

from surefoot.errors import SettingError
from surefoot.glossary import TERMS, term

PAGE = Path(__file__).parents[1] / "docs" / "glossary.md"


def test_some_twenty_terms_each_once():
    assert 20 <= len(TERMS) <= 30
    assert len({each.short for each in TERMS.values()}) == len(TERMS)


@pytest.mark.parametrize("each", TERMS.values(), ids=TERMS)
def test_a_term_is_a_sentence_for_everybody_and_one_for_those_who_want_more(each):
    assert each.short.endswith(".")
    assert each.more.endswith(".")
    assert len(each.short) < 170
    assert not any(symbol in each.short for symbol in "=<>^/|")  # no formula
    assert each.name.lower() not in each.short.lower()  # not explained by itself


def test_an_unknown_term_names_the_nearest():
    assert term("hessian").name == "Hessian"
    with pytest.raises(SettingError, match=r"no term named 'gradeint'\. Did you mean 'gradient'"):
        term("gradeint")


def test_the_page_says_what_the_glossary_says():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| **")]
    assert rows == [f"| **{each.name}** | {each.short} | {each.more.replace('|', chr(92) + '|')} |" for each in TERMS.values()]
