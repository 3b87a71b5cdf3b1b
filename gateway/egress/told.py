"""Accounts and errors as JSON, for the line between gateway and provisioner."""

from collections.abc import Mapping
from typing import Any, Final, get_type_hints

from pydantic import TypeAdapter, ValidationError

from catalog.clouds import CloudAccount
from catalog.errors import CatalogError, CloudMisbehaved, CloudUnavailable
from catalog.secrets import Secret

_SECRET: Final = "secret"  # noqa: S105  # a field's name
_OPEN: Final = {name: TypeAdapter(hint) for name, hint in get_type_hints(CloudAccount).items() if name != _SECRET}


def pack_account(account: CloudAccount) -> dict[str, Any]:
    """Return ``account`` as JSON, its secret with it: for the line alone, which is encrypted and never logged."""
    packed = {name: kind.dump_python(getattr(account, name), mode="json") for name, kind in _OPEN.items()}
    return {**packed, _SECRET: account.secret.reveal()}


def unpack_account(packed: Mapping[str, Any]) -> CloudAccount:
    """Return what ``pack_account`` was given. Raises CloudMisbehaved, without a word of what was said."""
    try:
        known = {name: kind.validate_python(packed[name]) for name, kind in _OPEN.items() if name in packed}
        return CloudAccount(**known, secret=Secret(str(packed[_SECRET])))
    except (ValidationError, TypeError, KeyError):
        # "from None": a validator's error quotes what it was given.
        raise CloudMisbehaved("the gateway described an account in a way that this release does not know") from None


def pack_error(error: CatalogError) -> dict[str, Any]:
    """Return ``error`` as JSON."""
    told = {"code": error.code, "message": str(error), "field": error.field, "fix": error.fix, "detail": error.detail}
    return told | ({"retry_after_s": error.retry_after_s} if isinstance(error, CloudUnavailable) else {})


def unpack_error(packed: Mapping[str, Any]) -> CatalogError:
    """Return what ``pack_error`` was given; of a code that this release does not know, CloudMisbehaved."""
    kind = _by_code(CatalogError).get(str(packed.get("code")), CloudMisbehaved)
    # Past the constructors of those that make their words themselves: here the words are there already.
    error = kind.__new__(kind)
    words = {name: packed.get(name) for name in ("field", "fix")}
    CatalogError.__init__(error, str(packed.get("message")), **words, detail=str(packed.get("detail") or ""))
    if isinstance(error, CloudUnavailable):
        error.retry_after_s = packed.get("retry_after_s")
    return error


def _by_code(root: type[CatalogError]) -> dict[str, type[CatalogError]]:
    found = {root.code: root}
    for kind in root.__subclasses__():
        found |= _by_code(kind)
    return found
