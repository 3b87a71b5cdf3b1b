"""Where one logs in at an OpenStack: people have its URL with the version at the end, programs append that. Pure."""

import re
from typing import Final

_VERSION: Final = re.compile(r"/v3/*$")


def keystone_url(told: str) -> str:
    """Return ``told``, such as ``https://cloud.example:5000/v3``, without the version and slashes at its end."""
    return _VERSION.sub("", told.rstrip("/")).rstrip("/")
