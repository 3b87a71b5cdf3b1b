"""Who else steers a machine, by its tags at the cloud."""

import pytest

from catalog.claims import claimed_by

SECRET = "words-of-the-cloud"


@pytest.mark.parametrize(
    ("tag", "whose"),
    [
        pytest.param("crossway-machine", "a Crossway gateway (tag crossway-machine)", id="another gateway"),
        pytest.param("aws:autoscaling:groupName", "an Auto Scaling group (tag aws:autoscaling:…)", id="scaling group"),
        pytest.param("kubernetes.io/cluster/north", "a Kubernetes cluster (tag kubernetes.io/cluster/…)", id="cluster"),
        pytest.param("metering.stack", "a Heat stack (tag metering.stack)", id="stack"),
        pytest.param("metering.stackless", "", id="a longer name is another tag"),
        pytest.param("Name", "", id="a person's words"),
        pytest.param("my aws:autoscaling:groupName", "", id="a mark stands at the beginning"),
        pytest.param("AWS:autoscaling:groupName", "", id="names of tags have a case"),
    ],
)
def test_a_controller_is_known_by_its_mark(tag: str, whose: str) -> None:
    """Each mark names who writes it; other tags claim nothing; nothing that the cloud sent is in the words."""
    found = claimed_by({"Name": "web", tag: SECRET})
    assert found == whose
    assert SECRET not in found


def test_without_tags_nobody_claims_a_machine() -> None:
    """No tags, no claim."""
    assert claimed_by({}) == ""
