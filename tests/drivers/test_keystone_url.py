"""Keystone's URL as people have it."""

import pytest

from drivers.keystone_url import keystone_url


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("https://cloud.example:5000", "https://cloud.example:5000"),
        ("https://cloud.example:5000/", "https://cloud.example:5000"),
        ("https://cloud.example:5000/v3", "https://cloud.example:5000"),
        ("https://cloud.example:5000/v3/", "https://cloud.example:5000"),
        ("https://cloud.example/identity/v3", "https://cloud.example/identity"),
        ("https://cloud.example/identity", "https://cloud.example/identity"),
        ("https://v3.example/v30", "https://v3.example/v30"),
    ],
)
def test_the_version_is_taken_off_and_nothing_else(told: str, meant: str) -> None:
    """What an openrc file says and what a browser shows mean the same."""
    assert keystone_url(told) == meant
