"""Links by which a platform's owner answers for one grant in a browser: made by the owner's token, used once.

Whoever holds the link speaks for the owner, for this grant and until it ends; so it is a secret like a token: only its
digest is kept, a new link ends the one before, and any other change of the grant's standing ends it too.
"""

from catalog import consent
from catalog.access import still_may
from catalog.errors import NotFound
from catalog.expiry import is_over
from catalog.model.consent import AnswerLink, Grant
from catalog.model.ids import AnswerLinkId, TokenId, new_id
from catalog.store import rows
from catalog.store.database import Tx
from catalog.token_text import digest, new_text

LASTS_S = 3 * 86_400.0


def make(tx: Tx, grant: Grant, *, lasts_s: float, by: TokenId, now_s: float) -> tuple[AnswerLink, str]:
    """Return a link for the owner of ``grant``, made with the token ``by``, and its text; the former one has ended.

    Raises WrongState when there is nothing that the owner could answer.
    """
    consent.require_answerable(grant)
    for former in rows.where(tx, AnswerLink, grant_id=grant.id, used_at_s=None):
        rows.update(tx, former, {"used_at_s": now_s}, now_s)
    text = new_text("link")
    link = AnswerLink(
        id=AnswerLinkId(new_id("link", now_s)),
        digest=digest(text),
        grant_id=grant.id,
        request_id=grant.request_id,
        state=grant.state,
        epoch=grant.epoch,
        made_by=by,
        expires_at_s=now_s + lasts_s,
    )
    return rows.insert(tx, link, now_s), text


def find(tx: Tx, text: str, now_s: float) -> tuple[AnswerLink, Grant]:
    """Return the link with this text, and its grant. Raises NotFound, whatever the reason why it does not hold."""
    link = rows.first(tx, AnswerLink, digest=digest(text))
    grant = None if link is None else rows.find(tx, Grant, link.grant_id)
    # The link has no more than its maker has now.
    if link is None or grant is None or not _holds(link, grant, now_s) or not _may(tx, link, now_s):
        raise NotFound(
            "this link does not hold: it was used, has ended, or was never made",
            fix="ask whoever sent it for a new one",
        )
    return link, grant


def use(tx: Tx, link: AnswerLink, now_s: float) -> None:
    """Let it not be used again; in the transaction of what it is used for."""
    rows.update(tx, link, {"used_at_s": now_s}, now_s)


def _may(tx: Tx, link: AnswerLink, now_s: float) -> bool:
    return still_may(tx, link.made_by, "grant:answer", now_s)


def _holds(link: AnswerLink, grant: Grant, now_s: float) -> bool:
    was = (link.request_id, link.state, link.epoch)
    is_now = (grant.request_id, grant.state, grant.epoch)
    return link.used_at_s is None and not is_over(link.expires_at_s, now_s) and was == is_now
