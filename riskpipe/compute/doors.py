"""Doors: what the processes of a started cluster listen on, refused where a stranger could come in."""

from typing import Any

from riskpipe.compute.security import refuse_open
from riskpipe.errors import ConfigError

Client = Any  # of distributed, which is slow to import
Node = Any  # a scheduler, worker or nanny of distributed
Doors = dict[str, list[str]]


def refuse_open_doors(client: Client, *, has_tls: bool) -> None:
    """Raise ConfigError where a cluster's scheduler, workers or their pages let strangers in.

    An address says how a node is reached, not on what it listens: so each is asked. Workers that join later are made
    like those that are here.
    """
    nodes = [client.run_on_scheduler(scheduler_doors)]
    nodes += [*client.run(worker_doors).values(), *client.run(worker_doors, nanny=True, on_error="ignore").values()]
    for doors in nodes:
        for address in doors["node"]:
            refuse_open(address, has_tls=has_tls, what="executor: a node of its cluster listens there")
        for address in doors["pages"]:
            _refuse_open_pages(address)


def scheduler_doors(dask_scheduler: Node) -> Doors:
    """Return what a scheduler listens on."""
    return _doors(dask_scheduler, "scheduler")


def worker_doors(dask_worker: Node) -> Doors:
    """Return what a worker or nanny listens on."""
    return _doors(dask_worker, "worker")


def _doors(node: Node, kind: str) -> Doors:
    """Return the addresses on which a node listens, and those of its pages where it serves any."""
    import dask.config
    from distributed.comm import get_tcp_server_addresses

    pages = getattr(node, "http_server", None)  # a nanny has none
    if pages is not None and not (
        dask.config.get(f"distributed.{kind}.http.routes") or node.http_application.applications
    ):
        pages = None
    return {
        "node": [str(listener.listen_address) for listener in node.listeners],
        "pages": [] if pages is None else [_joined(*bound[:2]) for bound in get_tcp_server_addresses(pages)],
    }


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _refuse_open_pages(address: str) -> None:
    """Raise ConfigError for pages beyond loopback: they ask nobody for a certificate."""
    try:
        refuse_open(address, has_tls=False, what="pages")
    except ConfigError as error:
        raise ConfigError(
            f"executor: its cluster serves pages at {address}, beyond this machine, and they ask for no certificate. "
            f"Set dashboard_address or worker_dashboard_address of its kwargs to 127.0.0.1:0, or host to 127.0.0.1"
        ) from error
