"""Links between the pages: each one leads to a file of the repository, and to a heading in it.

A link with the name of a test leads to the file with that test.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/vectors/*.md")]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )


def links(page: Path) -> Iterator[str]:
    """Links of a page that stay in the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_named_test_exists(page: Path) -> None:
    """Of each link whose text is the name of a test, the file has that test."""
    for name, target in re.findall(r"\[(test_\w+)\]\(([^)\s]+)\)", prose(page)):
        source = (page.parent / target).read_text(encoding="utf-8")
        assert re.search(rf"^ *(async )?def {name}\(", source, flags=re.MULTILINE), name


def test_each_threat_has_a_test() -> None:
    page = prose(ROOT / "docs" / "security.md")
    section = page.partition("## Who could do what")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 10
    assert [row for row in rows if not re.search(r"\[test_\w+\]\(", row)] == []


def test_the_index_lists_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert {page for page in ROOT.glob("docs/*.md") if page != index} <= listed
