"""Numerics: on which bits depend, told as a short hash and a readable table.

Same inputs, sources and fingerprint give the same bits; across fingerprints results agree to 1e-9 only. A leaf.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Fingerprint:
    """What decides the last bits of a computation on this machine."""

    sha: str
    """First 16 hexadecimal digits of the SHA-256 of `facts`."""
    facts: Mapping[str, str]
    """architecture, libm, python, numpy, numpy_dispatch, numba, llvmlite, cpu_name, cpu_features."""

    def differences(self, other: "Fingerprint") -> list[str]:
        """List the facts that differ, as `name: mine, not theirs`; empty when the bits agree."""
        names = sorted(self.facts.keys() | other.facts.keys())
        return [
            f"{name}: {self.facts.get(name, 'absent')}, not {other.facts.get(name, 'absent')}"
            for name in names
            if self.facts.get(name) != other.facts.get(name)
        ]

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"sha": self.sha, "facts": dict(self.facts)}

    @classmethod
    def from_facts(cls, facts: Mapping[str, str]) -> "Fingerprint":
        """Make a fingerprint of facts measured here or elsewhere."""
        text = json.dumps(dict(facts), sort_keys=True, separators=(",", ":"))
        return cls(hashlib.sha256(text.encode()).hexdigest()[:16], dict(facts))


@cache
def numerics_fingerprint() -> Fingerprint:
    """Fingerprint of this process: architecture, libm, numpy's dispatch level, numba, LLVM and the CPU compiled for.

    The CPU is the one numba generates code for, so NUMBA_CPU_NAME and NUMBA_CPU_FEATURES count. Measured once per
    process.
    """
    import llvmlite
    import numba
    import numpy as np
    from llvmlite import binding
    from numba.core import config

    extensions = np.show_config(mode="dicts")["SIMD Extensions"]  # what this CPU has, less NPY_DISABLE_CPU_FEATURES
    features = config.CPU_FEATURES
    if features is None:
        features = "" if config.CPU_NAME else binding.get_host_cpu_features().flatten()
    return Fingerprint.from_facts(
        {
            "architecture": platform.machine(),
            "libm": " ".join(platform.libc_ver()),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numpy_dispatch": ",".join([*extensions.get("baseline", ()), *extensions.get("found", ())]),
            "numba": numba.__version__,
            "llvmlite": llvmlite.__version__,
            "cpu_name": config.CPU_NAME or binding.get_host_cpu_name(),
            "cpu_features": str(features),
        }
    )


@cache
def source_hash() -> str:
    """SHA-256 of the package's sources: sorted relative paths and bytes of every `.py` file. Read once per process."""
    package = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).as_posix()):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()
