"""The Kubernetes manifests: of the published forms, without rights, closed to whoever is not named."""

import copy
import re
import shutil
import subprocess
from importlib import import_module
from importlib.resources import files

import jsonschema
import kubernetes_validate
import pytest
import yaml
from prefect.settings import PREFECT_HOME, temporary_settings
from support.deployed import INFRA, KUBERNETES, kustomization, named, objects, pods, raw_containers

OBJECTS = {f"{one['kind']} {one['metadata']['name']}": one for one in objects()}
OF_KUBERNETES = {name: one for name, one in OBJECTS.items() if one["kind"] != "DaskCluster"}
PODS = pods()
RELEASES = ("1.31", "1.34")


@pytest.mark.parametrize("name", OF_KUBERNETES)
@pytest.mark.parametrize("release", RELEASES)
def test_an_object_is_as_kubernetes_publishes_its_form_without_unknown_keys(name, release):
    kubernetes_validate.validate(OF_KUBERNETES[name], release, strict=True)


def test_an_object_with_an_unknown_key_would_be_found():
    wrong = copy.deepcopy(OF_KUBERNETES["Deployment flows"])
    wrong["spec"]["template"]["spec"]["container"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, RELEASES[-1], strict=True)


@pytest.fixture(scope="module")
def dask_schema():
    """The definition of a DaskCluster that its operator ships, with keys that it does not know refused."""
    chart = files("dask_kubernetes") / "operator/deployment/helm/dask-kubernetes-operator/crds/daskcluster.yaml"
    schema = yaml.safe_load(chart.read_text(encoding="utf-8"))["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return closed(schema["properties"]["spec"])


def closed(schema):
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    return found


def test_the_dask_cluster_is_as_its_operator_defines_it_without_unknown_keys(dask_schema):
    validator = jsonschema.Draft7Validator(dask_schema)
    spec = OBJECTS["DaskCluster riskpipe"]["spec"]
    assert [f"{list(error.path)}: {error.message[:200]}" for error in validator.iter_errors(spec)] == []
    wrong = copy.deepcopy(spec)
    wrong["worker"]["spec"]["containers"][0]["environment"] = []
    assert not validator.is_valid(wrong)


@pytest.mark.parametrize("name", PODS)
def test_a_pod_meets_the_restricted_standard_has_limits_and_writes_only_to_volumes(name):
    pod = PODS[name][1]
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == 10001
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
    for container in raw_containers(pod):
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}
        for kind in ("requests", "limits"):
            assert container["resources"][kind].keys() == {"cpu", "memory"}
        assert {"/tmp"} <= {mount["mountPath"] for mount in container["volumeMounts"]}  # noqa: S108  its own
    for container in pod["containers"]:
        assert "livenessProbe" in container


def selects(selector, labels):
    assert selector.keys() <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()


