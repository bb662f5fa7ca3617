"""The inner parts of aiortc and aioice that this package calls, checked when it is imported.

`MediaTransport` builds on their ICE and DTLS objects and sits where aiortc's RTP receiver sits. That seam is
not public API: a release that moves it must fail here, by name, and not in the middle of a capture.
"""

import inspect
from collections.abc import Callable
from typing import Any

import aioice
from aioice import stun
from aioice.ice import CandidatePair, StunProtocol
from aiortc import RTCDtlsTransport, RTCIceGatherer, RTCIceTransport
from aiortc.rtcdtlstransport import RtpRouter

PINNED_VERSIONS = "aiortc 1.16 and aioice 0.13"

_SIGNATURES: tuple[tuple[Callable[..., Any], tuple[str, ...]], ...] = (
    (RTCIceGatherer.gather, ("self",)),
    (RTCIceTransport.__init__, ("self", "gatherer")),
    (RTCIceTransport.start, ("self", "remoteParameters")),
    (RTCIceTransport.stop, ("self",)),
    (RTCDtlsTransport.__init__, ("self", "transport", "certificates")),
    (RTCDtlsTransport.start, ("self", "remoteParameters")),
    (RTCDtlsTransport.stop, ("self",)),
    (RTCDtlsTransport._set_role, ("self", "role")),
    (RTCDtlsTransport._handle_rtcp_data, ("self", "data")),
    (RTCDtlsTransport._register_rtp_receiver, ("self", "receiver", "parameters")),
    (RtpRouter.route_rtp, ("self", "packet")),
    (aioice.Connection.get_component_candidates, ("self", "component", "addresses", "timeout")),
    (aioice.Connection.data_received, ("self", "data", "component")),
    (aioice.Connection.request_received, ("self", "message", "addr", "protocol")),
    (aioice.Connection.check_complete, ("self", "pair")),
    (aioice.Connection.query_consent, ("self",)),
    (CandidatePair.__init__, ("self", "protocol", "remote_candidate")),
    (StunProtocol.__init__, ("self", "receiver")),
    (StunProtocol.request, ("self", "request", "addr", "integrity_key", "retransmissions")),
    (StunProtocol.send_stun, ("self", "message", "addr")),
    (StunProtocol.send_data, ("self", "data", "addr")),
    (StunProtocol.connection_lost, ("self", "exc")),
    (stun.parse_message, ("data",)),
    (stun.Transaction.response_received, ("self", "message", "addr")),
)


def check_signature(function: Callable[..., Any], expected: tuple[str, ...]) -> None:
    """Raise `ImportError` unless `function` takes exactly the `expected` parameters."""
    actual = tuple(inspect.signature(function).parameters)
    if actual != expected:
        raise ImportError(
            f"app.ingest.whip was written for {PINNED_VERSIONS}: "
            f"{function.__qualname__} now takes {actual} instead of {expected}"
        )


def check_attributes(instance: object, *names: str) -> None:
    """Raise `ImportError` unless `instance` has all these attributes."""
    for name in names:
        if not hasattr(instance, name):
            raise ImportError(
                f"app.ingest.whip was written for {PINNED_VERSIONS}: "
                f"{type(instance).__qualname__} no longer has {name}"
            )


for _function, _expected in _SIGNATURES:
    check_signature(_function, _expected)
