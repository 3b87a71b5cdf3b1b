"""Every noun of the command line, against the real API over a real database."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import asyncssh

from catalog import connections
from gateway.cli.admin_ssh import fingerprint
from tests.gateway.cli.conftest import Crossway, Run
from tests.support.api_world import CANARY, host_key
from tests.support.served_api import ServedApi


def test_the_network(run: Run, tmp_path: Path) -> None:
    """Sites, a relay with a key as ssh-keyscan prints it, and a link are declared, listed, changed and removed."""
    keys = tmp_path / "keys"
    key = host_key()
    keys.write_text(f"# osl-1:22 SSH-2.0-OpenSSH\n192.0.2.1 {key}\n")
    run("site", "add", "osl", "--latitude", "59.9", "--longitude", "10.7")
    relay = run(
        *("relay", "add", "osl-1", "--site", "osl", "--host", "192.0.2.1", "--user", "relay"),
        *("--host-key-file", str(keys), "--address-from", "fra=10.0.0.9:22"),
        *("--risk", "1.5", "--risk-group", "acme", "--risk-group", "hall-7"),
    )
    assert (relay["host_key"], relay["addresses_from"]) == (key, {"fra": "10.0.0.9:22"})
    assert (relay["risk"], relay["risk_groups"]) == (1.5, ["acme", "hall-7"])
    kept = run("relay", "set", "osl-1", "--port", "2222")
    assert (kept["port"], kept["risk"], kept["risk_groups"]) == (2222, 1.5, ["acme", "hall-7"])
    assert run("relay", "set", "osl-1", "--risk", "0", "--risk-group", "umbra")["risk_groups"] == ["umbra"]
    assert run("relay", "set", "osl-1", "--no-risk-groups")["risk_groups"] == []
    link = run("link", "add", "fra", "osl", "--one-way", "--price-usd-per-gb", "0.02", "--capacity-mbps", "940")
    assert (link["both_ways"], link["capacity_mbps"]) == (False, 940)

    assert "osl" in [site["name"] for site in run("site", "list")]
    assert run("relay", "disable", "osl-1")[0]["enabled"] is False
    assert run("relay", "enable", "osl-1")[0]["enabled"] is True
    run("site", "remove", "osl", "--yes", code=4)
    run("link", "remove", link["id"])
    run("relay", "remove", "osl-1")
    run("site", "remove", "osl")
    run("site", "show", "osl", code=3)
    run("relay", "list", role="tenant", code=5)


def test_a_relay_s_host_key_is_changed_by_way_of_two(run: Run, tmp_path: Path) -> None:
    """The new key counts beside the old one until that is taken out; the last one stays, a strange one is named."""
    first, files = run("relay", "show", "fra-1")["host_key"], []
    for place in range(2):
        key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
        files.append(tmp_path / f"host_key_{place}.pub")
        files[place].write_text(f"fra-1.example {key}\n")
    new = " ".join(files[0].read_text().split()[1:3])
    both = run("relay", "pin", "fra-1", str(files[0]), "--yes")
    assert (both["host_key"], both["more_host_keys"]) == (first, [new])
    run("relay", "pin", "fra-1", str(files[0]), "--yes", code=2)
    run("relay", "unpin", "fra-1", fingerprint(files[1].read_text().split(" ", 1)[1]), "--yes", code=2)
    after = run("relay", "unpin", "fra-1", fingerprint(first), "--yes")
    assert (after["host_key"], after["more_host_keys"]) == (new, [])
    run("relay", "unpin", "fra-1", fingerprint(new), "--yes", code=2)


def test_weights(run: Run) -> None:
    """One weight is changed and the others stay; an unknown one is refused by the gateway."""
    before = run("weights", "show")
    after = run("weights", "set", "jitter=2.5")

    assert after["jitter"] == 2.5
    assert after["hops"] == before["hops"]
    run("weights", "set", "colour=1", code=2)


def test_a_platform_s_own_weights(run: Run) -> None:
    """They are what differs, change one by one, and are gone after a reset; another platform cannot see them."""
    at = ("--platform", "other")
    assert run("weights", "show", *at, role="other") == {}
    assert run("weights", "set", "loss=3", *at, role="other") == {"loss": 3.0}
    assert run("weights", "set", "hops=0", *at, role="other") == {"loss": 3.0, "hops": 0.0}
    run("weights", "show", *at, role="platform", code=3)
    assert run("weights", "reset", "--platform", "other", role="other") == {}


def test_enrolment(run: Run, tmp_path: Path, crossway: Crossway, api: ServedApi) -> None:
    """An admin approves, the owner enrols with files alone, and no secret reaches any output."""
    url, token_file, secret_file = "https://bergen.example.org", tmp_path / "enrolment", tmp_path / "secret"
    own_token = tmp_path / "own"
    secret_file.write_text(CANARY)
    words = ("enrolment", "create", "bergen", "--api-url", url, "--api-dial", "192.0.2.9:443", "--expires-after", "60")
    made = run(*words, "--token-out", str(token_file))
    assert "token" not in made

    enrolled = crossway(
        *("platform", "enrol", "bergen", "--provider", "simulated", "--site", "fra", "--account", "primary"),
        *("--api-url", url, "--enrolment-token-file", str(token_file), "--secret-file", "-"),
        *("--token-out", str(own_token), "-o", "yaml", "--server", api.server),
        stdin=f"{CANARY}\n",
    )
    assert enrolled.exit_code == 0, enrolled.stderr
    assert CANARY not in enrolled.output
    assert "cw_" not in enrolled.output

    whoami = crossway("whoami", "-o", "json", "--token-file", str(own_token), CROSSWAY_SERVER=api.server)
    assert json.loads(whoami.stdout)["role"] == "platform"
    assert CANARY not in json.dumps(run("platform", "set-secret", "bergen", "--secret-file", str(secret_file)))
    assert run("platform", "show", "bergen")["endpoints"][0]["dial"] == "192.0.2.9:443"
    run("platform", "approve-endpoint", "bergen", "api", "--dial", "192.0.2.10:443")
    assert run("platform", "show", "bergen")["endpoints"][0]["dial"] == "192.0.2.10:443"
    issued = run("platform", "issue-token", "bergen", "--token-out", str(tmp_path / "again"))
    assert "token" not in issued
    whoami = crossway("whoami", "-o", "json", "--token-file", str(tmp_path / "again"), CROSSWAY_SERVER=api.server)
    assert json.loads(whoami.stdout)["role"] == "platform"
    run("platform", "remove", "bergen", "--yes")
    assert [each["enabled"] for each in run("platform", "list") if each["name"] == "bergen"] == [False]


def test_services_elsewhere(run: Run, tmp_path: Path, crossway: Crossway, api: ServedApi) -> None:
    """What is dialled is what the URLs say, unless something else is said; owner and admin name the same services."""
    token_file, secret_file = tmp_path / "enrolment", tmp_path / "secret"
    secret_file.write_text(CANARY)
    urls = ("--api-url", "https://narvik.example.org:5000", "--service", "compute=https://narvik.example.org:8774/v2.1")
    words = ("enrolment", "create", "narvik", *urls, "--service", "image=https://images.example.org")
    run(*words, "--service-dial", "image=192.0.2.9:9292", "--token-out", str(token_file))
    enrolled = crossway(
        *("platform", "enrol", "narvik", "--provider", "simulated", "--site", "fra", "--account", "primary", *urls),
        *("--service", "image=https://images.example.org", "--enrolment-token-file", str(token_file)),
        *("--secret-file", str(secret_file), "--token-out", str(tmp_path / "own"), "--server", api.server),
    )
    assert enrolled.exit_code == 0, enrolled.stderr
    dialled = {each["purpose"]: each["dial"] for each in run("platform", "show", "narvik")["endpoints"]}
    assert dialled == {
        "api": "narvik.example.org:5000",
        "compute": "narvik.example.org:8774",
        "image": "192.0.2.9:9292",
    }
    run("enrolment", "create", "vardo", "--api-url", "ftp://x", code=2)
    run("enrolment", "create", "vardo", *urls[:2], "--service-dial", "image=192.0.2.9:9292", code=2)


def test_the_gateway_s_key_is_printed_bare(crossway: Crossway, api: ServedApi, run: Run) -> None:
    """So that an owner's command can take it as it is."""
    told = crossway("gateway-key", CROSSWAY_SERVER=api.server, CROSSWAY_TOKEN=api.tokens["admin"])
    assert told.stdout.strip() == run("whoami")["gateway"]["gateway_key"]


