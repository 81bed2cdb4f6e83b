"""The metrics of a gateway for Prometheus."""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from nodes.gateway.job_durations import JobDurations
from privox_dht.speech import SERVICES
from privox_dht.speech_api.job_log import OUTCOMES, JobLog

PREFIX = "privox_gateway"
GAUGES = {  # of a provider's status, by service
    "producers": "Producers on the mesh that were known a moment ago.",
    "slots": "Jobs that these can do at a time.",
    "idle": "Of these, the ones that were free.",
    "running": "Jobs that run or wait on the mesh.",
    "waiting": "Requests that wait for their turn.",
}


def exposition(
    status: Mapping[str, Mapping[str, Any]],
    jobs: JobLog,
    durations: Mapping[str, JobDurations],
    accepted: str,
) -> tuple[bytes, str]:
    """The page and its content type.

    Args:
        status, durations: by service.
        accepted: the formats that are asked for, as the header `Accept` has them.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_GatewayCollector(status, jobs, durations))
    encode, content_type = choose_encoder(accepted)
    return encode(registry), content_type


class _GatewayCollector(Collector):
    def __init__(
        self,
        status: Mapping[str, Mapping[str, Any]],
        jobs: JobLog,
        durations: Mapping[str, JobDurations],
    ) -> None:
        self._status, self._jobs, self._durations = status, jobs, durations

    def collect(self) -> Iterator[Metric]:
        jobs = CounterMetricFamily(f"{PREFIX}_jobs", "Jobs by how they ended.", labels=["outcome"])
        for outcome in OUTCOMES:
            jobs.add_metric([outcome], self._jobs.outcomes[outcome])
        sound = CounterMetricFamily(
            f"{PREFIX}_sound_seconds", "Sound that jobs were about.", labels=["service"]
        )
        for service in SERVICES:
            sound.add_metric([service], self._jobs.sound.get(service, 0.0))
        away = "Requests that did not get a turn in time."
        yield from (jobs, sound, self._seconds())
        yield CounterMetricFamily(f"{PREFIX}_turned_away", away, value=self._jobs.turned_away)
        for name, what in GAUGES.items():
            gauge = GaugeMetricFamily(f"{PREFIX}_{name}", what, labels=["service"])
            for service in SERVICES:
                gauge.add_metric([service], self._status[service][name])
            yield gauge

    def _seconds(self) -> Metric:
        """How long jobs took."""
        what = "From a request's turn to the end of its answer, of jobs that were done."
        family = HistogramMetricFamily(f"{PREFIX}_job_seconds", what, labels=["service"])
        for service, durations in self._durations.items():
            family.add_metric([service], durations.buckets(), durations.seconds)
        return family
