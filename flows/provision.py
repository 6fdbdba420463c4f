"""What a Prefect server must hold for riskpipe: work pool, deployments, automations and the notification's address.

Applying it again changes nothing. The only secret, RISKPIPE_NOTIFY_URL, comes from the environment and is kept in a
Prefect block, which encrypts it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect.blocks.notifications import SlackWebhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.schemas.automations import AutomationCore
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from pydantic import SecretStr

from flows.recovery import POOL, crash_dead_runs
from riskpipe.errors import ConfigError
from riskpipe.strict_yaml import read_yaml

ROOT = Path(__file__).resolve().parent.parent
DEPLOYMENTS = ROOT / "infra" / "prefect" / "prefect.yaml"
AUTOMATIONS = ROOT / "infra" / "prefect" / "automations.yaml"
NOTIFY_VARIABLE = "RISKPIPE_NOTIFY_URL"
_BLOCK = "riskpipe-notify"


def provision(*, at_once: int, say: Callable[[str], None]) -> None:
    """Bring the configured server to what the files of infra/prefect say, with `at_once` flow runs of the pool."""
    with get_client(sync_client=True) as client:
        dead = crash_dead_runs(client)
        if dead:
            say(f"marked Crashed, because nobody runs them: {', '.join(dead)}")
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process", concurrency_limit=at_once), overwrite=True)
        deployed = deploy(client)
        applied = apply_automations(client)
    if not os.environ.get(NOTIFY_VARIABLE):
        say(f"nobody is notified: {NOTIFY_VARIABLE} is not set")
    say(f"deployments: {', '.join(deployed)}")
    say(f"automations: {', '.join(applied)}")


def deploy(client: SyncPrefectClient) -> list[str]:
    """Create or replace the deployments of infra/prefect/prefect.yaml; return their names.

    `prefect deploy` would read the same file, but fails after each deployment with the libraries that are pinned here:
    its client and its server disagree about what may be left out when workers are listed.
    """
    text = DEPLOYMENTS.read_text(encoding="utf-8").replace("{{ $RISKPIPE_ROOT }}", str(ROOT))
    given = read_yaml(text, str(DEPLOYMENTS))
    for one in given["deployments"]:
        flow: Flow[..., Any] = load_flow_from_entrypoint(str(ROOT / one["entrypoint"]), use_placeholder_flow=False)
        limit, pool = one["concurrency_limit"], one["work_pool"]
        schedules = [
            DeploymentScheduleCreate(
                schedule=CronSchedule(cron=at["cron"], timezone=at["timezone"]),
                active=at["active"], parameters=at["parameters"], slug=at["slug"],
            )
            for at in one.get("schedules", [])
        ]  # fmt: skip
        client.create_deployment(
            flow_id=client.create_flow_from_name(flow.name),
            name=one["name"],
            description=one["description"],
            entrypoint=one["entrypoint"],
            path=str(ROOT),
            pull_steps=given["pull"],
            parameters=one.get("parameters", {}),
            parameter_openapi_schema=parameter_schema(flow).model_dump_for_openapi(),
            enforce_parameter_schema=one["enforce_parameter_schema"],
            concurrency_limit=limit["limit"],
            concurrency_options=ConcurrencyOptions(collision_strategy=limit["collision_strategy"]),
            schedules=schedules,
            work_pool_name=pool["name"],
            work_queue_name=pool["work_queue_name"],
        )
    return [one["name"] for one in given["deployments"]]


def apply_automations(client: SyncPrefectClient) -> list[str]:
    """Create or replace the automations of infra/prefect/automations.yaml; return the names of those in force."""
    block = _notification_block()
    applied = []
    for given in read_yaml(AUTOMATIONS.read_text(encoding="utf-8"), str(AUTOMATIONS)):
        automation = _automation(given, block)
        standing = client.read_automations_by_name(given["name"])
        for old in standing:
            client.delete_automation(old.id)
        if automation is not None:
            client.create_automation(automation)
            applied.append(automation.name)
    return applied


def _automation(given: dict[str, Any], block: str | None) -> AutomationCore | None:
    """Return an automation whose notifications go to a block; None when nothing is left of it without one."""
    actions = [
        action | {"block_document_id": block} if action["type"] == "send-notification" else action
        for action in given["actions"]
        if action["type"] != "send-notification" or block is not None
    ]
    return AutomationCore.model_validate(given | {"actions": actions}) if actions else None


def _notification_block() -> str | None:
    """Keep the address of RISKPIPE_NOTIFY_URL in a block of the server and return its id; None without one.

    Of Prefect's notification blocks this one takes every Apprise address as it is, whoever it is of.
    """
    url = os.environ.get(NOTIFY_VARIABLE)
    if not url:
        return None
    from apprise import Apprise

    if not Apprise().add(url):
        raise ConfigError(f"{NOTIFY_VARIABLE} is not an Apprise address (its value is a secret and not shown)")
    block = SlackWebhook(url=SecretStr(url), notify_type="warning")
    return str(block.save(_BLOCK, overwrite=True))
