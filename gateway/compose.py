"""The composition root: settings and adapters become a running gateway. The only importer of ``drivers``."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog.messages.contracts import TO_ORDERS, Message
from catalog.messages.dispatch import dispatch_outbox
from catalog.messages.in_database import InDatabaseQueue
from catalog.messages.signing_key import load_or_create_key
from catalog.model.ids import PlatformId
from catalog.model.platform import Platform
from catalog.orders.retry import RetryPolicy, retry_due
from catalog.orders.settle import settle
from catalog.platforms import cloud_account
from catalog.pool.apply import PoolPolicy, fill_all
from catalog.ports import (
    ApprovedEndpoint,
    Checkpoint,
    Clock,
    CloudAccount,
    CloudDriver,
    Dialer,
    MachineAction,
    PlatformLink,
)
from catalog.secrets import Sealer
from catalog.store.database import Database
from drivers import registry
from drivers.clouds.policy import CallPolicy
from drivers.keys.file import FileKeys
from drivers.platforms.http import HttpPlatformLink
from drivers.provisioner.records import ProvisionerRecords
from drivers.provisioner.run import Provisioner, ProvisionPolicy
from gateway.api.server import build_app, serve_app
from gateway.api.services import ApiLimits, ApiServices
from gateway.background.refresh_machines import RefreshMachines
from gateway.background.runner import BackgroundTask, Runner, Service
from gateway.background.settle_grants import SettleGrants
from gateway.bootstrap import bootstrap
from gateway.clock import SystemClock
from gateway.connections.choosing import RouteChooser
from gateway.connections.clouds import RoutedClouds
from gateway.connections.establish import Establisher, TunnelMaking
from gateway.connections.handshake import Handshake
from gateway.connections.keeper import Keeper, KeepPolicy
from gateway.connections.probing import WarmProber
from gateway.connections.publishing import Publisher
from gateway.connections.sessions import Sessions
from gateway.connections.steps import StepLog
from gateway.connections.tunnels import LiveConnection, LiveConnections
from gateway.settings import Settings
from routing.candidates import CandidatePolicy
from routing.probe.plan import ProbePolicy
from routing.ranking import MarginPolicy, Weights
from routing.tunnel.policy import TunnelCredentials, TunnelPolicy

log = logging.getLogger(__name__)
