"""``crossway order create --need`` and ``order explain`` against the real API over a real database."""

from tests.gateway.cli.conftest import Run


def test_needs_are_ordered_and_explained(run: Run) -> None:
    """The one size that fits is chosen and explained; what names both ways, neither, or the impossible is refused."""
    run = run.by("tenant", "order")
    needs = ("--need", "os=debian 12", "--need", "vcpu=1", "--need", "max_price=0.5", "--need", "currency=EUR")
    order = run("create", *needs, "--prefer", "price")
    assert (order["size"], order["image"], order["price"]["amount"]) == ("s1", "i1", "0.02")
    kept = run("explain", order["id"])
    assert (kept["id"], kept["position"], len(kept["candidates"])) == (order["id"], 0, 1)
    assert kept["candidates"][0]["outcome"] == "chosen"
    table = run.text("explain", order["id"])
    assert "0.02 EUR/hour" in table
    assert "reachability unknown" in table
    assert "os debian 12" in table
    run("explain", order["id"], role="rival", code=3)
    named = run("create", "platform", "--size", "small", "--image", "debian-12")
    assert (run("explain", named["id"])["chosen_by"], kept["chosen_by"]) == ("name", "needs")
    assert "without vcpu_min there would be 1" in run("create", *needs[:2], "--need", "vcpu=64", code=2)
    told = run("create", *needs[:2], "--need", "vcpus=4", code=2)
    assert "did you mean vcpu?" in told
    assert "max_rtt_ms" in run("create", *needs[:2], "--need", "zzz=4", code=2)
    assert "there is no image of debian 99; there is debian 12" in run("create", "--need", "os=debian 99", code=2)
    assert "leave it out" in run("create", "platform", *needs[:2], code=2)
    assert "give size, or needs" in run("create", "platform", code=2)
