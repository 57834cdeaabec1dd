"""Telemetry: the adapter of the port of the same name. Prometheus and the cluster are asked; whatever they do comes back as a value."""

from datetime import UTC, datetime

from cvstate_operator import errors
from cvstate_operator.api.vital import Indicator
from cvstate_operator.kube.vitals import ClusterVitals
from cvstate_operator.objects.address import AddressPolicy
from cvstate_operator.reconcile.ports import Server
from cvstate_operator.telemetry import endpoint
from cvstate_operator.telemetry.endpoint import Endpoint
from cvstate_operator.telemetry.prometheus import PrometheusClient
from cvstate_operator.telemetry.prometheus_answer import NoAnswerError
from cvstate_operator.vital.objectives import slo_queries
from cvstate_operator.vital.objectives.slo_queries import Answer, BudgetQuery
from cvstate_operator.vital.reading import Gap, Reading, gap


class Telemetry:
    """One for each target."""

    def __init__(self, prometheus: PrometheusClient, vitals: ClusterVitals, policy: AddressPolicy) -> None:
        self._prometheus = prometheus
        self._vitals = vitals
        self._policy = policy

    async def read(
        self,
        server: Server,
        query: str,
        *,
        timeout_seconds: float,
        max_age_seconds: float,
        stale_after_seconds: float,
    ) -> Reading:
        """A query's lowest and highest value; see the port."""
        now = datetime.now(UTC)
        try:
            where = self._endpoint(server)
        except errors.CvstateError as exc:
            return gap(Gap.REFUSED, exc.message, asked_at=now)
        return await self._prometheus.read(
            where,
            query,
            timeout_seconds=timeout_seconds,
            max_age_seconds=max_age_seconds,
            stale_after_seconds=stale_after_seconds,
            now=now,
        )

    async def answer(self, server: Server, query: BudgetQuery, *, timeout_seconds: float) -> Answer:
        """What Prometheus says of an SLO; see the port."""
        now = datetime.now(UTC)
        try:
            where = self._endpoint(server)
            found = await self._prometheus.ask(where, query.text, timeout_seconds=timeout_seconds)
        except errors.CvstateError as exc:
            return slo_queries.no_answer(query, Gap.REFUSED, exc.message, asked_at=now)
        except NoAnswerError as exc:
            return slo_queries.no_answer(query, exc.gap, exc.message, asked_at=now)
        return slo_queries.answer(query, ((one.labels, one.value) for one in found), asked_at=now)

    async def indicator(self, indicator: Indicator, namespaces: frozenset[str], *, owner: str, max_age_seconds: float) -> Reading:
        """What is counted in the cluster; see the port."""
        return await self._vitals.read(indicator, namespaces, owner=owner, max_age_seconds=max_age_seconds)

    async def close(self) -> None:
        """End what is on its way in the cluster; Prometheus is shared."""
        await self._vitals.close()

    def _endpoint(self, server: Server) -> Endpoint:
        reference = server.prometheus.secret_ref
        return endpoint.read(
            server.prometheus.url, server.namespace, self._policy, secret=reference.name if reference else "", data=server.secret
        )
