"""Flux's adapter: when its metrics say that it has looked at everything once, and what is installed for its sources."""

import pytest

from bench.tools import flux

METRICS = b"""\
# TYPE gotk_reconcile_duration_seconds histogram
gotk_reconcile_duration_seconds_bucket{kind="Kustomization",name="platform",namespace="bench",le="+Inf"} 3
gotk_reconcile_duration_seconds_sum{kind="Kustomization",name="platform",namespace="bench"} 4.2
gotk_reconcile_duration_seconds_count{kind="Kustomization",name="platform",namespace="bench"} 3
"""


@pytest.mark.parametrize(
    ("metrics", "passes"),
    [
        pytest.param(METRICS, [b"3"], id="three"),
        pytest.param(METRICS.replace(b"_count", b"_other"), [], id="none-yet"),
        pytest.param(METRICS.replace(b"Kustomization", b"GitRepository"), [], id="of-another-kind"),
    ],
)
def test_passes_are_read_from_the_count_of_the_histogram(metrics: bytes, passes: list[bytes]) -> None:
    assert flux.PASSES.findall(metrics) == passes


@pytest.mark.parametrize("name", flux.SETTINGS)
def test_every_variant_can_be_made_and_holds_no_process(name: str) -> None:
    tool = flux.make(name)
    assert tool.name == name
    assert tool.pids() == []
    tool.stop()


def test_the_variant_for_drift_looks_every_minute() -> None:
    assert flux.make("flux-60s").period_seconds == 60
