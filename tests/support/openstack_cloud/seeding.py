"""What stands in a private OpenStack before anybody orders: projects, users, quotas, sizes, images, networks."""

import os
from collections.abc import Sequence
from typing import Final

from tests.support.openstack_cloud.configuration import HOSTS, SERVICE_PASSWORD, SERVICE_USER
from tests.support.openstack_cloud.places import CATALOG, REGION, Places
from tests.support.openstack_cloud.rest import Customer, administrator, log_in

PASSWORD: Final = "canary/words&of+customers"
# Project: its user. Two customers of one cloud.
PROJECTS: Final = {"shop": "shopkeeper", "bank": "banker"}
MACHINES_QUOTA: Final = 4
# Name: memory MiB, cores, disk GiB. The last fits no host; every other fits both.
SIZES: Final = {"m1.small": (2048, 1, 20), "m1.medium": (4096, 2, 40), "m1.vast": (1_000_000, 8, 40)}
# Name: what its owner says of it.
IMAGES: Final = {
    "debian-12-generic-amd64": {"os_distro": "debian", "os_version": "12", "architecture": "x86_64"},
    "our-web-template": {},
}


def users(places: Places) -> None:
    """Make the projects, their users, and the services' own account; fill the catalog."""
    admin = administrator(places)
    roles = {role["name"]: role["id"] for role in admin.ask("keystone", "GET", "/v3/roles")["roles"]}
    if "service" not in roles:
        roles["service"] = admin.ask("keystone", "POST", "/v3/roles", {"role": {"name": "service"}})["role"]["id"]
    _user(admin, "service", SERVICE_USER, SERVICE_PASSWORD, [roles["admin"], roles["service"]])
    for project, user in PROJECTS.items():
        _user(admin, project, user, PASSWORD, [roles["member"], roles["reader"]])
    for kind, (name, path) in CATALOG.items():
        made = admin.ask("keystone", "POST", "/v3/services", {"service": {"type": kind, "name": name}})["service"]
        for interface, base in (("public", places.public(name)), ("internal", places.own(name))):
            endpoint = {"service_id": made["id"], "interface": interface, "region_id": REGION, "url": base + path}
            admin.ask("keystone", "POST", "/v3/endpoints", {"endpoint": endpoint})


def goods(places: Places) -> None:
    """Make sizes, images, a network for each project, and the projects' quotas."""
    admin = administrator(places)
    for name, (memory_mib, cores, disk_gib) in SIZES.items():
        flavor = {"name": name, "ram": memory_mib, "vcpus": cores, "disk": disk_gib}
        admin.ask("nova", "POST", "/v2.1/flavors", {"flavor": flavor})
    for name, facts in IMAGES.items():
        image = {
            "name": name, "disk_format": "raw", "container_format": "bare", "visibility": "public", "min_disk": 1,
            **facts,
        }  # fmt: skip
        made = admin.ask("glance", "POST", "/v2/images", image)
        admin.ask("glance", "PUT", f"/v2/images/{made['id']}/file", os.urandom(4096))
    for number, (project, user) in enumerate(PROJECTS.items()):
        customer = log_in(places, user, PASSWORD, project)
        quota = {"quota_set": {"instances": MACHINES_QUOTA, "cores": 64, "ram": 4_000_000}}
        admin.ask("nova", "PUT", f"/v2.1/os-quota-sets/{customer.project}", quota)
        _network(customer, f"{project}-net", f"10.{20 + number}.0.0/24")


def healthy(places: Places) -> bool:
    """Return whether every part of the cloud says that it is up, and every host is one that may be chosen."""
    admin = administrator(places)
    services = admin.ask("nova", "GET", "/v2.1/os-services")["services"]
    hosts = admin.ask("nova", "GET", "/v2.1/os-hypervisors")["hypervisors"]
    providers = admin.ask("placement", "GET", "/resource_providers")["resource_providers"]
    admin.ask("neutron", "GET", "/v2.0/networks")
    admin.ask("glance", "GET", "/v2/images")
    all_up = all(service["state"] == "up" for service in services) and all(host["state"] == "up" for host in hosts)
    return all_up and len(hosts) == len(providers) == len(HOSTS)


def _user(admin: Customer, project: str, user: str, password: str, roles: Sequence[str]) -> None:
    body = {"project": {"name": project, "domain_id": "default"}}
    in_project = admin.ask("keystone", "POST", "/v3/projects", body)["project"]["id"]
    body = {"user": {"name": user, "domain_id": "default", "password": password}}
    made = admin.ask("keystone", "POST", "/v3/users", body)["user"]["id"]
    for role in roles:
        admin.ask("keystone", "PUT", f"/v3/projects/{in_project}/users/{made}/roles/{role}")


def _network(customer: Customer, name: str, addresses: str) -> None:
    network = customer.ask("neutron", "POST", "/v2.0/networks", {"network": {"name": name}})["network"]["id"]
    subnet = {"name": name, "network_id": network, "ip_version": 4, "cidr": addresses}
    customer.ask("neutron", "POST", "/v2.0/subnets", {"subnet": subnet})
