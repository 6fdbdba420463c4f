"""The command that tells one account's story."""

from typing import Annotated

import typer

from riskpipe.cli_output import print_json


def explain(
    store: Annotated[str, typer.Argument(help="The store: a folder, or s3://bucket/prefix.")],
    *,
    scenario: Annotated[str, typer.Option(help="Its number, or such as index_shock=-0.2,depth_factor=0.1.")],
    account: Annotated[str, typer.Option(help="Its id.")],
    as_of: Annotated[str | None, typer.Option("--as-of", help="Instant, such as 2024-08-05T00:00Z.")] = None,
    book: Annotated[str, typer.Option("--book", help="Name under which nights are published.")] = "",
    is_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Tell the story of one account in one scenario: what hit it, at what prices it got out, who paid."""
    from riskpipe.run.explain import explain as explained

    found = explained(store, scenario=scenario, account=account, as_of=as_of, book=book)
    if is_json:
        print_json(found.as_json())
    else:
        typer.echo(found.as_text())
