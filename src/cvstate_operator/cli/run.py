"""`cvstate run`: the operator itself."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from cvstate_operator import errors
from cvstate_operator.cli import allocator, imports
from cvstate_operator.cli.connection import ContextOption, KubeconfigOption, check
from cvstate_operator.objects.address import as_address
from cvstate_operator.settings import Settings, default_cache


def run(
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", "-n", help="Act only on ClusterStates of this namespace; may be repeated. Default: all."),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            envvar="CVSTATE_LISTEN",
            help="HOST:PORT of /metrics, /healthz and /readyz. Default: port 8080, outside a Pod on 127.0.0.1 only.",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            envvar="CVSTATE_CACHE",
            help="Directory for repositories and rendered objects. Default: ~/.cache/cvstate-operator/operator.",
            file_okay=False,
        ),
    ] = None,
    allow_file_urls: Annotated[
        bool,
        typer.Option(
            "--allow-file-urls", envvar="CVSTATE_ALLOW_FILE_URLS", help="Allow file:// sources. They reach whatever this user can read."
        ),
    ] = False,
    allow_insecure_sources: Annotated[
        bool | None,
        typer.Option(
            "--allow-insecure-sources/--no-allow-insecure-sources",
            envvar="CVSTATE_ALLOW_INSECURE_SOURCES",
            help="Allow http:// sources, sources and Prometheus on this machine, and passwords for Prometheus over http://. Default: only outside a Pod.",
        ),
    ] = None,
    allow_git_host: Annotated[
        list[str] | None,
        typer.Option(
            envvar="CVSTATE_ALLOW_GIT_HOSTS", help="Allow this host as a source, whatever address it has; may be repeated.", metavar="HOST"
        ),
    ] = None,
    allow_prometheus_host: Annotated[
        list[str] | None,
        typer.Option(
            envvar="CVSTATE_ALLOW_PROMETHEUS_HOSTS",
            help="Allow this host for spec.vital.prometheus, whatever address it has; may be repeated.",
            metavar="HOST",
        ),
    ] = None,
    prometheus_host: Annotated[
        list[str] | None,
        typer.Option(
            envvar="CVSTATE_PROMETHEUS_HOSTS",
            help="Ask no other host than this for spec.vital.prometheus; may be repeated. Default: any that is not refused by its address.",
            metavar="HOST",
        ),
    ] = None,
    webhook_listen: Annotated[
        str | None,
        typer.Option(
            envvar="CVSTATE_WEBHOOK_LISTEN", help="HOST:PORT of the push webhook (POST /hook). Default: none.", metavar="HOST:PORT"
        ),
    ] = None,
    writers: Annotated[int, typer.Option(min=1, max=256, help="Objects written at a time.")] = 16,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        typer.Option(envvar="CVSTATE_LOG_LEVEL", help="Least important lines that are logged."),
    ] = "info",
    log_format: Annotated[
        Literal["auto", "json", "text"], typer.Option(envvar="CVSTATE_LOG_FORMAT", help="auto: text on a terminal, JSON elsewhere.")
    ] = "auto",
) -> None:
    """Run the operator: in a cluster by its service account, or anywhere with a kubeconfig.

    It needs the CRD (kubectl apply -f crds/) and runs until it gets SIGTERM or Ctrl-C; objects in hand are finished first.

    Examples:

      cvstate run                                   in a Pod, or with your current kubeconfig

      cvstate run --kubeconfig prod.yaml -n team-a  one namespace of another cluster

      cvstate run --listen 127.0.0.1:9000 --log-format json

      cvstate run --webhook-listen 0.0.0.0:9292     take push notifications, see docs/webhook.md
    """
    allocator.tune()
    with allocator.loading():
        imports.load_aiohttp()
        import uvloop

        from cvstate_operator.operator import app
        from cvstate_operator.telemetry import logs

    check(kubeconfig, context)
    logs.configure(level=log_level, as_json=log_format == "json" or (log_format == "auto" and not sys.stderr.isatty()))
    settings = Settings(
        kubeconfig=kubeconfig,
        context=context,
        namespaces=tuple(namespace or ()),
        cache=cache or default_cache(),
        allow_file_urls=allow_file_urls,
        allow_insecure_sources=allow_insecure_sources,
        allow_git_hosts=_hosts("--allow-git-host", allow_git_host),
        allow_prometheus_hosts=_hosts("--allow-prometheus-host", allow_prometheus_host),
        prometheus_hosts=_hosts("--prometheus-host", prometheus_host),
        webhook_listen=webhook_listen,
        listen=listen,
        writers=writers,
    )

    async def operate() -> None:
        giving_back = asyncio.create_task(allocator.give_back_from_time_to_time(), name="give memory back")
        try:
            await app.run(settings)
        finally:
            giving_back.cancel()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(operate())


def _hosts(option: str, given: list[str] | None) -> tuple[str, ...]:
    """Hosts as those of URLs are compared with them.

    Raises:
        SettingsError: one is a URL, or has a port: it would never be any host.
    """
    hosts = tuple(host.strip("[]").lower().rstrip(".") for host in given or ())
    for host in hosts:
        if not host or not host.isprintable() or any(sign in host for sign in "/@*, ") or (":" in host and as_address(host) is None):
            raise errors.SettingsError(f"{option} {host} is no host; write its name or address alone, without scheme and port")
    return hosts
