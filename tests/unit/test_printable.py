"""Text from outside on a terminal: nothing in it can control or deceive, names stay readable."""

import json
import time
import tomllib
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from healthd.printable import escaped, printable, toml_escaped

# Of each kind that must not reach a terminal, some; Unicode's names say what they are.
DANGEROUS = {
    "controls": "\x00\x07\x08\t\n\r\x1b\x7f",
    "C1 controls": "\x80\x85\x9b\x9d",
    "directions": "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    "zero width": "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u034f",
    "line breaks": "\u2028\u2029",
    "tags": "\U000e0001\U000e0041\U000e007f",
    "variation selectors": "\ufe00\ufe0e\ufe0f\U000e0100\u180b",
    "fillers": "\u115f\u1160\u3164\uffa0\u2800\u17b4",
    "annotations": "\ufff9\ufffa\ufffb\u206a",
    "surrogates": "\ud800\udfff",
    "private use": "\ue000\U000f0000",
    "unassigned": "\u0378\uffff",
}

NAMES = (
    *("Müller's H10", "Mu\u0308ller", "心率", "心拍計 Ⅱ", "पल्स", "สายรัด", "דופק", "نبض"),
    *("Việt", "Пульс", "한국어", "Σ²", "❤ 7", "🫀", "💪🏽", "🇩🇪", "Polar® H10 – 5°", "a\u00a0b"),
)

ANY_TEXT = st.text(st.characters(exclude_categories=()))


def unsafe(text: str) -> list[str]:
    """Return what must not be in a printed text, judged by Unicode's own tables."""
    found = [char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn")]
    return found + [char for char in text if char in "\u2028\u2029\ufe0e\ufe0f\u3164\u034f"]


@pytest.mark.parametrize("kind", DANGEROUS)
def test_each_dangerous_character_is_replaced(kind: str) -> None:
    for character in DANGEROUS[kind]:
        assert printable(f"a{character}b") == "a?b", hex(ord(character))
        assert character not in escaped(f"a{character}b"), hex(ord(character))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_any_language_stays(name: str) -> None:
    assert printable(name) == escaped(name) == toml_escaped(name) == name


@example("\x1b]0;x\x07\x7f\x9b31m\u202e\u200b")
@given(ANY_TEXT)
def test_no_text_can_control_a_terminal(text: str) -> None:
    safe = printable(text)
    assert len(safe) == len(text)
    assert unsafe(safe) == unsafe(escaped(text)) == []


@example("\u2630" * 9, 5)
@example("한국어 한국어 한국어", 7)
@given(ANY_TEXT, st.integers(0, 40))
def test_the_width_is_bounded_in_cells_of_a_terminal(text: str, width: int) -> None:
    cut = printable(text, width)
    assert cell_len(cut) <= width
    assert cut == printable(text) or cut.endswith("…") or not width


def test_wide_characters_take_two_cells() -> None:
    assert printable("心率心率", 8) == "心率心率"
    assert printable("心率心率", 7) == "心率心…"
    assert printable("心率心率", 6) == "心率…"
    assert printable("abc", 3) == "abc"
    assert printable("abcd", 3) == "ab…"


def test_marks_do_not_pile_up() -> None:
    assert printable("e" + "\u0301" * 500) == "e" + "\u0301" * 3 + "?" * 497
    assert printable("\u0301e") == "?e", "it would change what is printed before it"
    assert printable(" \u0301") == " ?"


def test_a_long_text_is_cut_without_reading_all_of_it() -> None:
    long = "é" * 20_000_000
    begin = time.process_time()
    assert printable(long, 20) == "é" * 19 + "…"
    # Reading all of it takes some ten seconds.
    assert time.process_time() - begin < 3


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_means_the_same_after_escaping(value: object) -> None:
    # Python's JSON, with every character as it is, is the most that can be in a JSON text.
    assert json.loads(escaped(json.dumps(value, ensure_ascii=False))) == value


@given(st.text())
def test_toml_means_the_same_after_escaping(text: str) -> None:
    assert tomllib.loads(f'name = "{toml_escaped(text)}"') == {"name": text}


def test_toml_cannot_hold_a_surrogate() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        toml_escaped("a\ud800")
