"""`cvstate run`: the operator itself."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import typer

from cvstate_operator import settings_file
from cvstate_operator.cli import allocator, imports, run_options
from cvstate_operator.cli.connection import ContextOption, KubeconfigOption, check
from cvstate_operator.isolation.imports import without
from cvstate_operator.settings import Origin, Settings


def run(
    told: typer.Context,
    config: run_options.ConfigOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    namespaces: run_options.NamespacesOption = None,
    listen: run_options.ListenOption = None,
    tls_directory: run_options.TlsDirectoryOption = None,
    cache: run_options.CacheOption = None,
    cache_bytes: run_options.CacheBytesOption = None,
    memory_bytes: run_options.MemoryBytesOption = None,
    allow_file_urls: run_options.AllowFileUrlsOption = None,
    allow_insecure_sources: run_options.AllowInsecureSourcesOption = None,
    allow_git_hosts: run_options.AllowGitHostsOption = None,
    allow_prometheus_hosts: run_options.AllowPrometheusHostsOption = None,
    allow_notice_hosts: run_options.AllowNoticeHostsOption = None,
    prometheus_hosts: run_options.PrometheusHostsOption = None,
    webhook_listen: run_options.WebhookListenOption = None,
    writers: run_options.WritersOption = None,
    shutdown_seconds: run_options.ShutdownSecondsOption = None,
    require_service_account: run_options.RequireServiceAccountOption = None,
    default_service_account: run_options.DefaultServiceAccountOption = None,
    lease_namespace: run_options.LeaseNamespaceOption = None,
    group: run_options.GroupOption = None,
    advertise: run_options.AdvertiseOption = None,
    cluster_id: run_options.ClusterIdOption = None,
    otlp_endpoint: run_options.OtlpEndpointOption = None,
    log_level: run_options.LogLevelOption = None,
    log_format: run_options.LogFormatOption = None,
) -> None:
    """Run the operator: in a cluster by its service account, or anywhere with a kubeconfig.

    It needs the CRD (kubectl apply -f crds/) and runs until it gets SIGTERM or Ctrl-C; objects in hand are finished first.

    An option wins over the environment, and that over the file of --config.

    Examples:

      cvstate run                                   in a Pod, or with your current kubeconfig

      cvstate run --kubeconfig prod.yaml -n team-a  one namespace of another cluster

      cvstate run --listen 127.0.0.1:9000 --log-format json

      cvstate run --webhook-listen 0.0.0.0:9292     take push notifications, see docs/webhook.md

      cvstate run --config cvstate.yaml             settings from a file, see docs/settings.md
    """
    # What the signature declares comes out of the context, by the same names: each option is one field of the settings.
    allocator.tune()
    with allocator.loading():
        with without(*imports.UNUSED):
            imports.load_aiohttp()
            import uvloop

            from cvstate_operator.operator import app, reload

        settings = _settings(told.params)

    check(settings.kubeconfig, settings.context)
    reload.configure_logs(settings)

    async def operate() -> None:
        giving_back = asyncio.create_task(allocator.give_back_from_time_to_time(), name="give memory back")
        try:
            await app.run(settings)
        finally:
            giving_back.cancel()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(operate())


def _settings(options: Mapping[str, Any]) -> Settings:
    """What options, environment and file say; if something of that is wrong, all of it is printed and the program ends with 2."""
    try:
        return settings_file.read(Origin(dict(options), dict(os.environ)))
    except settings_file.WrongSettingsError as exc:
        for fault in exc.faults:
            typer.secho(f"cvstate: {fault}", fg=typer.colors.RED, err=True)
        raise typer.Exit(2) from exc
