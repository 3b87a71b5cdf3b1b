"""Bring a private OpenStack up, from Debian's packages, in one folder: databases, bus, then service after service."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Final

from tests.support.openstack_cloud import configuration, seeding
from tests.support.openstack_cloud.configuration import HOSTS
from tests.support.openstack_cloud.places import REGION, Places
from tests.support.openstack_cloud.programs import Programs
from tests.support.openstack_cloud.rest import ADMIN_PASSWORD, call

TOKEN_LIFE_S: Final = 3600
INSIDE: Final = Path(__file__).parent / "inside"
_DATABASES: Final = ("keystone", "placement", "glance", "neutron", "nova", "nova_api", "nova_cell0")
_OUTLIVES: Final = ("rabbit", "epmd", "database")  # stopped last, in this order
_PROCESSES: Final = 4
_PYTHON: Final = "/usr/bin/python3"


class Cloud:
    """A cloud; ``running_cloud`` makes one."""

    def __init__(self, root: Path) -> None:
        self.places = Places(root=root)
        self.programs = Programs(self.places.folder("log"), self.places.folder("home"))

    def steer(self, **steering: object) -> None:
        """Tell the hypervisors how to behave, see ``inside/steered.py``; what is not named is as by default."""
        fresh = self.places.root / "steering.json.new"
        fresh.write_text(json.dumps(steering))
        fresh.replace(self.places.root / "steering.json")

    def token_life(self, seconds: int) -> None:
        """Have Keystone issue tokens that live for so long. It is started anew, and knows the older ones still."""
        configuration.write_all(self.places, token_life_s=seconds)
        self.programs.stop("keystone")
        self.programs.start_again("keystone")
        self.wait_answers("keystone", "/v3")

    def wait_answers(self, program: str, path: str) -> None:
        """Wait until the program serves: most listen before they can answer."""

        def answers() -> bool:
            try:
                return call(self.places, program, "GET", path).status < 500
            except (OSError, HTTPException):
                return False

        self.programs.wait(answers, program, f"{program} answers at {path}")

    def start(self, say: Callable[[str], None]) -> None:
        """Bring all of it up, in a fresh folder."""
        for what, step in (
            ("database and bus", self._ground),
            ("keystone", self._keystone),
            ("schemas", self._schemas),
            ("services", self._services),
            ("hosts, sizes, images, networks", self._goods),
        ):
            say(what)
            step()

    def stop(self) -> None:
        """End every program."""
        self.programs.stop_all(_OUTLIVES)

    def _ground(self) -> None:
        root, ports = self.places.root, self.places.ports
        configuration.write_all(self.places, token_life_s=TOKEN_LIFE_S)
        self.steer()
        data, socket = self.places.folder("database"), root / "database.sock"
        install = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db"]
        self.programs.run("database-install", [*install, "--auth-root-authentication-method=socket"])
        self.programs.start("database", [
            "mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={socket}",
            f"--pid-file={root}/database.pid", "--bind-address=127.0.0.1", f"--port={ports['database']}",
            "--max-connections=400", "--character-set-server=utf8mb3", "--skip-log-bin",
            # Nothing here has to survive a power cut.
            "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=128M",
        ])  # fmt: skip
        self._rabbit()
        self.programs.wait_listening("database", ports["database"])
        grants = "".join(
            f"CREATE DATABASE {name} CHARACTER SET utf8mb3; GRANT ALL ON {name}.* TO cloud@127.0.0.1;"
            for name in _DATABASES
        )
        statements = f"CREATE USER cloud@127.0.0.1 IDENTIFIED BY 'cloud-words'; {grants}"
        # Numbers, because names of hosts are looked up otherwise.
        self.programs.run("database-users", ["mariadb", "--no-defaults", f"--socket={socket}", "-e", statements])

    def _rabbit(self) -> None:
        root, ports = self.places.root, self.places.ports
        (root / "rabbit-plugins").write_text("[].")
        (scripts,) = Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin")
        epmd = {"ERL_EPMD_PORT": str(ports["epmd"]), "ERL_EPMD_ADDRESS": "127.0.0.1"}
        # Of our own: the one that Erlang would start by itself outlives everybody and is on everybody's port.
        self.programs.start("epmd", ["epmd", "-port", str(ports["epmd"]), "-address", "127.0.0.1"])
        self.programs.wait_listening("epmd", ports["epmd"])
        settings = {
            "NODENAME": f"cloud{ports['rabbit']}@localhost",
            "NODE_PORT": str(ports["rabbit"]),
            "NODE_IP_ADDRESS": "127.0.0.1",
            "DIST_PORT": str(ports["rabbit-nodes"]),
            "MNESIA_BASE": str(self.places.folder("rabbit")),
            "LOG_BASE": str(self.places.folder("log", "rabbit")),
            "PID_FILE": str(root / "rabbit.pid"),
            "ENABLED_PLUGINS_FILE": str(root / "rabbit-plugins"),
            # Whatever this machine's administrator configured is another node's.
            "CONF_ENV_FILE": "/dev/null",
            "CONFIG_FILE": str(root / "rabbit-unconfigured"),
            "SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1",
        }
        environment = {f"RABBITMQ_{name}": value for name, value in settings.items()}
        self.programs.start("rabbit", [str(scripts / "rabbitmq-server")], **environment, **epmd)

    def _keystone(self) -> None:
        root = self.places.root
        manage = ["keystone-manage", "--config-file", f"{root}/keystone.conf"]
        owner = ["--keystone-user", "root", "--keystone-group", "root"]
        self.programs.run("keystone-schema", [*manage, "db_sync"])
        self.programs.run("keystone-keys", [*manage, "fernet_setup", *owner])
        self.programs.run("keystone-credentials", [*manage, "credential_setup", *owner])
        urls = [
            *("--bootstrap-public-url", f"{self.places.public('keystone')}/v3/"),
            *("--bootstrap-internal-url", f"{self.places.own('keystone')}/v3/"),
        ]
        password = ["--bootstrap-password", ADMIN_PASSWORD, "--bootstrap-region-id", REGION]
        self.programs.run("keystone-bootstrap", [*manage, "bootstrap", *password, *urls])
        files = {"OS_KEYSTONE_CONFIG_DIR": str(root), "OS_KEYSTONE_CONFIG_FILES": "keystone.conf"}
        # One process while things change, so that none remembers what another changed; then as many as are useful.
        for processes in (1, _PROCESSES):
            self._serve("keystone", "/usr/bin/keystone-wsgi-public", processes, **files)
            self.wait_answers("keystone", "/v3")
            if processes == 1:
                seeding.users(self.places)
                self.programs.stop("keystone")

    def _schemas(self) -> None:
        root, nova = self.places.root, self._nova("nova-manage")
        for name, command in {
            "placement": ["placement-manage", "--config-file", f"{root}/placement.conf", "db", "sync"],
            "glance": ["glance-manage", "--config-file", f"{root}/glance.conf", "db_sync"],
            "neutron": ["neutron-db-manage", "--config-file", f"{root}/neutron.conf", "upgrade", "heads"],
            "nova-api": [*nova, "api_db", "sync"],
            "nova-cell0": [*nova, "cell_v2", "map_cell0", "--database_connection", self.places.database("nova_cell0")],
            "nova-cell1": [
                *nova, "cell_v2", "create_cell", "--name", "cell1", "--transport-url", self.places.rabbit,
                "--database_connection", self.places.database("nova"),
            ],
            "nova": [*nova, "db", "sync"],
        }.items():  # fmt: skip
            self.programs.run(f"{name}-schema", command)

    def _services(self) -> None:
        root, ports = self.places.root, self.places.ports
        self.programs.wait_listening("rabbit", ports["rabbit"])
        self._serve("placement", "/usr/bin/placement-api", _PROCESSES, OS_PLACEMENT_CONFIG_DIR=str(root))
        self.programs.start("glance", ["glance-api", "--config-file", f"{root}/glance.conf"])
        neutron = ["neutron-server", "--config-file", f"{root}/neutron.conf"]
        self.programs.start("neutron", neutron, PYTHONPATH=str(self._plugins()))
        for name in ("nova-api", "nova-conductor", "nova-scheduler"):
            self.programs.start(name, self._nova(name))
        self.wait_answers("placement", "/")
        launch = [_PYTHON, str(INSIDE / "launch_compute.py")]
        for host in HOSTS:
            command = [*launch, "--config-file", f"{root}/nova.conf", "--config-file", f"{root}/{host}.conf"]
            self.programs.start(f"nova-compute-{host}", command, STEERING=f"{root}/steering.json")
        for name, path in {"glance": "/", "neutron": "/", "nova": "/"}.items():
            self.wait_answers(name, path)

    def _goods(self) -> None:
        discover = [*self._nova("nova-manage"), "cell_v2", "discover_hosts"]

        def discovered() -> bool:
            self.programs.run("nova-hosts", discover)
            return seeding.healthy(self.places)

        self.programs.wait(discovered, "nova-conductor", "every part of the cloud is up")
        seeding.goods(self.places)
        assert not self.programs.dead(), f"ended by themselves: {self.programs.dead()}"

    def _serve(self, name: str, application: str, processes: int, **environment: str) -> None:
        """Start a WSGI application of Debian's, in processes: eventlet hangs where threads share it."""
        command = [
            "uwsgi", "--master", "--die-on-term", "--lazy-apps", "--plugins", "python3",
            "--http-socket", f"127.0.0.1:{self.places.ports[name]}", "--processes", str(processes),
            "--buffer-size", "65535", "--disable-logging", "--need-app", "--wsgi-file", application,
        ]  # fmt: skip
        self.programs.start(name, command, **environment)

    def _nova(self, program: str) -> list[str]:
        return [program, "--config-file", f"{self.places.root}/nova.conf"]

    def _plugins(self) -> Path:
        """Return a folder that Python takes for an installed distribution with our way to bind ports."""
        folder = self.places.folder("plugins")
        shutil.copy(INSIDE / "instant_ports.py", folder)
        about = self.places.folder("plugins", "instant_ports-1.0.dist-info")
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: instant-ports\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(
            "[neutron.ml2.mechanism_drivers]\ninstant = instant_ports:InstantPorts\n"
        )
        return folder


@contextmanager
def running_cloud(root: Path, say: Callable[[str], None]) -> Iterator[Cloud]:
    """Run a cloud in the empty folder ``root`` until the block ends, however it ends."""
    missing = missing_programs()
    assert not missing, f"not installed: {', '.join(missing)}; run .ci/setup-system openstack"
    cloud = Cloud(root)
    try:
        cloud.start(say)
        yield cloud
    finally:
        cloud.stop()


def missing_programs() -> Sequence[str]:
    """Return the programs of a cloud that are not there."""
    wanted = (
        "keystone-manage", "uwsgi", "placement-api", "glance-api", "nova-api", "nova-conductor", "nova-scheduler",
        "nova-compute", "neutron-server", "mariadbd", "epmd",
    )  # fmt: skip
    return [name for name in wanted if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
