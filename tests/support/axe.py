"""axe-core's script, whose rules tell what a page keeps from people with disabilities: one version, by its hash."""

import hashlib
import shutil
import subprocess
import tarfile

import pytest

VERSION = "4.11.0"
SHA256 = "39bed7d72308f6d620789c169d699bfd7e8da80f65b545821a6b2215c3e83107"  # of the package, as npm serves it


def axe_script(folder):
    """Axe's script, kept in a folder; skips the test where npm is not there or cannot fetch it."""
    package = folder / f"axe-core-{VERSION}.tgz"
    if not package.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("axe-core is fetched by npm, Debian's package npm")
        fetched = subprocess.run(
            [npm, "pack", "--silent", f"axe-core@{VERSION}"], cwd=folder, capture_output=True, text=True, check=False
        )
        if fetched.returncode:
            pytest.skip(f"npm cannot fetch axe-core {VERSION}: {fetched.stderr.strip()[-200:]}")
    data = package.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        package.unlink()
        pytest.fail(f"what npm fetched as axe-core {VERSION} is not what these tests were written with")
    with tarfile.open(package) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode("utf-8")
