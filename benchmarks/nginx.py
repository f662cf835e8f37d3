"""nginx as a server that answers every request with 204 and costs so little that the client is the bottleneck."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CLIENT_CPU", "Server", "cpu_model", "nginx", "pin"]

CLIENT_CPU, SERVER_CPU = 0, 1

_CONFIG = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ return 204; }}
    }}
}}
"""


@dataclass(frozen=True)
class Server:
    """A running server; `cpu()` is the processor time it has used, in seconds."""

    url: str
    pid: int

    def cpu(self) -> float:
        """User and system time of the process so far (Linux; 0 elsewhere)."""
        with suppress(OSError):
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0


@contextmanager
def nginx() -> Iterator[Server]:
    """A server on a free port, on a processor of its own where there are two."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        sys.exit("this benchmark needs nginx as its server: apt-get install nginx-light, or brew install nginx")
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        config = Path(folder, "nginx.conf")
        config.write_text(_CONFIG.format(folder=folder, port=port))
        process = subprocess.Popen([program, "-p", folder, "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            pin(SERVER_CPU, process.pid)
            _wait_for(port)
            yield Server(f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.terminate()
            process.wait(10)


def pin(cpu: int, pid: int = 0) -> None:
    """Keep a process on one processor, where the system can and has two; the figures are steadier then."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        with suppress(OSError):
            os.sched_setaffinity(pid, {cpu})


def cpu_model() -> str:
    """What the machine calls itself, for the line above the figures."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {os.cpu_count()} processors"
    return f"{os.cpu_count()} processors"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if time.monotonic() > deadline:
            sys.exit(f"nginx did not start on port {port}")
        time.sleep(0.05)
