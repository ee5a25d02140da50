"""`optimizer sandbox`: stand-ins for the ad platforms, to try destinations without an account."""

from __future__ import annotations

import click

from optimizer.sandbox.server import serve


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8010, show_default=True, help="Port to listen on; 0 picks a free one.")
def command(host: str, port: int) -> None:
    r"""Run stand-ins for the ad platforms, stricter than they are.

    \b
    Examples:
      optimizer sandbox
      curl localhost:8010/_sandbox/received            what each platform counted
    Use its URL as the `base_url` of a destination and `sandbox-token` as its access token.
    """
    serve(host, port, lambda url: click.echo(f"sandbox at {url} (what arrived: {url}/_sandbox)"))
