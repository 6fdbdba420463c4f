"""The compose file: of the published form, closed to the outside, and every name in it exists."""

import json
from importlib.resources import files
from ipaddress import ip_address

import jsonschema
import pytest
from support.deployed import INFRA, compose

FILE = compose()
SERVICES = FILE["services"]


def problems(given):
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    validator = jsonschema.validators.validator_for(found := json.loads(schema.read_text(encoding="utf-8")))(found)
    return [f"{list(error.path)}: {error.message[:200]}" for error in validator.iter_errors(given)]


def test_the_file_is_as_the_published_schema_of_compose_files_has_it():
    assert problems(FILE) == []
    assert problems(FILE | {"services": {"x": {"image": "a", "no-such-key": 1}}})


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined_limited_and_watched(name):
    one = SERVICES[name]
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in one
    assert int(one["user"].split(":")[0]) > 0
    assert one["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    is_job = one["restart"] == "on-failure"
    assert is_job or ("test" in one["healthcheck"] and one["restart"] == "unless-stopped")


@pytest.mark.parametrize("name", SERVICES)
def test_only_loopback_ports_of_this_host_are_published(name):
    for port in SERVICES[name].get("ports", []):
        address, _, _ = port.split(":")
        assert ip_address(address).is_loopback


def test_only_whoever_is_published_or_notifies_reaches_beyond_this_host():
    outside = {name for name, one in FILE["networks"].items() if not one.get("internal")}
    assert {name for name, one in SERVICES.items() if outside & set(one["networks"])} == {"prefect", "flows"}


def test_every_name_that_a_service_uses_exists_and_nothing_is_left_over():
    used = {"networks": set(), "secrets": set(), "volumes": set(), "configs": set()}
    for one in SERVICES.values():
        used["networks"] |= set(one["networks"])
        used["secrets"] |= set(one.get("secrets", []))
        used["configs"] |= {config["source"] for config in one.get("configs", [])}
        sources = {volume.split(":")[0] for volume in one.get("volumes", [])}
        used["volumes"] |= {source for source in sources if not source.startswith((".", "/"))}
        assert set(one.get("depends_on", {})) <= SERVICES.keys()
    assert used == {kind: set(FILE[kind]) for kind in used}
    for config in FILE["configs"].values():
        assert (INFRA / config["file"]).is_file()
    assert (INFRA / SERVICES["scheduler"]["build"]["context"] / SERVICES["scheduler"]["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_given_every_secret_that_it_reads_and_no_other(name):
    one = SERVICES[name]
    text = json.dumps([one.get("environment", {}), one.get("command", [])])
    read = {word.split('"')[0] for word in text.split("/run/secrets/")[1:]}
    assert read == set(one.get("secrets", []))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_shares_a_network_with_every_other_that_it_names(name):
    one = SERVICES[name]
    text = json.dumps([one.get("environment", {}), one.get("command", [])])
    for other in SERVICES:
        if other != name and (f"//{other}:" in text or f'_HOST": "{other}"' in text):
            assert set(one["networks"]) & set(SERVICES[other]["networks"]), other


def test_a_service_waits_for_the_health_only_of_those_that_have_any():
    for one in SERVICES.values():
        for other, until in one.get("depends_on", {}).items():
            if until["condition"] == "service_healthy":
                assert "test" in SERVICES[other]["healthcheck"]
            else:
                assert SERVICES[other]["restart"] == "on-failure"
