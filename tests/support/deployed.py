"""What is deployed: containers of the compose file and of the Kubernetes manifests in one form, for checks of both."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

INFRA = Path(__file__).parents[2] / "infra"
COMPOSE = INFRA / "compose.yaml"
KUBERNETES = INFRA / "kubernetes"
OWN_IMAGE = "riskpipe:0.1.0"


@dataclass(frozen=True)
class Container:
    """One container: `environment` has None for what comes from a secret."""

    where: str
    image: str
    command: list[str]
    environment: dict[str, str | None] = field(default_factory=dict)

    @property
    def is_own(self) -> bool:
        """Whether it is of the image of infra/container."""
        return self.image == OWN_IMAGE


def interpolated(text: str) -> str:
    """Fill in compose's variables as without any in the environment."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def compose() -> dict[str, Any]:
    """Read the compose file."""
    return yaml.safe_load(interpolated(COMPOSE.read_text(encoding="utf-8")))


def compose_containers() -> list[Container]:
    """List the containers of the compose file."""
    return [
        Container(
            f"compose service {name}",
            service["image"],
            [*service.get("entrypoint", []), *service.get("command", [])],
            dict(service.get("environment", {})),
        )
        for name, service in compose()["services"].items()
    ]


def kustomization() -> dict[str, Any]:
    """Read the kustomization."""
    return yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8"))


def objects() -> list[dict[str, Any]]:
    """List every Kubernetes object, and the maps that kustomize generates."""
    given = kustomization()
    found = []
    for name in given["resources"]:
        found += [one for one in yaml.safe_load_all((KUBERNETES / name).read_text(encoding="utf-8")) if one]
    for generated in given["configMapGenerator"]:
        data = dict(literal.split("=", 1) for literal in generated.get("literals", []))
        data |= {name: (KUBERNETES / name).read_text(encoding="utf-8") for name in generated.get("files", [])}
        about = {"name": generated["name"]}
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": data})
    return found


def named(kind: str) -> dict[str, dict[str, Any]]:
    """Give the objects of a kind by name."""
    return {one["metadata"]["name"]: one for one in objects() if one["kind"] == kind}


def pods() -> dict[str, tuple[dict[str, str], dict[str, Any]]]:
    """Give the labels and the specification of every pod, by the name of what makes it; the operator's ones too."""
    found = {}
    for name, one in named("Deployment").items():
        template = one["spec"]["template"]
        found[f"Deployment {name}"] = (template["metadata"]["labels"], template["spec"])
    for name, one in named("DaskCluster").items():
        for part in ("scheduler", "worker"):
            labels = one["metadata"]["labels"] | {"dask.org/cluster-name": name, "dask.org/component": part}
            found[f"DaskCluster {name} {part}"] = (labels, one["spec"][part]["spec"])
    return found


def raw_containers(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the containers of a pod as they are written."""
    yield from pod.get("initContainers", [])
    yield from pod["containers"]


def kubernetes_containers() -> list[Container]:
    """List the containers of the Kubernetes manifests."""
    maps = named("ConfigMap")
    found = []
    for where, (_, pod) in pods().items():
        for one in raw_containers(pod):
            environment: dict[str, str | None] = {}
            for source in one.get("envFrom", []):
                environment |= maps[source["configMapRef"]["name"]]["data"]
            environment |= {entry["name"]: entry.get("value") for entry in one["env"]}
            found.append(Container(f"{where}, {one['name']}", one["image"], one["args"], environment))
    return found


def entrypoint_secrets() -> set[str]:
    """Name the variables that the image's entrypoint fills from files."""
    text = (INFRA / "container" / "entrypoint.sh").read_text(encoding="utf-8")
    return set(re.findall(r"^  ([A-Z_]+)(?: \\|;)", text, flags=re.MULTILINE))
