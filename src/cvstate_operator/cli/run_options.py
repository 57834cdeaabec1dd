"""Options of `cvstate run`: one for each setting that has one, made from the table in `settings_file.py`.

All are taken as text here: what is wrong with them is told together with what is wrong in the environment and the file, not one by one as command lines do it.
"""

from typing import Annotated, Any

import typer

from cvstate_operator.settings_file import BY_FIELD


def _option(field: str, **more: Any) -> Any:
    """The option of a setting; its help says by which variable it can be set as well."""
    setting = BY_FIELD[field]
    variable = f" Env: {setting.variable}." if setting.variable else ""
    return typer.Option(*setting.options, help=f"{setting.meaning} Default: {setting.default}.{variable}", **more)


def _words(*words: str) -> Any:
    """What a shell proposes for an option."""
    return {"metavar": f"[{'|'.join(words)}]", "autocompletion": lambda: list(words)}


ConfigOption = Annotated[str | None, _option("config", metavar="FILE")]
NamespacesOption = Annotated[list[str] | None, _option("namespaces", metavar="NAMESPACE")]
ListenOption = Annotated[str | None, _option("listen", metavar="HOST:PORT")]
TlsDirectoryOption = Annotated[str | None, _option("tls_directory", metavar="DIRECTORY")]
CacheOption = Annotated[str | None, _option("cache", metavar="DIRECTORY")]
CacheBytesOption = Annotated[str | None, _option("cache_bytes", metavar="SIZE")]
MemoryBytesOption = Annotated[str | None, _option("memory_bytes", metavar="SIZE")]
AllowFileUrlsOption = Annotated[bool | None, _option("allow_file_urls")]
AllowInsecureSourcesOption = Annotated[bool | None, _option("allow_insecure_sources")]
AllowGitHostsOption = Annotated[list[str] | None, _option("allow_git_hosts", metavar="HOST")]
AllowPrometheusHostsOption = Annotated[list[str] | None, _option("allow_prometheus_hosts", metavar="HOST")]
AllowNoticeHostsOption = Annotated[list[str] | None, _option("allow_notice_hosts", metavar="HOST")]
PrometheusHostsOption = Annotated[list[str] | None, _option("prometheus_hosts", metavar="HOST")]
WebhookListenOption = Annotated[str | None, _option("webhook_listen", metavar="HOST:PORT")]
WritersOption = Annotated[str | None, _option("writers", metavar="NUMBER")]
ShutdownSecondsOption = Annotated[str | None, _option("shutdown_seconds", metavar="SECONDS")]
RequireServiceAccountOption = Annotated[bool | None, _option("require_service_account")]
DefaultServiceAccountOption = Annotated[str | None, _option("default_service_account", metavar="NAME")]
LeaseNamespaceOption = Annotated[str | None, _option("lease_namespace", metavar="NAMESPACE")]
GroupOption = Annotated[str | None, _option("group", metavar="NAME")]
AdvertiseOption = Annotated[str | None, _option("advertise", metavar="URL")]
ClusterIdOption = Annotated[str | None, _option("cluster_id", metavar="ID")]
OtlpEndpointOption = Annotated[str | None, _option("otlp_endpoint", metavar="URL")]
LogLevelOption = Annotated[str | None, _option("log_level", **_words("debug", "info", "warning", "error"))]
LogFormatOption = Annotated[str | None, _option("log_format", **_words("auto", "json", "text"))]
