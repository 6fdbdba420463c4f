"""Hosts of a test's own: network namespaces on a switch, which is one, too. This machine's own network is not touched.

Their addresses are of 192.0.2.0/24, which is kept for documentation: nobody else has one, and nothing leads there.
"""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from chaos.processes import Processes
from support import stranger
from support.certificates import Authority

from riskpipe.compute.security import VARIABLES, is_loopback

_SWITCH, _BRIDGE = "switch", "bridge"


def why_no_hosts() -> str | None:
    """Say why no hosts can be made here; None where they can."""
    if shutil.which("ip") is None:
        return "hosts need `ip`, of Debian's package iproute2"
    if os.geteuid() != 0:
        return "hosts are network namespaces, which only root may make"
    name = f"riskpipe-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace can be made here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return None


def _ip(*words: object) -> None:
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True, text=True)


class Host(Processes):
    """A host: what is started on it has its network and name only, and the certificate given to it."""

    def __init__(self, folder: Path, namespace: str, port: str, address: str, files: dict[str, str]):
        super().__init__(folder, **{variable: files[name] for name, variable in VARIABLES.items()})
        self.address, self.name = address, folder.name
        named = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.name)
        self.launcher = ("ip", "netns", "exec", namespace, *named)
        self._switch, self._port = namespace.rpartition("-")[0] + f"-{_SWITCH}", port

    def wear(self, names: Path, secrets: Path) -> None:
        """Have what is started from now on see a file as /etc/hosts and a folder as /run/secrets, nobody else."""
        mounts = (
            'mount --bind "$0" /etc/hosts && mount -t tmpfs tmpfs /run && mkdir /run/secrets'
            ' && mount --bind "$1" /run/secrets && shift && exec "$@"'
        )
        self.launcher = (*self.launcher, "unshare", "--mount", "sh", "-c", mounts, str(names), str(secrets))

    def listeners(self) -> list[tuple[str, int]]:
        """List what listens on this host, as address and port."""
        said = subprocess.run([*self.launcher, "ss", "-Hltn"], check=True, capture_output=True, text=True).stdout
        places = [line.split()[3].rpartition(":") for line in said.splitlines()]
        return [(address.strip("[]"), int(port)) for address, _, port in places]

    def answers_to_a_stranger(self, places: list[str]) -> dict[str, str]:
        """Knock at places (address:port) from here, without a certificate, and tell how each one answers."""
        told = self.start("stranger", Path(stranger.__file__), self.environment[VARIABLES["ca"]], *places).succeeds(120)
        return dict(line.split() for line in told.output.splitlines())

    def cut_off(self) -> None:
        """Take its cable out: what is sent to it or by it is lost, and nobody is told."""
        _ip("-n", self._switch, "link", "set", self._port, "down")

    def heal(self) -> None:
        """Put the cable back."""
        _ip("-n", self._switch, "link", "set", self._port, "up")


def beyond_loopback(*some: Host) -> list[str]:
    """List what listens on hosts where others can reach it, as address:port."""
    return [f"{host.address}:{port}" for host in some for address, port in host.listeners() if not is_loopback(address)]


@contextlib.contextmanager
def hosts(folder: Path, *names: str):
    """Give hosts by their names, on one switch, each with a certificate of one authority; all gone at the end."""
    prefix = f"riskpipe-{os.getpid()}"
    switch, authority = f"{prefix}-{_SWITCH}", Authority()
    with contextlib.ExitStack() as stack:
        for namespace in (switch, *(f"{prefix}-{name}" for name in names)):
            _ip("netns", "add", namespace)
            stack.callback(_ip, "netns", "delete", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("-n", switch, "link", "add", _BRIDGE, "type", "bridge")
        _ip("-n", switch, "link", "set", _BRIDGE, "up")
        made = {}
        for number, name in enumerate(names, start=1):
            namespace, port, address = f"{prefix}-{name}", f"port{number}", f"192.0.2.{number}"
            _ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            _ip("-n", switch, "link", "set", port, "master", _BRIDGE, "up")
            _ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", namespace, "link", "set", "eth0", "up")
            # by its default route a host knows which address is its own; this one leads to the switch and no further
            _ip("-n", namespace, "route", "add", "default", "dev", "eth0")
            files = authority.write(folder / name / "tls", address)
            made[name] = stack.enter_context(Host(folder / name, namespace, port, address, files))
        yield made
