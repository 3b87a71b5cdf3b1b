"""The configuration files of a private OpenStack (Debian 12: Zed), as values and as text.

What departs from a real cloud is what lies under the hypervisor: nova's fake driver, and ports that are bound at once,
with no agent. Keystone, its tokens, quotas, the scheduler, the bus and the databases are what every cloud has.
"""

from collections.abc import Mapping
from typing import Final

from tests.support.openstack_cloud.places import REGION, Places

Section = Mapping[str, object]
HOSTS: Final = ("rack-a", "rack-b")
SERVICE_USER, SERVICE_PASSWORD = "services", "services-words"
_PIPELINES: Final = "/etc"  # where Debian's packages put the paste pipelines


def write_all(places: Places, *, token_life_s: int) -> None:
    """Write every configuration file into the cloud's folder."""
    plain = {
        "keystone": keystone(places, token_life_s=token_life_s),
        "placement": placement(places),
        "neutron": neutron(places),
        "nova": nova(places),
        "glance": glance(places),
    }
    for name, sections in plain.items():
        (places.root / f"{name}.conf").write_text(_text(sections))
    for host in HOSTS:
        own = {"DEFAULT": {"host": host, "state_path": places.folder("state", host)}}
        (places.root / f"{host}.conf").write_text(_text(own))


def keystone(places: Places, *, token_life_s: int) -> Mapping[str, Section]:
    """Return Keystone's."""
    keys, credentials = places.folder("keys"), places.folder("credentials")
    return {
        "DEFAULT": {"use_stderr": True, "log_dir": ""},
        "database": {"connection": places.database("keystone")},
        "token": {"provider": "fernet", "expiration": token_life_s},
        "fernet_tokens": {"key_repository": f"{keys}/"},
        "credential": {"key_repository": f"{credentials}/"},
        # The cheapest that it allows: nobody's password is kept here.
        "identity": {"password_hash_rounds": 4},
        # Without it every call takes a second. Each of its processes remembers by itself, see ``starting``.
        "cache": {"enabled": True, "backend": "dogpile.cache.memory"},
    }


def placement(places: Places) -> Mapping[str, Section]:
    """Return Placement's."""
    return {
        "DEFAULT": {"use_stderr": True},
        "api": {"auth_strategy": "keystone"},
        "placement_database": {"connection": places.database("placement")},
        "keystone_authtoken": _verifying(places),
    }


def glance(places: Places) -> Mapping[str, Section]:
    """Return Glance's: images are files."""
    return {
        "DEFAULT": {
            "bind_host": "127.0.0.1", "bind_port": places.ports["glance"], "workers": 0, "use_stderr": True,
            "enabled_backends": "files:file",
        },
        "database": {"connection": places.database("glance")},
        "glance_store": {"default_backend": "files"},
        "files": {"filesystem_store_datadir": places.folder("images")},
        "paste_deploy": {"flavor": "keystone", "config_file": f"{_PIPELINES}/glance/glance-api-paste.ini"},
        "keystone_authtoken": _verifying(places),
        **_shared(places),
    }  # fmt: skip


def neutron(places: Places) -> Mapping[str, Section]:
    """Return Neutron's: ML2 with the driver of ``inside/instant_ports.py`` and no agents."""
    return {
        "DEFAULT": {
            "bind_host": "127.0.0.1", "bind_port": places.ports["neutron"], "transport_url": places.rabbit,
            "core_plugin": "ml2", "service_plugins": "router", "auth_strategy": "keystone", "use_stderr": True,
            "api_workers": 1, "rpc_workers": 0, "dhcp_agent_notification": False, "state_path": places.folder("state"),
            "notify_nova_on_port_status_changes": False, "notify_nova_on_port_data_changes": False,
            "api_paste_config": f"{_PIPELINES}/neutron/api-paste.ini",
        },
        "database": {"connection": places.database("neutron")},
        "ml2": {
            "type_drivers": "flat,vxlan", "tenant_network_types": "vxlan", "mechanism_drivers": "instant",
            "extension_drivers": "port_security",
        },
        "ml2_type_vxlan": {"vni_ranges": "1:1000"},
        "ml2_type_flat": {"flat_networks": "*"},
        "quotas": {"quota_port": -1},
        "keystone_authtoken": _verifying(places),
        "nova": _calling(places),
        "placement": _calling(places),
        **_shared(places),
    }  # fmt: skip


def nova(places: Places) -> Mapping[str, Section]:
    """Return Nova's, of all its programs."""
    return {
        "DEFAULT": {
            "transport_url": places.rabbit, "my_ip": "127.0.0.1", "state_path": places.folder("state"),
            "enabled_apis": "osapi_compute", "osapi_compute_listen": "127.0.0.1", "osapi_compute_workers": 1,
            "osapi_compute_listen_port": places.ports["nova"], "use_stderr": True,
            # Found by the launcher of ``inside/launch.py``.
            "compute_driver": "steered.SteeredDriver",
            # No agent will ever tell that a port is plugged.
            "vif_plugging_timeout": 0, "vif_plugging_is_fatal": False,
            "handle_virt_lifecycle_events": False, "sync_power_state_interval": -1,
            "report_interval": 5, "service_down_time": 60,
        },
        "api": {"auth_strategy": "keystone"},
        "api_database": {"connection": places.database("nova_api")},
        "database": {"connection": places.database("nova")},
        "wsgi": {"api_paste_config": f"{_PIPELINES}/nova/api-paste.ini"},
        "conductor": {"workers": 1},
        "scheduler": {"workers": 1, "max_attempts": 2},
        "vnc": {"enabled": False},
        "keystone_authtoken": _verifying(places),
        "placement": _calling(places),
        "neutron": _calling(places),
        "glance": _calling(places),
        # A user's token may end while its machine is being built.
        "service_user": {**_calling(places), "send_service_user_token": True},
        **_shared(places),
    }  # fmt: skip


def _shared(places: Places) -> Mapping[str, Section]:
    # The packages' policy folders belong to whoever administers this machine.
    return {
        "oslo_concurrency": {"lock_path": places.folder("locks")},
        "oslo_policy": {"policy_dirs": places.folder("no-policies")},
    }


def _account(places: Places) -> Section:
    return {
        "auth_url": places.own("keystone"), "auth_type": "password", "username": SERVICE_USER,
        "password": SERVICE_PASSWORD, "project_name": "service", "user_domain_id": "default",
        "project_domain_id": "default",
    }  # fmt: skip


def _verifying(places: Places) -> Section:
    """How a service asks Keystone about the tokens that it is shown."""
    return {
        **_account(places), "www_authenticate_uri": places.public("keystone"), "service_token_roles": "service",
        "service_token_roles_required": True, "http_request_max_retries": 10,
    }  # fmt: skip


def _calling(places: Places) -> Section:
    """How a service calls another."""
    return {**_account(places), "region_name": REGION, "valid_interfaces": "internal"}


def _text(sections: Mapping[str, Section]) -> str:
    lines: list[str] = []
    for name, section in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in section.items())]
    return "\n".join(lines) + "\n"
