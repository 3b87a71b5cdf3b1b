"""What can be said of a kind of cloud before anybody enrols one: what works there, and how that is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Standing(StrEnum):
    """How far a provider, or one capability of it, was really tried."""

    SERVER = "server"  # exercised by the tests against a real server of that API
    EMULATED = "emulated"  # exercised by the tests against a server written from its documentation, never a real one
    CONTRACT = "contract"  # built, and asked for one list; nothing but its library's signatures is known
    REFUSED = "refused"  # known, and not accepted; the reason is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider. ``capabilities`` holds a standing each; what is absent it has not.

    ``how`` says how it was tried, or why it is refused; ``creates``: machines can be made there, and found again;
    ``assets``: what else can be, likewise with a standing each. ``note`` is what else to know before enrolling one.
    """

    name: str
    title: str
    standing: Standing
    how: str
    creates: bool = False
    note: str = ""
    capabilities: Mapping[str, Standing] = field(default_factory=dict)
    assets: Mapping[str, Standing] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    @property
    def may(self) -> tuple[str, ...]:
        """Return what may be done there: nothing, ``list``, or also ``create`` machines and ``act`` on them."""
        if self.standing is Standing.REFUSED:
            return ()
        return ("list", "create", "act") if self.creates else ("list",)
