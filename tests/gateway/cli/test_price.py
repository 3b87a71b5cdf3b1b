"""``crossway price`` against the real API over a real database."""

from pathlib import Path

from tests.gateway.cli.conftest import Run
from tests.support.served_api import ServedApi


def test_the_price_book_is_filled_read_and_mended(run: Run, api: ServedApi, tmp_path: Path) -> None:
    """A list is imported as a whole or not at all; an order keeps its price although the book's is removed."""
    file = tmp_path / "list.csv"
    file.write_text("platform,item,unit,amount,currency\nplatform,s1,hour,0.0300,EUR\nplatform,s1,day,1,EUR\n")
    assert "line 3, unit" in run("price", "import", str(file), code=2)
    file.write_text("platform,item,unit,amount,currency\nplatform,s1,hour,0.0300,EUR\n")
    told = run("price", "import", str(file))
    assert told == {"added": 1, "ended": 0, "unchanged": 0, "source": "list.csv"}
    (held,) = run("price", "list", "--platform", api.ids["platform"])
    assert (held["amount"], held["currency"], held["source"]) == ("0.03", "EUR", "list.csv")

    order = run("order", "create", "platform", "--size", "small", "--image", "debian-12", role="tenant")
    assert (order["price"]["amount"], order["price"]["unit"]) == ("0.03", "hour")
    run("price", "remove", held["id"], "--yes")
    run("price", "show", held["id"], code=3)
    assert run("order", "show", order["id"], role="tenant")["price"] == order["price"]

    assert run("price", "seed", "simulated", "--region", "eu")["source"] == "a list, 2026-01-01"
    assert len(run("price", "list", "--provider", "simulated")) == 2
    run("price", "list", role="tenant", code=5)
