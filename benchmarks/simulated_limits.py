"""The limits that a simulated copy meets: those that Azure publishes, and those of the product and its agent.

Copies read and write page blobs by Put Page From URL, so the bytes go from one storage service to the other and never
through the agent (docs/adr/0011): of the agent, only its requests count.
"""

from __future__ import annotations

from dataclasses import dataclass

from imagefactory.copying.pacing import BLOB_IN_FLIGHT, REQUESTS_IN_FLIGHT
from imagefactory.images.ranges import BLOB_BYTES_PER_SECOND, BLOB_REQUESTS_PER_SECOND, PIECE_BYTES

GIB = 1024**3
GIGABIT = 1e9 / 8


@dataclass(frozen=True)
class Limits:
    """Rates in bytes or requests per second.

    Blob: "Scalability and performance targets for Blob storage" (learn.microsoft.com, 18 May 2026): up to 60 MiB and
    500 requests per second for a single page blob. It does not say whether reads and writes count together; here each
    counts for itself, and no VHD is read before it is whole.
    Account: "Scalability and performance targets for standard storage accounts" (learn.microsoft.com, 19 November
    2025), general purpose v2, in most regions: ingress 60 Gbps, egress 200 Gbps, 40,000 requests per second; elsewhere
    25 Gbps, 50 Gbps and 20,000 (`small_regions`).
    Pair of regions: Microsoft publishes no limit. None: there is none.
    Agent: one core sends 3,200 requests per second (0.31 ms each, docs/development/performance.md); a request and its
    response take 4 KiB of its network (assumed), 1 Gbps.
    Response: a range that no limit delays takes 0.1 s (assumed).
    """

    blob: float = BLOB_BYTES_PER_SECOND
    blob_requests: float = BLOB_REQUESTS_PER_SECOND
    ingress: float = 60 * GIGABIT
    egress: float = 200 * GIGABIT
    account_requests: float = 40_000
    region_pair: float | None = None
    agent_requests: float = 3_200
    agent_network: float = 1 * GIGABIT
    agent_bytes_per_request: float = 4096
    response_seconds: float = 0.1
    range_bytes: float = PIECE_BYTES
    in_flight: int = REQUESTS_IN_FLIGHT
    blob_in_flight: int = BLOB_IN_FLIGHT

    @property
    def blob_rate(self) -> float:
        """Bytes per second of one page blob, for a client that keeps `blob_in_flight` requests in flight."""
        by_window = self.blob_in_flight * self.range_bytes / self.response_seconds
        return min(self.blob, self.blob_requests * self.range_bytes, by_window)

    @property
    def ingress_rate(self) -> float:
        """Bytes per second into one account."""
        return min(self.ingress, self.account_requests * self.range_bytes)

    @property
    def egress_rate(self) -> float:
        """Bytes per second out of one account."""
        return min(self.egress, self.account_requests * self.range_bytes)

    @property
    def agent_rate(self) -> float:
        """Bytes per second that the agent's requests move, all copies together."""
        by_network = self.agent_network / self.agent_bytes_per_request
        return min(self.agent_requests, by_network, self.in_flight / self.response_seconds) * self.range_bytes


def small_regions() -> Limits:
    """Return the limits of accounts in the regions for which Microsoft publishes the lower ones."""
    return Limits(ingress=25 * GIGABIT, egress=50 * GIGABIT, account_requests=20_000)
