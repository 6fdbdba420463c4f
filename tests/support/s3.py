"""Real S3 servers on the loopback interface: moto and SeaweedFS honour conditions, rclone ignores them.

SeaweedFS answers several times faster than moto; moto starts faster, and takes any key.
"""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

KEY_ID, SECRET = "riskpipe-testing-key", "riskpipe-testing-secret/with+signs"


class Server:
    """A process that serves S3 on a free port; its output is shown when it does not start."""

    def __init__(self, command, port):
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the server
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        give_up = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                output = self._output()
                self.close()
                raise RuntimeError(f"{command[0]} did not start: {output}")
            time.sleep(0.05)

    def _answers(self):
        try:
            self.request("GET", "/")
        except OSError:
            return False
        return True

    def request(self, method, path, body=None):
        """Send a request without a signature."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body)
            return connection.getresponse().status
        finally:
            connection.close()

    def _output(self):
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:]

    def make_bucket(self):
        """Make a bucket of a name not used before."""
        name = f"riskpipe-{uuid.uuid4().hex[:12]}"
        assert self.request("PUT", f"/{name}") == 200
        return name

    def close(self):
        self._process.terminate()
        self._process.wait(timeout=30)
        self._log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()


class Moto(Server):
    """moto's server: conditional writes, multipart uploads, listings."""

    def __init__(self):
        port = free_port()
        super().__init__([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port)


class SeaweedFS(Server):
    """SeaweedFS in one process, as infra/compose.yaml has it but without TLS; whoever shows no key may make buckets."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="riskpipe-seaweedfs-")
        folder = Path(self._folder.name)
        rights = ["Admin", "Read", "Write", "List", "Tagging"]
        key = {"accessKey": KEY_ID, "secretKey": SECRET}
        identities = [{"name": "anonymous", "actions": rights}]
        identities += [{"name": "riskpipe", "credentials": [key], "actions": rights}]
        (folder / "s3.json").write_text(json.dumps({"identities": identities}), encoding="utf-8")
        port = free_port()
        own = [f"-{part}.port{kind}={free_port()}" for part in ("master", "volume", "filer") for kind in ("", ".grpc")]
        command = [
            beside_python("weed"), "-logtostderr=true", "server", f"-dir={folder}",
            "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64", "-volume.max=0", "-filer", "-s3",
            f"-s3.port={port}", f"-s3.port.grpc={free_port()}", "-s3.port.iceberg=0", "-s3.port.lance=0",
            f"-s3.config={folder / 's3.json'}", *own,
        ]  # fmt: skip
        super().__init__(command, port)

    def _answers(self):
        """Tell whether it writes: the S3 part answers before there is a volume to write to."""
        try:
            return self.request("PUT", "/riskpipe-ready") in {200, 409} and self._writes()
        except OSError:
            return False

    def _writes(self):
        return self.request("PUT", "/riskpipe-ready/object", b"ready") == 200

    def close(self):
        self._process.kill()  # asked to end, it waits half a minute for what may still be asked
        super().close()
        self._folder.cleanup()


class Rclone(Server):
    """`rclone serve s3` over a folder."""

    def __init__(self, folder: Path):
        port = free_port()
        command = [
            beside_python("rclone"), "serve", "s3", "--addr", f"127.0.0.1:{port}",
            "--auth-key", f"{KEY_ID},{SECRET}", str(folder),
        ]  # fmt: skip
        super().__init__(command, port)


def beside_python(name):
    """Find a program beside this Python or on the path; None when there is none."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment_of(endpoint, *, cache):
    """Variables under which a process reaches a server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "RISKPIPE_CACHE": str(cache),
        "RISKPIPE_S3_TIMEOUT_SECONDS": "10",
        "RISKPIPE_S3_RETRY_SECONDS": "20",
    }


def surround(monkeypatch, endpoint, *, cache):
    """Set this process's variables for a test, and none of a person's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment_of(endpoint, cache=cache).items():
        monkeypatch.setenv(name, value)
