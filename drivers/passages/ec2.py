"""EC2 for the holder of a passage: its own key proves the call, the account's key signs it again for the real endpoint.

The table below says which capability an action needs; an action or a parameter that is not in it is refused. What was
checked is what is sent: the parameters are read, judged and written anew.
"""

import hmac
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit
from xml.sax.saxutils import escape

from catalog.clouds import AccountOf, CloudAccount
from catalog.errors import CloudMisbehaved, Denied
from catalog.messages.handshake import Capability
from catalog.ports import Asked, Carrier, Clock, HttpAnswer, HttpCall, PassageCall, PassageTerms
from drivers.passages import sigv4
from drivers.passages.answers import one_piece, within

_VERSION: Final = "2016-11-15"
_FORM: Final = "application/x-www-form-urlencoded"
_PARAMETERS_LIMIT: Final = 2_000
_NOT_SENT_ON: Final = frozenset({"Action", "Version"})

ACTIONS: Final[Mapping[str, tuple[Capability, str]]] = {
    "DescribeInstances": (Capability.MACHINE, "list"),
    "DescribeInstanceStatus": (Capability.MACHINE, "list"),
    "RunInstances": (Capability.MACHINE, "create"),
    "StartInstances": (Capability.MACHINE, "start"),
    "StopInstances": (Capability.MACHINE, "stop"),
    "RebootInstances": (Capability.MACHINE, "reboot"),
    "GetConsoleOutput": (Capability.MACHINE, "console"),
    "TerminateInstances": (Capability.MACHINE, "destroy"),
    "DescribeImages": (Capability.IMAGE, "list"),
    "DescribeInstanceTypes": (Capability.SIZE, "list"),
    "DescribeInstanceTypeOfferings": (Capability.SIZE, "list"),
    "DescribeRegions": (Capability.LOCATION, "list"),
    "DescribeAvailabilityZones": (Capability.LOCATION, "list"),
    "DescribeKeyPairs": (Capability.KEY_PAIR, "list"),
    "DescribeVolumes": (Capability.VOLUME, "list"),
}
# A machine may not bring along what nobody granted: no role of the account (IamInstanceProfile), no further volumes or
# interfaces, no template whose content is unknown here.
_CREATE: Final = re.compile(
    r"ImageId|InstanceType|MinCount|MaxCount|KeyName|UserData|ClientToken|DryRun|EbsOptimized|SubnetId"
    r"|SecurityGroup(Id)?\.\d{1,2}|Placement\.(AvailabilityZone|Tenancy)|Monitoring\.Enabled|DisableApiTermination"
    r"|InstanceInitiatedShutdownBehavior|CreditSpecification\.CpuCredits"
    r"|MetadataOptions\.(HttpTokens|HttpEndpoint|HttpPutResponseHopLimit)"
    r"|TagSpecification\.\d{1,2}\.(ResourceType|Tag\.\d{1,2}\.(Key|Value))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ec2Passage:
    """catalog.ports.NativePassage for an EC2 account."""

    terms: PassageTerms
    account: AccountOf
    carrier: Carrier
    clock: Clock

    @property
    def _key(self) -> str:
        # Amazon's own begin with AKIA or ASIA; this one can be told apart from them in any log.
        return f"CROSSWAY{self.terms.passage.rpartition('_')[2][-12:].upper()}"

    def environment(self) -> Mapping[str, str]:
        """Return what the aws command line and the SDKs read."""
        return {
            "AWS_ACCESS_KEY_ID": self._key,
            "AWS_SECRET_ACCESS_KEY": self.terms.secret.reveal(),
            # For every service, so that a call of another one is refused here and does not leave for the real one.
            "AWS_ENDPOINT_URL": self.terms.address,
            "AWS_ENDPOINT_URL_EC2": self.terms.address,
            "AWS_REGION": self.terms.region,
            "AWS_DEFAULT_REGION": self.terms.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def is_from_holder(self, call: PassageCall) -> bool:
        """Whether this passage's key signed ``call``."""
        request = _request(call)
        claim = sigv4.signed(request)
        return (
            claim is not None
            and hmac.compare_digest(claim.key, self._key)
            and sigv4.is_genuine(request, claim, self.terms.secret.reveal(), self.clock.now_s())
        )

    def asked(self, call: PassageCall) -> Asked:
        """Return the action. Raises Denied for another service or region, an unknown action or parameter."""
        claim = sigv4.signed(_request(call))
        if claim is None or claim.service != "ec2":
            raise Denied(f"the passage leads to EC2, not to {claim.service if claim else 'an unsigned call'}")
        if claim.region != self.terms.region:
            raise Denied(f"the passage leads to region {self.terms.region}")
        parameters = _parameters(call)
        action = parameters.get("Action", "")
        needed = ACTIONS.get(action)
        if needed is None:
            raise Denied(f"no capability covers the action '{_shown(action)}'")
        if action == "RunInstances":
            _refuse_extras(parameters)
        return Asked(what=f"ec2 {action}", capability=needed[0], verb=needed[1])

    @asynccontextmanager
    async def send(self, call: PassageCall) -> AsyncIterator[HttpAnswer]:
        """Return the real endpoint's answer to the same action, signed with the account's own key."""
        account = await self.account()
        parameters = _parameters(call)
        action = parameters["Action"]
        sent = {"Action": action, "Version": _VERSION}
        sent |= {name: value for name, value in parameters.items() if name not in _NOT_SENT_ON}
        out = self._signed(account, sent, repeatable=action.startswith("Describe"))
        async with self.carrier.send(account.platform, account.endpoint, out) as answer:
            if any(name.lower() == "content-encoding" for name, _ in answer.headers):
                raise CloudMisbehaved("the cloud sent an encoding that was not asked for")
            headers = tuple(pair for pair in answer.headers if pair[0].lower() in _TOLD)
            body = within(answer.body, self.terms.answer_limit_bytes)
            yield HttpAnswer(status=answer.status, headers=headers, body=body)

    def refusal(self, call: PassageCall, *, status: int, message: str) -> HttpAnswer:
        """Return an error as EC2 puts it."""
        del call
        code = _CODES.get(status, "InternalError")
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Response><Errors><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error></Errors>"
            f"<RequestID>{self.terms.passage}</RequestID></Response>"
        )
        return one_piece(status, "text/xml;charset=UTF-8", body.encode())

    def _signed(self, account: CloudAccount, parameters: Mapping[str, str], *, repeatable: bool) -> HttpCall:
        at = urlsplit(account.endpoint.url)
        body = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in parameters.items())
        request = sigv4.Request(
            method="POST",
            path="/",
            query="",
            headers=(("Host", at.netloc), ("Content-Type", f"{_FORM}; charset=utf-8"), ("Accept-Encoding", "identity")),
            body=body.encode(),
        )
        headers = sigv4.sign(
            request,
            key=account.account,
            secret=account.secret.reveal(),
            region=account.region,
            service="ec2",
            now_s=self.clock.now_s(),
        )
        return HttpCall(
            method="POST",
            url=f"{at.scheme}://{at.netloc}/",
            headers=headers,
            body=request.body,
            timeout_s=self.terms.call_timeout_s,
            repeatable=repeatable,
        )