def test_waiting_for_offers(run: Run) -> None:
    """It ends at once where machines can be ordered; where they never can it ends in time, with what there is."""
    assert run("catalog", "offers", "--capability", "machine", "--wait")
    run("catalog", "offers", "--platform", "other", "--wait", "--timeout", "0", code=6)


def test_a_connection_and_its_consent(run: Run) -> None:
    """A platform asks for another; its owner refuses; what was asked and why it failed can be read."""
    asked = run(
        *(
            "connection",
            "request",
            "other",
            "--no-direct",
            "--relay-limit",
            "1",
            "--avoid",
            "sin",
            "--weight",
            "loss=3",
        ),
        role="platform",
    )
    assert asked["state"] == "awaiting-consent"
    assert asked["policy"] == {"direct_allowed": False, "relay_limit": 1, "avoid": ["sin"], "weights": {"loss": 3.0}}
    assert asked["id"] in [each["id"] for each in run("connection", "list", "--state", "awaiting-consent")]
    run("connection", "consent", asked["id"], role="platform", code=5)
    run("connection", "consent", asked["id"], "--refuse", role="other")

    settled = run("connection", "show", asked["id"], "--wait", code=1)
    assert settled["state"] == "failed"
    assert run("connection", "steps", asked["id"]) == []
    assert run("connection", "sessions", asked["id"]) == []
    run("connection", "close", asked["id"], "--yes")
    run("connection", "show", asked["id"], role="tenant", code=5)


