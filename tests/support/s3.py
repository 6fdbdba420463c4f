"""Real S3 servers on the loopback interface: moto, which honours conditions, and rclone, which ignores them."""

import http.client
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

    def request(self, method, path):
        """Send a request without a signature."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path)
            return connection.getresponse().status
        finally:
            connection.close()

    def _output(self):
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:]

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

    def make_bucket(self):
        """Make a bucket of a name not used before."""
        name = f"riskpipe-{uuid.uuid4().hex[:12]}"
        assert self.request("PUT", f"/{name}") == 200
        return name


class Rclone(Server):
    """`rclone serve s3` over a folder."""

    def __init__(self, folder: Path):
        port = free_port()
        command = [
            rclone(), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY_ID},{SECRET}", str(folder),
        ]  # fmt: skip
        super().__init__(command, port)


def rclone():
    """Find rclone beside this Python or on the path; None when there is none."""
    beside = Path(sys.executable).parent / "rclone"
    return str(beside) if beside.exists() else shutil.which("rclone")


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
