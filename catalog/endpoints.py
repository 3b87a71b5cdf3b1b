"""What an approved URL leads to, and what its far end must prove: the same for whoever speaks HTTP there. Pure."""

import ssl
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from catalog.errors import CertificateRefused, DialRefused

DEFAULT_PORTS = {"http": 80, "https": 443}


class Target(NamedTuple):
    """What a URL connects to. ``host`` is lower case, as it stands in the certificate."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        """Return the target of ``url``. Raises DialRefused when it names none over HTTP or HTTPS."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in DEFAULT_PORTS:
            raise DialRefused("the URL is not a plain HTTP or HTTPS URL")
        return cls(parts.scheme, host, DEFAULT_PORTS[parts.scheme] if port is None else port)


def verifying_context(ca_pem: str | None) -> ssl.SSLContext:
    """Return TLS settings that trust ``ca_pem`` alone, or the system's authorities when it is None.

    Making them costs milliseconds. Raises CertificateRefused when it is not a PEM certificate.
    """
    # Not ssl.create_default_context(): it writes session keys to a file when SSLKEYLOGFILE is set.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_pem is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as error:
        raise CertificateRefused("the endpoint's authority is not a PEM certificate", field="ca_pem") from error
    return context