def test_a_connection_for_bulk(run: Run) -> None:
    """Profile, price limit and what is required travel as they are; a limit without the profile is refused."""
    run("site", "set", "fra", "--region", "eu")
    words = ("connection", "request", "--require", "eu", "--require", "fra", "--price-limit", "0.05")
    run(*words, role="other", code=2)
    asked = run(*words, "--profile", "bulk", role="other")
    assert asked["policy"] == {"require": ["eu", "fra"], "profile": "bulk", "price_limit_usd_per_gb": 0.05}


def test_the_candidates_table(run: Run, api: ServedApi, crossway: Crossway) -> None:
    """A decision that the gateway stored is shown as a table whose winner is marked."""
    connection = api.ids["connection"]
    candidate = {
        "route": "fra-1",
        "hops": ["fra-1"],
        "rtt_ms": 20.0,
        "jitter_ms": 1.0,
        "loss_ratio": 0.0,
        "terms": {"delay": 20.0, "loss": 0.0, "jitter": 2.0, "hops": 5.0, "price": 0.0},
        "cost_ms": 27.0,
        "preference": 82.9,
        "refused": "",
        "links": [],
    }
    decision = {"weights": {"delay": 1.0}, "winner": "fra-1", "candidates": [candidate], "probe_methods": ["icmp"]}
    assert run("connection", "routes", connection)["candidates"] == []
    api.write(lambda tx: connections.record_decision(tx, connection, decision, 2e9))

    assert run("connection", "routes", connection)["winner"] == "fra-1"
    shown = crossway(
        "connection", "routes", connection, "--links", CROSSWAY_SERVER=api.server, CROSSWAY_TOKEN=api.tokens["admin"]
    )
    assert shown.stdout.splitlines()[1].split() == [
        "*",
        "fra-1",
        "20.0",
        "1.0",
        "0.00",
        "20.0",
        "0.0",
        "2.0",
        "5.0",
        "0.0",
        "27.0",
        "82.9",
    ]
    assert "winner: fra-1; there is no other usable route" in shown.stdout


def test_grants_and_rules(run: Run, api: ServedApi) -> None:
    """Grants are listed by state and revoked; a rule is added once and removed."""
    assert len(run("grant", "list", "--state", "accepted", "--capability", "size")) == 1
    run("grant", "accept", api.ids["grant-size"], code=4)
    assert run("grant", "link", api.ids["grant-size"], role="platform")["path"].startswith("/v1/answers/cw_link_")
    assert run("grant", "revoke", api.ids["grant-size"], "-y")[0]["state"] == "revoked"

    everybody = ("--platform", "*", "--capability", "machine")
    rule = run("grant", "rule", "add", *everybody)
    run("grant", "rule", "add", *everybody, code=4)
    run("grant", "rule", "add", "--capability", "machine", code=2)
    assert rule["id"] in [each["id"] for each in run("grant", "rule", "list")]
    run("grant", "rule", "remove", rule["id"])


