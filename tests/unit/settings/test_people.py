"""``[[people]]``: accepted values, and errors that name the place but no person and no weight."""

from collections.abc import Callable
from pathlib import Path

import pytest

from healthd.settings.file import read
from healthd.settings.model import Settings
from healthd.settings.problems import Problem, SettingsError

SCALE = '[[peripherals]]\nid = "scale"\nname = "Scale"\n'
ANNA = '[[people]]\nid = "anna"\nweight_kg = 62\n'
BERT = '[[people]]\nid = "bert"\nweight_kg = 81.5\n'

Problems = Callable[[str], list[Problem]]


@pytest.fixture
def read_text(tmp_path: Path) -> Callable[[str], Settings]:
    def read_it(text: str) -> Settings:
        file = tmp_path / "healthd.toml"
        file.write_text(text, encoding="utf-8")
        return read(file, {}, {})

    return read_it


@pytest.fixture
def problems(read_text: Callable[[str], Settings]) -> Problems:
    def refused(text: str) -> list[Problem]:
        with pytest.raises(SettingsError) as caught:
            read_text(text)
        return caught.value.problems

    return refused


def test_two_people_with_and_without_details(read_text: Callable[[str], Settings]) -> None:
    details = "tolerance_kg = 2.5\nimpedance_ohm = 480\nusers = { scale = 2 }\n"
    anna, bert = read_text(SCALE + ANNA + details + BERT).people
    assert (anna.id, anna.weight_kg, anna.tolerance_kg) == ("anna", 62.0, 2.5)
    assert (anna.impedance_ohm, anna.users) == (480.0, {"scale": 2})
    assert (bert.weight_kg, bert.tolerance_kg, bert.impedance_ohm) == (81.5, 3.0, None)
    assert bert.users == {}


def test_a_person_who_is_only_a_number_on_a_device(read_text: Callable[[str], Settings]) -> None:
    (anna,) = read_text(f'{SCALE}[[people]]\nid = "anna"\nusers = {{ scale = 0 }}\n').people
    assert (anna.weight_kg, anna.users) == (None, {"scale": 0})


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        (ANNA + ANNA, "people[1].id", "no other person has"),
        (ANNA + "tolerance_kg = 0\n", "people[0].tolerance_kg", "0.1 to 20"),
        (ANNA + "tolerance_kg = -3\n", "people[0].tolerance_kg", "0.1 to 20"),
        (ANNA + "tolerance_kg = nan\n", "people[0].tolerance_kg", "0.1 to 20"),
        (ANNA + "impedance_ohm = 0\n", "people[0].impedance_ohm", "50 to 2000"),
        (ANNA + "waist_m = 1\n", "people[0].waist_m", "one of id"),
        (ANNA + "users = { scale = 255 }\n", "people[0].users.scale", "0 to 254"),
        (ANNA + "users = { scale = true }\n", "people[0].users.scale", "0 to 254"),
        (ANNA + "users = 2\n", "people[0].users", "a table"),
        (ANNA + "users = { skale = 2 }\n", "people[0].users.skale", 'did you mean "scale"?'),
        (
            ANNA + "users = { scale = 2 }\n" + BERT + "users = { scale = 2 }\n",
            "people[1].users.scale",
            "a number that no other person has",
        ),
        ('[[people]]\nid = "anna"\n', "people[0]", "weight_kg, or users"),
        (
            '[[people]]\nid = "anna"\nusers = { scale = 1 }\nimpedance_ohm = 480\n',
            "people[0].impedance_ohm",
            "weight_kg as well",
        ),
        ('[[people]]\nid = "anna"\nweight_kg = 0\n', "people[0].weight_kg", "2 to 500"),
        ('[[people]]\nid = "anna"\nweight_kg = true\n', "people[0].weight_kg", "2 to 500"),
        ('[[people]]\nid = "Anna K"\nweight_kg = 62\n', "people[0].id", "a-z, 0-9"),
        ("[[people]]\nweight_kg = 62\n", "people[0].id", "required"),
        ("people = 5\n", "people", "a list"),
    ],
)
def test_a_mistake_is_named(problems: Problems, text: str, key: str, expected: str) -> None:
    lines = text if text.startswith("people =") else SCALE + text
    (problem,) = problems(lines)
    assert problem.key == key
    assert expected in problem.expected


def test_a_number_on_a_device_that_does_not_exist_without_any_peripheral(
    problems: Problems,
) -> None:
    (problem,) = problems(ANNA + "users = { scale = 2 }\n")
    assert (problem.key, problem.found) == ("people[0].users.scale", "'scale'")
    assert "[[peripherals]]" in problem.expected


def test_all_mistakes_are_reported_at_once(problems: Problems) -> None:
    text = f"{SCALE}{ANNA}tolerance_kg = 0\n{ANNA}users = {{ cuff = 1 }}\nwaist = 1\n"
    assert {problem.key for problem in problems(text)} == {
        "people[0].tolerance_kg",
        "people[1].id",
        "people[1].users.cuff",
        "people[1].waist",
    }


def test_no_mistake_shows_a_name_or_a_weight(problems: Problems) -> None:
    text = '[[people]]\nid = "Anna Karenina"\nweight_kg = "83.25 kg"\n' + ANNA + ANNA
    shown = "\n".join(map(str, problems(SCALE + text)))
    assert "people[0].id" in shown
    assert not any(secret in shown.lower() for secret in ("karenina", "83.25", "'anna'", "62"))
