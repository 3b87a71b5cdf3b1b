"""A grant held back, by either side for itself: nothing passes meanwhile, in whatever order both sides act."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from catalog import consent, publish
from catalog.errors import Denied, WrongState
from catalog.model.consent import GrantState, Side
from catalog.model.offering import OfferState
from tests.support.consenting import Talk, begin_talk, granted
from tests.support.stores import opened_store

SIDES = st.sampled_from(list(Side))


def suspend(talk: Talk, side: Side) -> None:
    """Hold the machines' grant back."""
    grant_id = talk.grant().id
    talk.store.write(lambda tx: consent.suspend(tx, grant_id, side, talk.store.now_s))


def resume(talk: Talk, side: Side) -> None:
    """Let the machines' grant go on."""
    grant_id = talk.grant().id
    talk.store.write(lambda tx: consent.resume(tx, grant_id, side, talk.store.now_s))


@pytest.mark.parametrize("side", Side)
def test_suspending_withdraws_the_offer_at_once_and_resuming_lets_it_be_made_again(talk: Talk, side: Side) -> None:
    """Nothing is allowed meanwhile; afterwards the grant is among those to publish, on its old terms."""
    talk.accepted(quota=3)
    suspend(talk, side)
    assert talk.offer().state is OfferState.WITHDRAWN
    assert side.value in talk.offer().reason
    with pytest.raises(Denied):
        talk.allowed()
    resume(talk, side)
    assert talk.allowed().quota == 3
    due = talk.store.read(lambda tx: publish.outdated(tx, talk.store.now_s, age_s=3600))
    assert [grant.id for grant in due] == [talk.grant().id]


def test_neither_side_lifts_what_the_other_holds(talk: Talk) -> None:
    """The gateway cannot resume what the platform suspended, and with both holding, both have to let go."""
    talk.accepted()
    suspend(talk, Side.PLATFORM)
    with pytest.raises(WrongState, match="does not hold") as refused:
        resume(talk, Side.GATEWAY)
    assert "platform" in str(refused.value.fix)
    suspend(talk, Side.GATEWAY)
    resume(talk, Side.PLATFORM)
    assert talk.grant().state is GrantState.SUSPENDED
    resume(talk, Side.GATEWAY)
    assert talk.grant().state is GrantState.ACCEPTED


def test_an_owners_answer_reaches_a_suspended_grant_and_does_not_resume_it(talk: Talk) -> None:
    """Narrowed while suspended: the new terms stand, held back. Absent from the answer: revoked."""
    talk.accepted(quota=5)
    suspend(talk, Side.GATEWAY)
    talk.answer(granted("machine", "create", quota=1))
    assert (talk.grant().state, talk.grant().quota) == (GrantState.SUSPENDED, 1)
    talk.answer()
    assert (talk.grant().state, talk.grant().suspended_by) == (GrantState.REVOKED, [])


def test_a_suspended_grant_expires(talk: Talk) -> None:
    """Time goes on while it is held back; when it is over, nobody can resume it, seen to or not."""
    talk.accepted(expires_at_s=talk.store.now_s + 5)
    suspend(talk, Side.PLATFORM)
    talk.store.clock.advance(5)
    with pytest.raises(WrongState, match="over"):
        resume(talk, Side.PLATFORM)
    assert talk.store.write(lambda tx: consent.expire_due(tx, talk.store.now_s)) == 1
    assert talk.grant().state is GrantState.EXPIRED


class TwoSides(RuleBasedStateMachine):
    """Both sides do whatever they can to one grant, in any order; a model of five facts says what may be."""

    def __init__(self) -> None:
        """Open a database of its own, with a platform that nobody has asked yet."""
        super().__init__()
        self.open = ExitStack()
        folder = Path(tempfile.mkdtemp())
        self.open.callback(shutil.rmtree, folder)
        store = self.open.enter_context(opened_store(folder))
        self.talk = begin_talk(store)
        self.asked = 0
        self.owner = self.gateway = False  # whether that side's yes stands, since the last request
        self.held: set[Side] = set()

    def teardown(self) -> None:
        """Close and remove the database."""
        self.open.close()

    @rule()
    def ask(self) -> None:
        """The gateway asks, under a new id: what ended begins anew, with nobody's yes."""
        self.asked += 1
        self.talk.propose(self.request, {"machine": ("create",)})

    @precondition(lambda self: self.asked)
    @rule(yes=st.booleans(), quota=st.integers(min_value=1, max_value=3))
    def answer(self, *, yes: bool, quota: int) -> None:
        """The owner answers the newest request, in the affirmative or not."""
        open_before = self.state in {GrantState.REQUESTED, GrantState.GRANTED} or self.stands
        lines = [granted("machine", "create", quota=quota)] if yes else []
        self.talk.answer(*lines, request_id=self.request)
        if open_before:
            self.owner = yes
            self._forget(ended=not yes)

    @precondition(lambda self: self.asked > 1)
    @rule()
    def replay(self) -> None:
        """An old answer comes again: it changes nothing."""
        before = self.talk.grant()
        self.talk.answer(granted("machine", "create", quota=9), request_id="r1")
        assert self.talk.grant() == before

    @precondition(lambda self: self.asked)
    @rule(do=st.sampled_from([consent.accept, consent.refuse, consent.revoke]))
    def decide(self, do: object) -> None:
        """The gateway accepts, refuses or revokes; what the table does not allow is refused."""
        grant_id = self.talk.grant().id
        try:
            self.talk.store.write(lambda tx: do(tx, grant_id, self.talk.store.now_s))  # type: ignore[operator]
        except WrongState:
            return
        self.gateway = do is consent.accept
        self._forget(ended=not self.gateway)

    @precondition(lambda self: self.asked)
    @rule(side=SIDES, on=st.booleans())
    def hold(self, side: Side, *, on: bool) -> None:
        """A side holds the grant back, or lets it go."""
        try:
            (suspend if on else resume)(self.talk, side)
        except WrongState:
            return
        assert self.stands
        (self.held.add if on else self.held.discard)(side)

    @invariant()
    def allowed_if_and_only_if_both_say_yes_and_none_holds(self) -> None:
        """The promise: both sides' yes since the last request, and nobody who holds it back."""
        try:
            self.talk.allowed()
            passes = True
        except Denied:
            passes = False
        assert passes == (self.stands and not self.held)

    @property
    def request(self) -> str:
        """The newest request's id."""
        return f"r{self.asked}"

    @property
    def state(self) -> GrantState:
        """The grant's state."""
        return self.talk.grant().state

    @property
    def stands(self) -> bool:
        """Whether both sides' yes stands."""
        return self.owner and self.gateway

    def _forget(self, *, ended: bool) -> None:
        if ended:
            self.owner = self.gateway = False
            self.held.clear()


TestTwoSides = TwoSides.TestCase
TestTwoSides.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
