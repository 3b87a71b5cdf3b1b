"""The typed HTTP client of a gateway: standard library only, so that whoever imports it starts fast."""

from gateway.client.address import AddressInvalid, ServerAddress
from gateway.client.client import Client
from gateway.client.problems import AnswerUnreadable, ApiProblem, ClientError, ServerUnreachable, WaitTimedOut

__all__ = [
    "AddressInvalid",
    "AnswerUnreadable",
    "ApiProblem",
    "Client",
    "ClientError",
    "ServerAddress",
    "ServerUnreachable",
    "WaitTimedOut",
]
