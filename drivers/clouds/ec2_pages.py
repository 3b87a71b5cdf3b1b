"""EC2's lists page by page, and what their elements say. No more than one page is in memory at a time."""

from collections.abc import Iterator, Mapping
from typing import Any

from libcloud.compute.drivers.ec2 import NAMESPACE

from catalog.clouds import CloudSize
from catalog.errors import CloudMisbehaved
from drivers.clouds.policy import PAGES_LIMIT


def items(
    connection: Any, asked: Mapping[str, str], group: str, *, page_count: int | None, pages_limit: int = PAGES_LIMIT
) -> Iterator[Any]:
    """Yield the elements of ``group`` in every page of an answer. None as ``page_count``: pages are not asked for.

    Raises CloudMisbehaved when the pages do not end, or hold rows where none is looked for.
    """
    params = dict(asked) if page_count is None else {**asked, "MaxResults": str(page_count)}
    seen: set[str] = set()
    while True:
        root = connection.page(params)
        found = inside(root, group)
        if rows_count(root) and not found:
            raise CloudMisbehaved("the answer holds rows, but not where they belong")
        yield from found
        token = next_token(root)
        if token is None:
            return
        if token in seen or len(seen) >= pages_limit - 1:
            raise CloudMisbehaved("the pages of the cloud's list do not end")
        seen.add(token)
        params["NextToken"] = token


def inside(element: Any, group: str) -> list[Any]:
    """Return the ``item`` elements of ``group`` in ``element``."""
    found: list[Any] = element.findall(f"{{{NAMESPACE}}}{group}/{{{NAMESPACE}}}item")
    return found


def text(element: Any, *path: str) -> str:
    """Return what stands in the element that ``path`` leads to, "" when nothing does."""
    return str(element.findtext("/".join(f"{{{NAMESPACE}}}{name}" for name in path)) or "")


def tags(element: Any) -> dict[str, str]:
    """Return the tags of ``element``."""
    return {text(each, "key"): text(each, "value") for each in inside(element, "tagSet")}


def next_token(root: Any) -> str | None:
    """Return what to ask for the next page with, None on the last."""
    return text(root, "nextToken") or None


def rows_count(root: Any) -> int:
    """Return how many rows an answer holds, whatever their namespace: those count that would not be found, too."""
    return sum(1 for group in root for row in group if str(row.tag).rpartition("}")[2] == "item")


def size(element: Any) -> CloudSize:
    """Return the instance type that an element of DescribeInstanceTypes tells of. Raises CloudMisbehaved."""
    name = text(element, "instanceType")
    memory_mib = _count(element, "memoryInfo", "sizeInMiB")
    if not name or memory_mib is None:
        raise CloudMisbehaved("the cloud lists an instance type without its name or memory")
    processors = {each.text for each in inside(_child(element, "processorInfo"), "supportedArchitectures")} - {"i386"}
    gpus = [_count(each, "count") for each in inside(_child(element, "gpuInfo"), "gpus")]
    return CloudSize(
        cloud_id=name,
        name=name,
        vcpu=_count(element, "vCpuInfo", "defaultVCpus"),
        memory_mib=memory_mib,
        disk_gib=_count(element, "instanceStorageInfo", "totalSizeInGB"),
        architecture=" ".join(sorted(filter(None, processors))) or None,
        gpu_count=None if not gpus or None in gpus else sum(count or 0 for count in gpus),
    )


def _child(element: Any, name: str) -> Any:
    found = element.find(f"{{{NAMESPACE}}}{name}")
    return element if found is None else found


def _count(element: Any, *path: str) -> int | None:
    told = text(element, *path)
    return int(told) if told.isdecimal() else None
