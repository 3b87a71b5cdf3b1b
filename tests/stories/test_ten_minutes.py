"""The README's "Bring your cloud in ten minutes" for EC2: its very commands, from nothing to a fulfilled order."""

from pathlib import Path

import pytest

from tests.support.clouds import ACCOUNT, DEBIAN, EC2_NAME, REGION, SECRET, moto_cloud
from tests.support.relay_host import relay_host
from tests.support.ten_minutes import Reader, blocks, resolve, with_values

IMAGE = "debian-12-amd64"


def test_ec2(tmp_path: Path) -> None:
    """Every command ends well, and the last one lists one machine in use; the secret is in no output."""
    folder = tmp_path / "reader"
    folder.mkdir()
    (tmp_path / "cloud").mkdir()
    with relay_host(tmp_path / "host") as host, moto_cloud(tmp_path / "cloud") as cloud:
        resolve(host, EC2_NAME)
        (folder / "ca.pem").write_text(str(cloud.ca_pem))
        reader = Reader(folder=folder, host=host, secret=SECRET)
        done = reader.follow(
            "EC2",
            {
                "PLATFORM": "frankfurt", "SITE": "fra", "PROVIDER": "ec2", "REGION": REGION, "API": cloud.url,
                "ACCOUNT": ACCOUNT, "IMAGE_OWNER": DEBIAN, "SIZE": "t3.micro", "IMAGE": IMAGE,
            },
            timeout_s=240.0,
            # A private authority, where Amazon's certificate is one that every system trusts.
            CROSSWAY_ENROLMENT_CREATE_API_CA_FILE=str(folder / "ca.pem"),
            CROSSWAY_PLATFORM_ENROL_API_CA_FILE=str(folder / "ca.pem"),
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{reader.told()}"
        machine = done.stdout.splitlines()[-1].split()
        assert machine[2:6] == ["frankfurt", "t3.micro", "made", "in-use"]
        assert SECRET not in f"{done.stdout}{done.stderr}{reader.told()}"


@pytest.mark.parametrize("kind", ["EC2", "OpenStack"])
def test_a_reader_s_values_are_all_that_changes(kind: str) -> None:
    """What is run is what stands in the README: a value that it does not ask for, or one too few, is noticed."""
    with pytest.raises(AssertionError, match="values of one's own"):
        with_values(blocks(kind), {"PLATFORM": "north"})
