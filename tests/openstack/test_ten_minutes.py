"""The README's "Bring your cloud in ten minutes" for OpenStack: its very commands, from nothing to a machine."""

from pathlib import Path

from tests.support.openstack_cloud.places import NAME, REGION
from tests.support.openstack_cloud.seeding import PASSWORD, PROJECTS
from tests.support.openstack_world import IMAGE, PATIENCE_S, OpenStack
from tests.support.relay_host import relay_host
from tests.support.ten_minutes import Reader, resolve


def test_openstack(tmp_path: Path, cloud: OpenStack) -> None:
    """Every command ends well, and the last one lists the one server that Nova has; the password is in no output.

    The relay's host knows the cloud by its name; nothing else does, since nothing else has to.
    """
    folder = tmp_path / "reader"
    folder.mkdir()
    cloud.wait_empty()
    with relay_host(tmp_path / "host") as host:
        resolve(host, NAME)
        reader = Reader(folder=folder, host=host, secret=PASSWORD)
        done = reader.follow(
            "OpenStack",
            {
                "PLATFORM": "private", "SITE": "cellar", "PROVIDER": "openstack", "REGION": REGION,
                # As an openrc file and `openstack catalog list` have them.
                "API": f"{cloud.places.public('keystone')}/v3", "COMPUTE": f"{cloud.places.public('nova')}/v2.1",
                "IMAGES": cloud.places.public("glance"), "ACCOUNT": PROJECTS["shop"], "PROJECT": "shop",
                "SIZE": "m1.small", "IMAGE": IMAGE,
            },
            timeout_s=2 * PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{reader.told()}"
        (server,) = cloud.servers()
        assert server["status"] == "ACTIVE"
        machine = done.stdout.splitlines()[-1].split()
        assert machine[2:6] == ["private", cloud.size("m1.small"), "made", "in-use"]
        assert PASSWORD not in f"{done.stdout}{done.stderr}{reader.told()}"
        # The gateway that made it is gone with the reader.
        cloud.customer().ask("nova", "DELETE", f"/v2.1/servers/{server['id']}")
        cloud.wait_empty()
