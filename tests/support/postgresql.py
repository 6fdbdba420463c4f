"""A PostgreSQL server of a test's own on the loopback interface, which asks everyone for a password."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from chaos.processes import wait_until
from support.s3 import free_port

PASSWORD = "postgres-testing-password"  # noqa: S105  of a server that lives as long as a test
NAME = "prefect"


def binaries() -> Path | None:
    """Find the folder of the newest installed server; Debian keeps it off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    beside = shutil.which("initdb")
    return found[-1].parent if found else (Path(beside).resolve().parent if beside else None)


def why_no_postgresql() -> str | None:
    """Say why no server can be started here; None where one can."""
    if binaries() is None:
        return "a PostgreSQL server needs Debian's package postgresql"
    if os.geteuid() == 0 and not _has_account():
        return "a PostgreSQL server refuses to run as root, and there is no account postgres to run it"
    return None


def _has_account() -> bool:
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        return False
    return True


class Postgresql:
    """A server that can be killed and started again with the same data; usable in a `with` statement.

    `launcher` stands before every command, such as the one that enters another host; `network` are those who may come
    from beyond the server's own loopback interface.
    """

    def __init__(self, *, user="postgres", password=PASSWORD, port=None, launcher=(), network=None):
        self._binaries, self._user, self._password = binaries(), user, password
        # not below pytest's own folder, which only the account that runs the tests may enter
        self._folder = Path(tempfile.mkdtemp(prefix="riskpipe-postgresql-"))
        self._launcher = list(launcher)
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
            self._launcher += ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self.port = port or free_port()
        self.url = f"postgresql+asyncpg://{user}:{password}@127.0.0.1:{self.port}/{NAME}"
        self._listen = "127.0.0.1" if network is None else "*"
        self._process: subprocess.Popen[bytes] | None = None
        try:
            secret = self._folder / "password"
            secret.write_text(password, encoding="ascii")
            data = self._folder / "data"
            self._run("initdb", "-D", data, "-A", "scram-sha-256", "-U", user, "--pwfile", secret)
            if network is not None:
                with (data / "pg_hba.conf").open("a", encoding="ascii") as rules:
                    rules.write(f"host all all {network} scram-sha-256\n")
            self.start()
            self._run("createdb", *self._address, NAME)
        except BaseException:
            self.close()
            raise

    @property
    def _address(self) -> tuple[object, ...]:
        return ("-h", "127.0.0.1", "-p", self.port, "-U", self._user)

    def _command(self, program: str, *words: object) -> list[str]:
        return [*map(str, (*self._launcher, self._binaries / program, *words))]

    @property
    def _environment(self) -> dict[str, str]:
        return {"PGPASSWORD": self._password, "LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}

    def _run(self, program: str, *words: object) -> str:
        command = self._command(program, *words)
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=self._folder, env=self._environment, check=False
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return done.stdout

    def start(self) -> None:
        """Start the server and wait until it answers."""
        own = ("-D", self._folder / "data", "-p", self.port, "-k", self._folder)
        command = self._command("postgres", *own, "-c", f"listen_addresses={self._listen}")
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder, env=self._environment
            )
        wait_until(self._answers, timeout=60, what="PostgreSQL answers")

    def _answers(self) -> bool:
        command = self._command("pg_isready", "-q", "-h", "127.0.0.1", "-p", self.port)
        return subprocess.run(command, check=False).returncode == 0

    def rows(self, query: str) -> list[list[str]]:
        """Return what a query finds, as text."""
        said = self._run("psql", *self._address, "-d", NAME, "-AtXF", "\t", "-c", query)
        return [line.split("\t") for line in said.splitlines()]

    def kill(self) -> None:
        """End the server at once, with all its connections and without a word to anyone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """End the server and forget its data."""
        self.kill()
        shutil.rmtree(self._folder)

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()
