"""What a signature costs: ours beside the signer of the vendor's SDK, interleaved in one process.

    python -m benchmarks.signing [--requests N] [--rounds N]

Every contender signs the same deletions, each of a group of its own, with host, date and project. The vendor's signer
gets requests that are made before the clock starts. *AkSk.sign* is what a request of ours pays in all: the date, the
headers to send, and the signature. Figures are medians over the rounds; ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer as VendorSigner

from benchmarks.nginx import CLIENT_CPU, cpu_model, pin
from sdrs_async.credentials.keys import AkSk
from sdrs_async.credentials.signing import Signer
from sdrs_async.models import Request

HOST = "sdrs.eu-de.otc.t-systems.com"
PROJECT = "0123456789abcdef0123456789abcdef"
DATE = "20240102T030405Z"
KEYS = "FAKEAK0123456789ABCD", "FakeSecretKey0123456789abcdefFakeSecret0"
VENDOR = "vendor's Signer.sign"


def path(number: int) -> str:
    """The deletion of one group."""
    return f"/v1/{PROJECT}/task-center/{number:08x}-87fe-403a-8721-037a1a45c287/failure-jobs/batch"


def vendor(count: int) -> float:
    """Seconds for all requests with the SDK's signer, made anew for each as the SDK does."""
    credentials = BasicCredentials(*KEYS, PROJECT)
    requests = [
        SdkRequest(
            "DELETE", "https", HOST, path(number), query_params=[],
            header_params={"X-Sdk-Date": DATE, "X-Project-Id": PROJECT},
        )
        for number in range(count)
    ]  # fmt: skip
    started = time.perf_counter()
    for request in requests:
        VendorSigner(credentials).sign(request)
    return time.perf_counter() - started


def ours(scope: tuple[str, str] | None) -> Callable[[int], float]:
    """Seconds for all requests with our signer, in either form."""

    def run(count: int) -> float:
        signer = Signer(*KEYS, scope)
        paths = [path(number) for number in range(count)]
        started = time.perf_counter()
        for each in paths:
            signer.authorization("DELETE", each, "", {"host": HOST, "x-project-id": PROJECT, "x-sdk-date": DATE})
        return time.perf_counter() - started

    return run


def ak_sk(count: int) -> float:
    """Seconds for all requests with the credential as the client calls it."""

    async def run() -> float:
        auth = AkSk(*KEYS)
        requests = [Request("DELETE", "", {}, HOST, path(number)) for number in range(count)]
        started = time.perf_counter()
        for request in requests:
            await auth.sign(request, PROJECT)
        return time.perf_counter() - started

    return asyncio.run(run())


CONTENDERS: dict[str, Callable[[int], float]] = {
    VENDOR: vendor,
    "Signer, Access=": ours(None),
    "Signer, Credential=": ours(("", "")),
    "AkSk.sign": ak_sk,
}


def main() -> None:
    """Parse the arguments, run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    pin(CLIENT_CPU)
    print(f"{cpu_model()}, Python {sys.version.split()[0]}")
    print(f"{arguments.requests:,} requests, medians of {arguments.rounds} rounds")
    rounds = [{name: run(arguments.requests) for name, run in CONTENDERS.items()} for _ in range(arguments.rounds)]
    print(f"{'':24}{'us':>8}{'ratio':>8}")
    for name in CONTENDERS:
        each = statistics.median(row[name] for row in rounds) / arguments.requests * 1e6
        ratio = statistics.median(row[name] / row[VENDOR] for row in rounds)
        print(f"{name:24}{each:8.2f}{ratio:8.3f}")


if __name__ == "__main__":
    main()
