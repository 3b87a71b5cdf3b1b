"""Settings become the policies that live beside the code they steer. Pure."""

from catalog.logins import LoginPolicy
from catalog.orders.policy import RetryPolicy
from catalog.secrets import Sealer
from catalog.webhooks import WebhookPolicy
from drivers.clouds.policy import CallPolicy
from gateway.api.services import ApiLimits
from gateway.background.grant_work import GrantWorkPolicy
from gateway.background.logs import LogPolicy
from gateway.background.order_work import OrderPolicy
from gateway.connections.choosing import ChoosingPolicy
from gateway.connections.passing import PassingPolicy
from gateway.logins.doors import Doors
from gateway.logins.from_settings import oidc_of
from gateway.logins.passwords import PasswordPolicy
from gateway.settings import Settings
from routing.candidates import CandidatePolicy
from routing.probe.attention import AttentionPolicy
from routing.probe.budget import BudgetPolicy
from routing.probe.plan import ProbePolicy
from routing.steadiness import SteadinessPolicy
from routing.tunnel.liveness import LivenessPolicy
from routing.tunnel.policy import PoolPolicy, TunnelPolicy


def candidate_policy(settings: Settings) -> CandidatePolicy:
    """Return which routes are considered."""
    routing = settings.routing
    return CandidatePolicy(
        direct_allowed=routing.direct_allowed,
        relay_limit=routing.relay_limit_count,
        candidate_limit=routing.candidate_limit_count,
        entry_limit=routing.entry_limit_count,
        exit_limit=routing.exit_limit_count,
    )


def probe_policy(settings: Settings) -> ProbePolicy:
    """Return how links are measured."""
    probe = settings.probe
    return ProbePolicy(
        interval_ms=probe.interval_ms,
        timeout_ms=probe.timeout_ms,
        icmp=probe.icmp,
        tcp_timing=probe.tcp_timing,
    )


def choosing_policy(settings: Settings) -> ChoosingPolicy:
    """Return how routes are enumerated, which links deserve probes, and what a move must be worth."""
    routing, probe = settings.routing, settings.probe
    return ChoosingPolicy(
        candidates=candidate_policy(settings),
        attention=AttentionPolicy(
            tolerance_ms=probe.tolerance_ms,
            tolerance_ratio=probe.tolerance_ratio,
            move_ratio=routing.move_ratio,
            move_ms=routing.move_ms,
            in_use_samples=probe.in_use_samples_count,
            in_use_age_s=probe.in_use_age_s,
            rival_age_s=probe.rival_age_s,
            rest_age_s=probe.rest_age_s,
            dead_age_s=probe.in_use_age_s,
        ),
        steadiness=SteadinessPolicy(
            move_ratio=routing.move_ratio,
            move_ms=routing.move_ms,
            patience=routing.move_patience,
            escape_ratio=routing.escape_ratio,
        ),
        turns=probe.turns_count,
    )


def budget_policy(settings: Settings) -> BudgetPolicy:
    """Return what probing may spend."""
    return BudgetPolicy(
        packets_per_s=settings.probe.packets_per_s, relay_packets_per_s=settings.probe.relay_packets_per_s
    )


def tunnel_policy(settings: Settings) -> TunnelPolicy:
    """Return how hops are connected and kept alive."""
    return TunnelPolicy(
        hop_timeout_s=settings.tunnel.connect_timeout_s,
        keepalive_s=settings.tunnel.keepalive_interval_s,
        keepalive_count=settings.tunnel.keepalive_count,
        liveness=LivenessPolicy(
            interval_s=settings.tunnel.heartbeat_interval_s,
            idle_interval_s=settings.tunnel.idle_heartbeat_interval_s,
            suspect_least_s=settings.tunnel.suspect_after_s,
            dead_least_s=settings.tunnel.dead_after_s,
            dead_most_s=settings.tunnel.dead_after_s * 4 / 3,
        ),
    )


def pool_policy(settings: Settings) -> PoolPolicy:
    """Return how many connections to relays are kept, and how long."""
    tunnel = settings.tunnel
    return PoolPolicy(
        idle_s=tunnel.idle_close_s,
        idle_limit=tunnel.idle_limit_count,
        connection_limit=tunnel.connection_limit_count,
    )


def call_policy(settings: Settings) -> CallPolicy:
    """Return the limits of every call to a cloud."""
    return CallPolicy(
        deadline_s=settings.clouds.call_timeout_s,
        threads_count=settings.clouds.threads_count,
        body_limit_bytes=settings.clouds.body_limit_bytes,
        list_deadline_s=settings.clouds.list_timeout_s,
    )


def retry_policy(settings: Settings) -> RetryPolicy:
    """Return how creations are tried again."""
    return RetryPolicy(
        attempts_limit=settings.orders.attempts_count,
        first_pause_s=settings.orders.retry_first_s,
        longest_pause_s=settings.orders.retry_longest_s,
        creation_deadline_s=settings.orders.build_deadline_s,
    )


def order_policy(settings: Settings) -> OrderPolicy:
    """Return how the order application's background work is done."""
    return OrderPolicy(
        retry=retry_policy(settings),
        pool_failure_limit=settings.pools.failure_limit_count,
        pools_period_s=settings.pools.period_s,
        lease_reminders_s=settings.leases.reminders_s,
    )


def passing_policy(settings: Settings) -> PassingPolicy:
    """Return the limits of calls in passages."""
    return PassingPolicy(
        call_timeout_s=settings.passages.call_timeout_s,
        answer_limit_bytes=settings.passages.answer_limit_bytes,
        calls_limit=settings.passages.calls_limit_count,
    )


def webhook_policy(settings: Settings) -> WebhookPolicy:
    """Return how webhooks are tried and given up."""
    return WebhookPolicy(
        webhooks_limit=settings.webhooks.limit_count,
        attempts_limit=settings.webhooks.attempts_count,
        give_up_s=settings.webhooks.give_up_days * 86_400.0,
    )


def log_policy(settings: Settings) -> LogPolicy:
    """Return how the event log and the audit log are looked after."""
    return LogPolicy(
        events_kept_s=settings.events.kept_days * 86_400.0,
        checkpoint_period_s=settings.audit.checkpoint_period_s,
        webhooks=webhook_policy(settings),
    )


def api_limits(settings: Settings) -> ApiLimits:
    """Return how much of the process a client may hold."""
    return ApiLimits(
        body_bytes=settings.api.body_limit_bytes,
        head_s=settings.api.read_timeout_s,
        body_s=settings.api.read_timeout_s,
        connections=settings.api.connection_limit_count,
        passage_s=settings.passages.lifetime_s,
        passage_body_bytes=settings.passages.body_limit_bytes,
    )


def grant_work_policy(settings: Settings) -> GrantWorkPolicy:
    """Return how often owners are asked and accounts are looked at."""
    return GrantWorkPolicy(
        ask_again_period_s=settings.handshake.ask_again_period_s, discovery_period_s=settings.discovery.period_s
    )


def doors(settings: Settings, sealer: Sealer) -> Doors:
    """Return what lets people in; with ``sealer`` is sealed what browsers keep of it.

    Raises InvalidSettings when the identity provider's settings are not whole.
    """
    login = settings.login
    return Doors(
        PasswordPolicy(
            memory_kib=login.argon2_memory_kib,
            passes=login.argon2_passes_count,
            lanes=login.argon2_lanes_count,
            threads=login.threads_count,
            waiting=login.waiting_limit_count,
        ),
        LoginPolicy(session_s=login.session_s, idle_s=login.idle_s),
        oidc_of(settings.oidc, settings.gateway.state_dir, sealer),
    )
