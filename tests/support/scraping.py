"""Scrape configurations as people have them: as the Prometheus operator makes them of a PodMonitor or ServiceMonitor, with what Kubernetes tells of a Pod of the chart.

No kubelet runs Pods here, so that service discovery would find none: the labels that it gives (`__meta_kubernetes_…`) come from the Deployment and Service that the chart renders, and
the address is that of an operator on this machine. Selectors of monitors that do not fit the chart's own Pods find nothing, as they would in a cluster.

Source: prometheus-operator, `pkg/prometheus/promcfg.go`, generatePodMonitorConfig and generateServiceMonitorConfig; Prometheus documentation, `kubernetes_sd_config`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tests.support import charts
from tests.support.api import Json

_META: Final = "__meta_kubernetes_"


def of_pods(objects: list[Json]) -> dict[str, str]:
    """What discovery by Pods tells of the container that the chart's Deployment runs."""
    deployment = charts.one(objects, "Deployment")
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    port = next(one for one in container["ports"] if one["name"] == "http")
    return {
        f"{_META}namespace": deployment["metadata"]["namespace"],
        f"{_META}pod_name": "cvstate-operator-0",
        f"{_META}pod_phase": "Running",
        f"{_META}pod_container_name": container["name"],
        f"{_META}pod_container_port_name": port["name"],
        **_labels("pod", template["metadata"]["labels"]),
    }


def of_service(objects: list[Json]) -> dict[str, str]:
    """What discovery by EndpointSlices tells of the same behind the Service that has the metrics."""
    (service,) = (one for one in objects if one["kind"] == "Service" and one["metadata"]["labels"].get("cvstate.io/service") == "metrics")
    return {
        **of_pods(objects),
        f"{_META}service_name": service["metadata"]["name"],
        f"{_META}endpointslice_port_name": service["spec"]["ports"][0]["name"],
        f"{_META}endpointslice_address_target_kind": "Pod",
        f"{_META}endpointslice_address_target_name": "cvstate-operator-0",
        **_labels("service", service["metadata"]["labels"]),
    }


def by_pod_monitor(monitor: Json) -> Json:
    """The job that the Prometheus operator makes of a PodMonitor, without its service discovery."""
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    name = f"{monitor['metadata']['namespace']}/{monitor['metadata']['name']}"
    relabelings = [
        {"source_labels": [f"{_META}pod_phase"], "regex": "(Failed|Succeeded)", "action": "drop"},
        *_kept("pod", monitor["spec"]["selector"]["matchLabels"]),
        {"source_labels": [f"{_META}pod_container_port_name"], "regex": endpoint["port"], "action": "keep"},
        *_taken({"namespace": "namespace", "pod_container_name": "container", "pod_name": "pod"}),
        {"target_label": "job", "replacement": name},
        {"target_label": "endpoint", "replacement": endpoint["port"]},
    ]
    return _job(f"podMonitor/{name}/0", endpoint, relabelings)


def by_service_monitor(monitor: Json) -> Json:
    """The same of a ServiceMonitor."""
    (endpoint,) = monitor["spec"]["endpoints"]
    name = f"{monitor['metadata']['namespace']}/{monitor['metadata']['name']}"
    relabelings = [
        *_kept("service", monitor["spec"]["selector"]["matchLabels"]),
        {"source_labels": [f"{_META}endpointslice_port_name"], "regex": endpoint["port"], "action": "keep"},
        {
            "source_labels": [f"{_META}endpointslice_address_target_kind", f"{_META}endpointslice_address_target_name"],
            "regex": "Pod;(.*)",
            "target_label": "pod",
        },
        *_taken({"namespace": "namespace", "service_name": "service", "pod_name": "pod", "pod_container_name": "container"}),
        {"source_labels": [f"{_META}pod_phase"], "regex": "(Failed|Succeeded)", "action": "drop"},
        *_taken({"service_name": "job"}),
        {"target_label": "endpoint", "replacement": endpoint["port"]},
    ]
    return _job(f"serviceMonitor/{name}/0", endpoint, relabelings)


def found(job: Json, address: str, meta: Mapping[str, str], *, every: str = "1s") -> Json:
    """A job that finds one target: at this address, of which discovery tells so much. It is scraped more often than the chart says, since tests have no minutes."""
    job = {key: value for key, value in job.items() if key != "kubernetes_sd_configs"}
    return {**job, "scrape_interval": every, "scrape_timeout": every, "static_configs": [{"targets": [address], "labels": dict(meta)}]}


def _job(name: str, endpoint: Json, relabelings: Iterable[Json]) -> Json:
    return {
        "job_name": name,
        "honor_labels": endpoint.get("honorLabels", False),
        "metrics_path": endpoint["path"],
        "relabel_configs": list(relabelings),
        "metric_relabel_configs": [_snake(one) for one in endpoint.get("metricRelabelings", ())],
    }


def _kept(role: str, labels: Mapping[str, str]) -> Iterable[Json]:
    """Only what has these labels."""
    for name, value in sorted(labels.items()):
        sources = [f"{_META}{role}_label_{_word(name)}", f"{_META}{role}_labelpresent_{_word(name)}"]
        yield {"source_labels": sources, "regex": f"({value});true", "action": "keep"}


def _taken(labels: Mapping[str, str]) -> Iterable[Json]:
    """Labels of the target, by what discovery calls them."""
    return ({"source_labels": [f"{_META}{source}"], "target_label": label} for source, label in labels.items())


def _labels(role: str, labels: Mapping[str, str]) -> dict[str, str]:
    return {
        f"{_META}{role}_{part}_{_word(name)}": told
        for name, value in labels.items()
        for part, told in (("label", value), ("labelpresent", "true"))
    }


def _word(name: str) -> str:
    """As a label of Prometheus."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)


def _snake(relabeling: Mapping[str, Any]) -> Json:
    """A relabeling of a monitor as the configuration writes it: source_labels for sourceLabels."""
    return {re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", key): value for key, value in relabeling.items()}