def test_nothing_is_open_by_default_and_every_pod_is_covered_by_a_policy_of_its_own():
    policies = named("NetworkPolicy")
    assert policies["nothing"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, (labels, _) in PODS.items():
        own = [
            policy for policy in policies.values()
            if policy["spec"]["podSelector"] and selects(policy["spec"]["podSelector"], labels)
        ]  # fmt: skip
        assert len(own) == 1, name


def test_whatever_selects_pods_selects_some():
    selectors = []
    for policy in named("NetworkPolicy").values():
        spec = policy["spec"]
        peers = [
            peer
            for rules, side in ((spec.get("ingress", []), "from"), (spec.get("egress", []), "to"))
            for rule in rules
            for peer in rule.get(side, [])
        ]
        selectors += [spec["podSelector"], *(peer["podSelector"] for peer in peers if "podSelector" in peer)]
    selectors += [one["spec"]["selector"] for one in named("PodDisruptionBudget").values()]
    selectors += [{"matchLabels": service} for service in services().values()]
    for selector in selectors:
        assert any(selects(selector, labels) for labels, _ in PODS.values()), selector


def services():
    """Give the selectors of services by name; the operator names the scheduler's after the cluster."""
    found = {name: one["spec"]["selector"] for name, one in named("Service").items()}
    for name, one in named("DaskCluster").items():
        found[f"{name}-scheduler"] = one["spec"]["scheduler"]["service"]["selector"]
    return found


def test_a_connection_that_a_container_makes_is_allowed_on_both_sides():
    policies = named("NetworkPolicy")

    def policy_of(labels):
        return next(one["spec"] for one in policies.values()
                    if one["spec"]["podSelector"] and selects(one["spec"]["podSelector"], labels))  # fmt: skip

    def is_allowed(rules, side, labels, port):
        return any(
            any(selects(peer["podSelector"], labels) for peer in rule.get(side, []) if "podSelector" in peer)
            and port in [one["port"] for one in rule.get("ports", [{"port": port}])]
            for rule in rules
        )

    n_checked = 0
    for name, (labels, pod) in PODS.items():
        for container in raw_containers(pod):
            text = " ".join([*container["args"], *(entry.get("value", "") for entry in container["env"])])
            for service, port in set(re.findall(r"//([\w-]+):(\d+)", text)):
                target = next(
                    other for other, _ in PODS.values() if selects({"matchLabels": services()[service]}, other)
                )
                assert is_allowed(policy_of(labels)["egress"], "to", target, int(port)), (name, service)
                assert is_allowed(policy_of(target)["ingress"], "from", labels, int(port)), (name, service)
                n_checked += 1
    assert n_checked == 4, "flows to Prefect twice and to the scheduler, workers to the scheduler"


@pytest.mark.parametrize("name", ["prefect-server", "flows"])
def test_whoever_notifies_may_reach_chats_and_mail_servers_wherever_they_are(name):
    rules = [rule for rule in named("NetworkPolicy")[name]["spec"]["egress"] if "to" not in rule]
    assert {443, 465, 587} <= {port["port"] for rule in rules for port in rule["ports"]}


def test_slots_of_concurrency_limits_are_kept_where_they_outlive_the_servers_container():
    pod = PODS["Deployment prefect-server"][1]
    (server,) = pod["containers"]
    storage = next(one["value"] for one in server["env"] if one["name"] == "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE")
    home = re.search(r"PREFECT_HOME=(\S+)", (INFRA / "container" / "Containerfile").read_text(encoding="utf-8"))[1]
    with temporary_settings({PREFECT_HOME: home}):
        leases = import_module(storage).ConcurrencyLeaseStorage().storage_path
    kept = {mount["name"] for mount in server["volumeMounts"] if leases.is_relative_to(mount["mountPath"])}
    assert [volume["name"] for volume in pod["volumes"] if volume["name"] in kept and "emptyDir" in volume] == ["home"]


def test_every_map_secret_volume_and_port_that_a_pod_names_exists():
    page = (INFRA / "README.md").read_text(encoding="utf-8")
    maps, claims = named("ConfigMap"), named("PersistentVolumeClaim")
    for name, (_, pod) in PODS.items():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounted = set()
        secrets = {volume["secret"]["secretName"] for volume in volumes.values() if "secret" in volume}
        for container in raw_containers(pod):
            mounted |= {mount["name"] for mount in container["volumeMounts"]}
            assert {source["configMapRef"]["name"] for source in container.get("envFrom", [])} <= maps.keys()
            for entry in container["env"]:
                if "valueFrom" in entry:
                    reference = entry["valueFrom"]["secretKeyRef"]
                    secrets.add(reference["name"])
                    made = re.search(rf"create secret generic {reference['name']} .*", page)[0]
                    assert f"={reference['key']}=" in made.replace("--from-file", ""), (reference, made)
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if "httpGet" in container.get(probe, {}):
                    assert container[probe]["httpGet"]["port"] in ports
        assert mounted == volumes.keys(), name
        assert all(f"create secret generic {secret} " in page for secret in secrets)
        assert {volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume} <= maps.keys()
        used = {volume["persistentVolumeClaim"]["claimName"] for volume in volumes.values()
                if "persistentVolumeClaim" in volume}  # fmt: skip
        assert used <= claims.keys()


def test_every_manifest_is_of_the_kustomization():
    listed = {*kustomization()["resources"], "kustomization.yaml"}
    listed |= {name for one in kustomization()["configMapGenerator"] for name in one.get("files", [])}
    assert listed == {path.name for path in KUBERNETES.iterdir()}


@pytest.mark.system
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kustomize is a part of kubectl, which is not here")
def test_kustomize_builds_the_objects_that_are_checked_here_and_renames_every_image(tmp_path):
    folder = shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    text = (folder / "kustomization.yaml").read_text(encoding="utf-8")
    (folder / "kustomization.yaml").write_text(text.replace("newTag: 0.1.0", "newTag: 9.9.9"), encoding="utf-8")
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True)
    built = {f"{one['kind']} {one['metadata']['name']}": one for one in yaml.safe_load_all(done.stdout)}
    assert built.keys() == OBJECTS.keys()
    for name, one in built.items():
        assert one["metadata"].get("namespace", "riskpipe") == "riskpipe"
        given = yaml.safe_dump({key: OBJECTS[name][key] for key in OBJECTS[name] if key != "metadata"})
        expected = yaml.safe_load(given.replace("riskpipe:0.1.0", "riskpipe:9.9.9"))
        assert {key: one[key] for key in one if key != "metadata"} == expected