def ec2_passage(terms: PassageTerms, account: AccountOf, carrier: Carrier, clock: Clock) -> Ec2Passage:
    """Return a passage; nothing is sent yet."""
    return Ec2Passage(terms=terms, account=account, carrier=carrier, clock=clock)


# An SDK repeats what ends in 500 or 503 by itself: what may not be repeated ends in 504, which it shows.
_CODES: Final[Mapping[int, str]] = {
    401: "AuthFailure",
    403: "UnauthorizedOperation",
    413: "RequestEntityTooLarge",
    429: "RequestLimitExceeded",
    502: "InternalError",
    503: "Unavailable",
}
_TOLD: Final = frozenset({"content-type", "x-amzn-requestid", "retry-after", "date"})


def _request(call: PassageCall) -> sigv4.Request:
    path = f"{urlsplit(call.address).path}{call.path}"
    return sigv4.Request(method=call.method, path=path, query=call.query, headers=call.headers, body=call.body)


def _parameters(call: PassageCall) -> dict[str, str]:
    """Return the parameters of a query or form call. Raises Denied for what two readers could read in two ways."""
    content_type = next((value for name, value in call.headers if name.lower() == "content-type"), "")
    in_body = call.method == "POST" and content_type.partition(";")[0].strip().lower() == _FORM
    if call.path not in {"", "/"} or (call.query and call.body) or not (in_body or call.method == "GET"):
        raise Denied("EC2's query API takes a form, or parameters in the address, and no path")
    try:
        text = call.body.decode("ascii") if in_body else call.query
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, max_num_fields=_PARAMETERS_LIMIT)
    except ValueError:
        raise Denied("the parameters are not those of EC2's query API") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Denied("a parameter stands twice")
    return found


def _refuse_extras(parameters: Mapping[str, str]) -> None:
    for name, value in parameters.items():
        if name not in _NOT_SENT_ON and not _CREATE.fullmatch(name):
            raise Denied(f"a machine with '{_shown(name)}' goes beyond what 'create' of 'machine' covers")
        if name.endswith(".ResourceType") and value != "instance":
            raise Denied("only the machine itself may be tagged")


def _shown(text: str) -> str:
    return "".join(each if each.isalnum() or each in ".:-_" else "?" for each in text)[:64]