def test_an_end_is_said_as_a_length_of_time(run: Run, api: ServedApi) -> None:
    """Of a grant's terms, of the link by which it is answered, and of a token; nonsense is refused here already."""
    grant, owner = api.ids["grant-machine"], {"role": "platform"}
    terms = ("--quota", "5", "--on-end", "drain", "--wind-down", "90m")
    given = run("grant", "answer", grant, "grant", "--verb", "list", *terms, "--expires-after", "2d", **owner)
    link = run("grant", "link", grant, "--expires-after", "1d", **owner)
    token = run("token", "create", "ci", "--role", "auditor", "--expires-after", "1d12h")
    ends = [datetime.fromisoformat(each["expires_at"]) for each in (given, link, token)]
    assert given["wind_down_s"] == 5400.0
    assert [round((end - ends[1]) / timedelta(hours=1), 1) for end in ends] == [24.0, 0.0, 12.0]
    for words in (("grant", "link", grant), ("grant", "answer", grant, "grant"), ("token", "create", "ci")):
        run(*words, "--expires-after", "soon", code=2, **owner)


def test_orders_pools_and_machines(run: Run, api: ServedApi) -> None:
    """A tenant finds an offer, orders twice under one key and has one order; an admin keeps a pool."""
    assert run("catalog", "entries", role="tenant")
    offers = run("catalog", "offers", "--capability", "machine", role="tenant")
    assert [each["platform"] for each in offers] == ["platform"]
    offer = run("catalog", "offer", api.ids["offer-machine"], role="tenant")
    words = ("order", "create", offer["id"], "--size", offer["sizes"][0]["name"], "--image", offer["images"][0]["id"])
    first = run(*words, "--idempotency-key", "k-1", role="tenant")
    assert run(*words, "--idempotency-key", "k-1", role="tenant")["id"] == first["id"]
    assert first["id"] in [each["id"] for each in run("order", "list", role="tenant")]
    assert run("order", "events", first["id"], role="tenant")
    run("order", "show", first["id"], role="rival", code=3)
    run("order", "cancel", first["id"], role="tenant")
    assert run("order", "show", first["id"], "--wait", role="tenant", code=1)["state"] == "cancelled"

    pool = ("pool", "create", "spare", "--offer", offer["id"], "--size", "small", "--image", "debian-12")
    assert run(*pool, "--idle-target", "0")["census"] == {"idle": 0, "building": 0, "in_use": 0}
    assert run("pool", "set", "spare", "--disabled", "--idle-limit", "4")["enabled"] is False
    assert "spare" in [each["name"] for each in run("pool", "list")]
    terms = ("--hours", "weekdays 8:00-18:00=3", "--zone", "Europe/Berlin", "--machine-limit", "9")
    set_ = run("pool", "set", "spare", *terms, "--idle-age-limit", "7d")
    assert set_["hours"] == [
        {"days": ["mon", "tue", "wed", "thu", "fri"], "start": "08:00", "stop": "18:00", "idle_target": 3}
    ]
    assert (set_["zone"], set_["machine_limit"], set_["idle_age_limit_s"]) == ("Europe/Berlin", 9, 604800.0)
    off = run("pool", "set", "spare", "--hours", "none", "--machine-limit", "none", "--idle-age-limit", "none")
    assert (off["hours"], off["machine_limit"], off["idle_age_limit_s"]) == ([], None, None)
    run("pool", "set", "spare", "--machine-limit", "many", code=2)
    run("pool", "set", "spare", code=2)
    run("pool", "remove", "spare", "--yes")

    machine = api.ids["machine"]
    assert run("machine", "reboot", machine, role="tenant")[0]["id"] == machine
    assert run("machine", "give-back", machine, "--yes", role="tenant")[0]["state"] in {"returned", "destroying"}
    run("machine", "stop", machine, role="tenant", code=4)


def test_organisations_projects_and_tokens(run: Run, crossway: Crossway, api: ServedApi, tmp_path: Path) -> None:
    """A token issued into a file works for its project until it is revoked."""
    run("org", "create", "brewery")
    made = run("project", "create", "brewery/web")
    path = tmp_path / "token"
    token = run("token", "create", "ci", "--project", "brewery/web", "--expires-after", "1h", "--token-out", str(path))

    def whoami() -> int:
        return crossway("whoami", "--token-file", str(path), CROSSWAY_SERVER=api.server).exit_code

    assert whoami() == 0
    run("token", "revoke", token["id"])
    assert whoami() == 5
    assert "brewery" in [each["name"] for each in run("org", "list")]
    assert [each["id"] for each in run("project", "list", "--org", "brewery")] == [made["id"]]
    assert crossway("project", "create", "web").exit_code == 2
    assert "cw_" not in json.dumps(run("token", "list"))


def test_status(run: Run) -> None:
    """Status tells whether the gateway takes work, who one is, and to an admin what it does by itself."""
    assert run("status")["background"][0]["name"] == "pools"
    assert run("status", role="tenant")["ready"] is True
    assert "background" not in run("status", role="tenant")


