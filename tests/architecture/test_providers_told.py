"""README tells of every provider what the facts say of it: what may be done there, and how that was tried."""

from pathlib import Path

from catalog.providers import Standing
from drivers.registry import known_providers

README = Path(__file__).parents[2] / "README.md"
TRIED = {
    Standing.SERVER: "at a server of that API",
    Standing.EMULATED: "at an emulated server, written from its documentation",
    Standing.CONTRACT: "contract only: built, and asked for one list",
    Standing.REFUSED: "refused, with the reason",
}


def rows() -> list[str]:
    """Return the rows of README's table, by what was tried best."""
    groups: dict[tuple[Standing, tuple[str, ...]], list[str]] = {}
    for provider in known_providers():
        groups.setdefault((provider.standing, provider.may), []).append(provider.name)
    order = list(Standing)
    return [
        f"| {TRIED[standing]} | {', '.join(may) or 'nothing'} | {', '.join(names)} |"
        for (standing, may), names in sorted(groups.items(), key=lambda item: order.index(item[0][0]))
    ]


def test_the_readme_s_table_is_what_the_facts_say() -> None:
    """Whoever reads README knows at which providers machines are made, and where only an emulated server was asked."""
    lines = README.read_text(encoding="utf-8").splitlines()
    head = lines.index("| tried | may | providers |")
    assert lines[head + 2 : head + 2 + len(rows())] == rows()
    assert not lines[head + 2 + len(rows())].startswith("|")
