"""Sessions that end: one, or all of an account at once."""

from catalog import accounts, logins
from catalog.logins import LoginPolicy
from catalog.model.access import Account, Login
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.stores import Store


def begun(tx: Tx, account: Account) -> Login:
    """Return a new session of the account."""
    return logins.begin(tx, account, way="password", address="192.0.2.1", agent="", policy=LoginPolicy(), now_s=1.0)[0]


def test_all_sessions_of_one_account_end_but_the_one_that_is_named(store: Store) -> None:
    """The number of those that ended now is told; what had ended keeps its reason, and other people their sessions."""

    def work(tx: Tx) -> None:
        mara, kim = (accounts.create_user(tx, name=name, now_s=1.0) for name in ("mara", "kim"))
        kept, over, first, second = (begun(tx, mara) for _ in range(4))
        other = begun(tx, kim)
        logins.end(tx, over, "logged out", 2.0)
        assert logins.end_all(tx, mara, "a new password", 3.0, but=kept.id) == 2
        ended = {each.id: (each.ended_at_s, each.end_reason) for each in rows.where(tx, Login)}
        assert ended == {
            kept.id: (None, ""),
            over.id: (2.0, "logged out"),
            first.id: (3.0, "a new password"),
            second.id: (3.0, "a new password"),
            other.id: (None, ""),
        }

    store.write(work)
