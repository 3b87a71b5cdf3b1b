"""What a cloud's driver lists, as the values that it was told in."""

import json
from typing import Any

from catalog.clouds import CloudDriver, CloudItem, CloudMachine, CloudSize, MachineStatus


async def listed(driver: CloudDriver, capability: str) -> list[Any]:
    """Return all that ``driver`` lists of ``capability``: CloudSize, CloudMachine or, of anything else, CloudItem.

    Of a size without what its cloud says of processors: that is stored normalised. Raises as ``listing`` does.
    """
    rows = [row for batch in (await driver.listing(capability)).batches for row in json.loads(batch)]
    return [_item(capability, row["facts"], cloud_id=row["cloud_id"], name=row["name"]) for row in rows]


def _item(capability: str, facts: dict[str, Any], **who: str) -> CloudSize | CloudMachine | CloudItem:
    if capability == "size":
        return CloudSize(**who, **facts)
    if capability == "machine":
        told = {**facts, "status": MachineStatus(facts["status"]), "addresses": tuple(facts["addresses"])}
        return CloudMachine(**who, **told)
    return CloudItem(**who, facts=facts)