def test_people_programs_and_their_roles(run: Run, crossway: Crossway, api: ServedApi, tmp_path: Path) -> None:
    """A user gets a role and a token that has it, limited or not, until the role is taken away or the user disabled."""
    run("user", "create", "lee@acme.example")
    robot = run("service-account", "create", "robot-2", "--project", "bakery/tenant")
    assert robot["id"] in [each["id"] for each in run("service-account", "list")]
    role = run("member", "add", "lee@acme.example", "--project", "bakery/tenant", "--role", "viewer")
    assert role["id"] in [each["id"] for each in run("member", "list", "--project", "bakery/tenant")]
    path = tmp_path / "lee.token"
    words = ("--account", "lee@acme.example", "--scope", "order:read", "--scope", "self:read")
    token = run("token", "create", "laptop", *words, "--token-out", str(path))
    assert token["scopes"] == ["order:read", "self:read"]
    mine = {"CROSSWAY_SERVER": api.server, "CROSSWAY_TOKEN": path.read_text().strip(), "CROSSWAY_OUTPUT": "json"}
    assert crossway("order", "list", **mine).exit_code == 0
    assert crossway("machine", "list", **mine).exit_code == 5
    run("member", "remove", role["id"])
    assert crossway("order", "list", **mine).exit_code == 5
    run("user", "disable", role["account"])
    assert crossway("whoami", **mine).exit_code == 5
    run("user", "enable", role["account"])
    assert crossway("whoami", **mine).exit_code == 0


def test_a_person_logs_in_and_out(run: Run, crossway: Crossway, api: ServedApi, tmp_path: Path) -> None:
    """The password comes from a file or the terminal, the session is kept with a context until one logs out."""
    account = run("user", "create", "lou")
    password = tmp_path / "password"
    password.write_text("a password of lou's\n")
    run("user", "set-password", account["id"], "--password-file", str(password))
    contexts = tmp_path / "contexts.toml"
    alone = {"CROSSWAY_CONTEXTS": str(contexts), "CROSSWAY_SERVER": api.server, "CROSSWAY_OUTPUT": "json"}
    done = crossway("login", "lou", "--password-file", str(password), **alone)
    assert done.exit_code == 0, done.stderr
    assert "cw_login_" not in done.stdout + done.stderr
    assert "cw_login_" in contexts.read_text()
    del alone["CROSSWAY_SERVER"]
    assert json.loads(crossway("whoami", **alone).stdout)["account"] == account["id"]
    [session] = json.loads(crossway("session", "list", **alone).stdout)
    assert (session["is_current"], session["state"]) == (True, "open")
    assert crossway("logout", **alone).exit_code == 0
    assert "cw_login_" not in contexts.read_text()
    assert run("session", "list", "--account", account["id"])[0]["state"] == "ended"
    password.write_text("wrong\n")
    alone["CROSSWAY_SERVER"] = api.server
    assert crossway("login", "lou", "--password-file", str(password), **alone).exit_code == 5


def test_volumes(run: Run, api: ServedApi) -> None:
    """A project's volume is listed, shown and destroyed by the noun that it is; what cannot be ordered says why."""
    volume = api.ids["asset"]
    assert [each["id"] for each in run("volume", "list", role="tenant")] == [volume]
    assert run("snapshot", "list", role="tenant") == []
    assert run("volume", "show", volume, role="tenant")["size_gib"] == 8
    refused = run.result("volume", "show", volume, role="rival", output="json")
    assert (refused.exit_code, refused.stdout) == (3, "")
    run("volume", "create", "--offer", "platform", "--size", "8", role="tenant", code=2)
    run("volume", "attach", volume, "machine_none", role="tenant", code=3)
    run("snapshot", "destroy", volume, "--yes", role="tenant", code=2)
    assert run("volume", "destroy", volume, "--yes", role="tenant")[0]["state"] == "destroying"
    run("zone", "create", "not a domain", "--offer", "platform", role="tenant", code=2)
    for kind in ("container", "zone", "record", "balancer"):
        assert run(kind, "list", role="tenant") == []
    run("balancer", "show", volume, role="tenant", code=2)
    limits = run("quota", "set", "bakery/tenant", "--volumes", "3", "--volume-gib", "none", "--snapshots", "0")
    assert (limits["volumes"], limits["volume_gib"], limits["snapshots"]) == (3, None, 0)
