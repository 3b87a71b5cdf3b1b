"""Which rows are told, to whom, and that no secret is among their facts."""

import pytest

from catalog.model.access import Role, Token
from catalog.model.event import Audience
from catalog.model.ids import ConnectionId, OrganisationId, PassageId, PlatformId, ProjectId, TokenId, WebhookId
from catalog.model.passage import Passage, PassageKind
from catalog.model.tenancy import Organisation
from catalog.model.webhook import Webhook
from catalog.store.telling import telling

OWNER, PARTNER = PlatformId("platform_A"), PlatformId("platform_B")


@pytest.mark.parametrize(
    ("principal", "partner"),
    [
        pytest.param("admin", None, id="an admin's concerns the platform alone"),
        pytest.param(f"platform:{OWNER}", None, id="the owner's own too"),
        pytest.param(f"platform:{PARTNER}", PARTNER, id="another platform's both"),
    ],
)
def test_a_passage_concerns_whom_it_leads_to_and_whose_it_is(principal: str, partner: str | None) -> None:
    """The platform at its end, and the other one when it is another's."""
    row = Passage(
        id=PassageId("passage_1"),
        principal=principal,
        platform_id=OWNER,
        connection_id=ConnectionId("connection_1"),
        kind=PassageKind.HTTP,
        purpose="aws",
        opened_at_s=1.0,
        expires_at_s=2.0,
    )
    told = telling(row)
    assert told is not None
    assert (told.standing, told.platform_id, told.partner_id) == ("opened", OWNER, partner)
    row.ended_at_s = 1.5
    ended = telling(row)
    assert ended is not None
    assert ended.standing == "ended"


def test_no_secret_is_a_fact() -> None:
    """Neither a token's digest, nor a webhook's secret or URL, is told to anybody."""
    token = Token(id=TokenId("token_1"), digest="D1GEST", role=Role.MEMBER, name="ci", subject_id="project_1")
    webhook = Webhook(
        id=WebhookId("webhook_1"), audience=Audience.PROJECT, subject_id="project_1",
        url="https://U.example.net", read_upto=0, key_id="k1", sealed="S3ALED",
    )  # fmt: skip
    told = [telling(token), telling(webhook)]
    assert [each.project_id for each in told if each is not None] == [None, ProjectId("project_1")]
    assert not any(word in str(told) for word in ("D1GEST", "S3ALED", "U.example.net"))


def test_other_rows_are_nobody_s_news() -> None:
    """A row of a kind that is not told has no telling."""
    assert telling(Organisation(id=OrganisationId("organisation_1"), name="acme")) is None
