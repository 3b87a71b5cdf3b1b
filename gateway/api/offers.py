"""The catalog as everybody may see it: entries, offers, sizes and images; never an address, account or route."""

from typing import Any

from pydantic import Field

from catalog import browse
from catalog.store.database import Tx
from gateway.api.bodies import Nothing, Out, Resource
from gateway.api.endpoints import Call, Listing, Routes

routes = Routes("catalog")
