"""The telemetry stage of one ClusterState: asks for its signals and SLOs when they are due, and knows what they were judged to be.

Questions run beside the passes (`operator/actor.py`), so that a slow Prometheus never delays a repair; a pass reads what is known. What was known before a restart is
taken up from the status.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from cvstate_operator import errors
from cvstate_operator.api.clusterstate import ClusterStateSpec
from cvstate_operator.api.duration import parse_seconds
from cvstate_operator.api.gates import GateMode
from cvstate_operator.api.vital import Indicator, Prometheus, Signal, Slo
from cvstate_operator.objects.identity import GroupKind
from cvstate_operator.plan.gates import Block, Reason
from cvstate_operator.reconcile.inputs import SECRET
from cvstate_operator.reconcile.ports import Server, World
from cvstate_operator.reconcile.vitals import Signals
from cvstate_operator.vital import signals
from cvstate_operator.vital.cluster import indicators
from cvstate_operator.vital.facts.replicas import WORKLOADS
from cvstate_operator.vital.objectives import slo, slo_queries
from cvstate_operator.vital.objectives.slo import SloState
from cvstate_operator.vital.objectives.slo_queries import Answer, BudgetQuery
from cvstate_operator.vital.reading import Gap, Reading, gap
from cvstate_operator.vital.signals import SignalState

TOGETHER_SECONDS: Final = 1.0
"""What is due so soon is asked for with what is due now, but no earlier than by a tenth of its interval: one wake-up and one pass for many signals."""
RECALLED: Final = timedelta(seconds=15)
"""What the status told, and was not too old at the start, holds so long: it is asked for anew meanwhile, and Healthy need not go to Unknown and back."""
OUR_FAULT: Final = "a fault of the operator; its log has the details"
FIRST_ANSWERS_SECONDS: Final = 2.0
"""How long the first outcome after a restart is put off for answers to what the status told and is too old: what changes seldom is told seldom, and a Prometheus
that is well answers in a tenth of that. What happens meanwhile is looked at after it: once for each start, and only if something is too old."""
MOMENT_SECONDS: Final = 0.05
"""Answers that come so shortly after the first one are told with it."""
SPREAD: Final = 0.1
"""Share by which intervals are spread, so that the signals of many ClusterStates are not all asked for together."""
SHORTEST_SECONDS: Final = 1.0
"""Shortest pause between two questions for the same, whatever their intervals and clocks say."""
SLO_TIMEOUT_SECONDS: Final = 10.0
"""How long an answer for an SLO may take, as the default of signals: the first commit after a start waits for it."""
SECRET_SECONDS: Final = 60.0
"""How old the credentials for Prometheus may be; as Git's, with the default interval of its source."""

_Key = tuple[str, ...]


class _Due(NamedTuple):
    """When a question is to be asked, monotonic seconds."""

    earliest: float
    """If others are asked anyway."""
    at: float


_CLOSING: Final = (slo.State.BURNING, slo.State.EXHAUSTED)
_NOW: Final = _Due(0.0, 0.0)
_Told = tuple[list[_Key], bool]
"""What was asked for, and whether it is judged otherwise than before."""


class TelemetryStage:
    """Not for concurrent use, but for `ask`, which may run beside everything else."""

    def __init__(self, world: World, *, owner: str, namespace: str, status: Mapping[str, Any], generation: int | None = None) -> None:
        """`status`: of an earlier life; what was known then is known until something else is, unless it is of another `generation` than the spec is of now."""
        told = status.get("vital") or {}
        known = [signals.from_json(one) for one in told.get("signals") or ()]
        budgets = [slo.from_json(one) for one in told.get("slos") or ()]
        # A name may stand for another query, or be asked for elsewhere, in a spec that the status did not tell of.
        is_same = generation is None or status.get("observedGeneration") == generation
        self._world = world
        self._owner = owner
        self._namespace = namespace
        self._told = {state.name: state for state in known if state and is_same}
        self._told_slos = {state.name: state for state in budgets if state and is_same}
        """What the status told, by name; until the first spec says what that is about."""
        self._recalled: dict[_Key, SignalState] = {}
        self._recalled_slos: dict[_Key, SloState] = {}
        self._signals: dict[_Key, SignalState] = {}
        self._slos: dict[_Key, SloState] = {}
        self._closed = {state.name for state in budgets if state and state.last_known in _CLOSING}
        """SLOs that hold new revisions back."""
        self._asking: dict[_Key, asyncio.Task[_Told]] = {}
        """Questions whose answers are awaited."""
        self._due: dict[_Key, _Due] = {}
        """When each question is to be asked next; at once if it is not here."""
        self._reading = asyncio.Lock()
        self._began = world.clock.now()
        self.is_placed = False
        """Whether it is known by now which objects there are to be."""
        self.blind: Mapping[GroupKind, Gap] = {}
        """Kinds that cannot be seen now, and why."""
        self._queries: tuple[tuple[Prometheus | Slo | None, ...], Mapping[_Key, tuple[BudgetQuery, ...]]] = ((), {})

    # -- asking ----------------------------------------------------------------------------------------------------

    def ask_at(self, spec: ClusterStateSpec) -> float | None:
        """When something is to be asked for next, monotonic seconds: at once while an answer is awaited; None if nothing is."""
        return 0.0 if self._asking else self._due_at(spec)

    async def ask(self, spec: ClusterStateSpec) -> bool:
        """Ask for everything that is due, and wait for an answer; True if something is judged otherwise than before.

        A question that takes long holds up no other: what becomes due meanwhile is asked, and whoever calls again goes on waiting. Never raises: what cannot
        be had is a gap, and so is what we ourselves fail in.
        """
        while True:
            self._start(spec)
            if not self._asking:
                return False
            due = self._due_at(spec)
            pause = None if due is None else max(0.0, due - self._world.clock.monotonic())
            done, _ = await asyncio.wait(self._asking.values(), timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if done:
                await asyncio.wait(self._asking.values(), timeout=MOMENT_SECONDS)
                return self._taken(spec)

    def stop(self) -> None:
        """Ask no more."""
        for task in self._asking.values():
            task.cancel()
        self._asking.clear()

    def _due_at(self, spec: ClusterStateSpec) -> float | None:
        """When the next question is due of those that are not awaited."""
        return min((self._due.get(key, _NOW).at for about, key in self._questions(spec) if about not in self._asking), default=None)

    async def first_answers(self, spec: ClusterStateSpec) -> None:
        """Wait a little for what the status told and is too old by now: else each restart would tell Unknown for a moment.

        To be called once it is known which objects there are to be.
        """
        known = self.known(spec, self._world.clock.now())
        told: dict[_Key, SignalState | SloState] = {**self._recalled, **self._recalled_slos}
        gaps = {_signal_key(spec, one) for one, state in known.signals if state and state.gap}
        gaps |= {_slo_key(spec, one) for one, state in known.slos if state and state.gap}
        if doubtful := {key for key in gaps if key in told and told[key].gap is None}:
            self._start(spec)
            if asked := [task for key, task in self._asking.items() if key in doubtful]:
                await asyncio.wait(asked, timeout=FIRST_ANSWERS_SECONDS)

    def _start(self, spec: ClusterStateSpec) -> None:
        """Ask what is due, and with it what is due nearly."""
        self._recall(spec)
        now = self._world.clock.monotonic()
        if not any(self._due.get(key, _NOW).at <= now for _, key in self._questions(spec)):
            return
        due = {key for _, key in self._questions(spec) if self._due.get(key, _NOW).earliest <= now}
        for signal in spec.vital.signals:
            if (key := _signal_key(spec, signal)) in due and key not in self._asking:
                self._asking[key] = asyncio.create_task(self._ask_signal(spec, signal), name=f"ask {signal.name}")
        for one in spec.vital.slos:
            key = _slo_key(spec, one)
            queries = [query for query in self._queries_of(spec)[key] if (*key, query.name) in due]
            if queries and key not in self._asking:
                self._asking[key] = asyncio.create_task(self._ask_slo(spec, one, queries), name=f"ask {one.name}")

    def _taken(self, spec: ClusterStateSpec) -> bool:
        """What was answered is awaited no more; True if it is news."""
        done = [task.result() for task in self._asking.values() if task.done()]
        self._asking = {key: task for key, task in self._asking.items() if not task.done()}
        self._plan([key for asked, _ in done for key in asked], spec)
        if self._slos:
            self._world.meter.budgets(
                left=min((state.budget_left for state in self._slos.values() if state.budget_left is not None), default=None),
                burn_rate=max((state.burn_rate for state in self._slos.values() if state.burn_rate is not None), default=None),
                exhausted_in=min((state.exhausted_in for state in self._slos.values() if state.exhausted_in is not None), default=None),
            )
        return any(is_news for _, is_news in done)

    async def _ask_signal(self, spec: ClusterStateSpec, signal: Signal) -> _Told:
        try:
            reading = await self._read(spec, signal)
        except Exception as exc:  # one question must never end the others
            self._world.reporter.fault(f"signal {signal.name} could not be asked for", exc)
            reading = gap(Gap.QUERY_FAILED, OUR_FAULT, asked_at=self._world.clock.now())
        key = _signal_key(spec, signal)
        return [key], self._judge(key, signal, reading)

    async def _ask_slo(self, spec: ClusterStateSpec, one: Slo, queries: Sequence[BudgetQuery]) -> _Told:
        """All that is due of an SLO at once: part of it would leave it unknown."""
        try:
            answers = await asyncio.gather(*(self._answer(spec, query) for query in queries))
        except Exception as exc:  # one question must never end the others
            self._world.reporter.fault(f"SLO {one.name} could not be asked for", exc)
            now = self._world.clock.now()
            answers = [slo_queries.no_answer(query, Gap.QUERY_FAILED, OUR_FAULT, asked_at=now) for query in queries]
        key = _slo_key(spec, one)
        return [(*key, query.name) for query in queries], self._judge_slo(key, one, answers)

    def _questions(self, spec: ClusterStateSpec) -> Iterable[tuple[_Key, _Key]]:
        """Everything that is asked for, each with what it is about: signals, and the queries of SLOs. Before anything was placed there is nothing to count."""
        for signal in spec.vital.signals:
            if self.is_placed or signal.indicator is None:
                key = _signal_key(spec, signal)
                yield key, key
        for about, queries in self._queries_of(spec).items():
            for query in queries:
                yield about, (*about, query.name)

    def _queries_of(self, spec: ClusterStateSpec) -> Mapping[_Key, tuple[BudgetQuery, ...]]:
        """The queries of each SLO; made once for a spec."""
        of = (spec.vital.prometheus, *spec.vital.slos)
        if self._queries[0] != of:
            self._queries = of, {_slo_key(spec, one): slo_queries.queries(one) for one in spec.vital.slos}
        return self._queries[1]

    async def _server(self, spec: ClusterStateSpec) -> Server | errors.CvstateError:
        """Prometheus with its credentials, or why they cannot be had; these are read once for all who ask together."""
        prometheus = spec.vital.prometheus
        assert prometheus is not None  # noqa: S101 - the spec was checked
        if prometheus.secret_ref is None:
            return Server(prometheus, {}, self._namespace)
        try:
            async with self._reading:
                secret = await self._world.references.read(SECRET, self._namespace, prometheus.secret_ref.name, max_age=SECRET_SECONDS)
        except errors.CvstateError as exc:
            return exc
        return Server(prometheus, secret, self._namespace)

    async def _read(self, spec: ClusterStateSpec, signal: Signal) -> Reading:
        now, telemetry = self._world.clock.now(), self._world.telemetry
        if signal.indicator is not None:
            return await self._count(signal, signal.indicator)
        server = await self._server(spec)
        if isinstance(server, errors.CvstateError):
            return gap(Gap.REFUSED, server.message, asked_at=now)
        return await telemetry.read(
            server,
            signal.query or "",
            timeout_seconds=parse_seconds(signal.timeout),
            max_age_seconds=min(parse_seconds(signal.interval), parse_seconds(signal.stale_after)) / 2,
            stale_after_seconds=parse_seconds(signal.stale_after),
        )

    async def _count(self, signal: Signal, indicator: Indicator) -> Reading:
        """An indicator. Who waits too long gives up; what is under way goes on for the next question."""
        now = self._world.clock.now()
        if indicator is Indicator.PODS_READY:
            if hidden := sorted(WORKLOADS & self.blind.keys()):
                return gap(self.blind[hidden[0]], f"workloads of these kinds cannot be seen: {', '.join(map(str, hidden))}", asked_at=now)
            return indicators.pods_ready(self._world.index.readiness.replicas_of(self._owner).values(), now=now)
        try:
            namespaces = self._world.index.namespaces(self._owner)
            async with asyncio.timeout(parse_seconds(signal.timeout)):
                pause = parse_seconds(signal.interval)
                return await self._world.telemetry.indicator(indicator, namespaces, owner=self._owner, max_age_seconds=pause)
        except TimeoutError:
            return gap(Gap.UNREACHABLE, f"the API server did not tell within {signal.timeout}", asked_at=now)

    async def _answer(self, spec: ClusterStateSpec, query: BudgetQuery) -> Answer:
        now, server = self._world.clock.now(), await self._server(spec)
        if isinstance(server, errors.CvstateError):
            return slo_queries.no_answer(query, Gap.REFUSED, server.message, asked_at=now)
        return await self._world.telemetry.answer(server, query, timeout_seconds=SLO_TIMEOUT_SECONDS)

    def _plan(self, asked: Collection[_Key], spec: ClusterStateSpec) -> None:
        """When to ask for these again; what is not asked for any more is forgotten."""
        clock = self._world.clock
        now, moment = clock.monotonic(), clock.now()
        pauses = {_signal_key(spec, one): parse_seconds(one.interval) for one in spec.vital.signals}
        for one in spec.vital.slos:
            key = _slo_key(spec, one)
            for query in self._queries_of(spec)[key]:
                pauses[*key, query.name] = (slo.ask_next(self._slos.get(key), query, moment) - moment).total_seconds()
        due = {}
        for key in asked:
            if key in pauses:
                pause = max(pauses[key], SHORTEST_SECONDS)
                at = now + pause * (1 - SPREAD * clock.random())
                due[key] = _Due(at - min(TOGETHER_SECONDS, SPREAD * pause), at)
        for key, planned in self._due.items():
            # What an answer says of a budget may make its other questions more urgent.
            if key not in due and key[0] == "slo" and key in pauses and now + pauses[key] < planned.at:
                due[key] = _Due(now + pauses[key], now + pauses[key])
        self._due = {key: at for key, at in {**self._due, **due}.items() if key in pauses}
        budgets = {_slo_key(spec, one) for one in spec.vital.slos}
        self._signals = {key: state for key, state in self._signals.items() if key in pauses}
        self._slos = {key: state for key, state in self._slos.items() if key in budgets}

    # -- judging ---------------------------------------------------------------------------------------------------

    def _judge(self, key: _Key, signal: Signal, reading: Reading) -> bool:
        is_first = key not in self._signals  # of this process: who waited for it goes on
        before = self._signals.get(key) or self._recalled.pop(key, None)
        found = self._signals[key] = signals.judge(signal, before, reading, self._world.clock.now())
        return is_first or before is None or (before.state, before.gap) != (found.state, found.gap)

    def _judge_slo(self, key: _Key, one: Slo, answers: Iterable[Answer]) -> bool:
        is_first = key not in self._slos
        before = self._slos.get(key) or self._recalled_slos.pop(key, None)
        found = self._slos[key] = slo.judge(one, before, answers, self._world.clock.now())
        return is_first or before is None or (before.state, before.gap, before.level) != (found.state, found.gap, found.level)

    def known(self, spec: ClusterStateSpec, now: datetime) -> Signals:
        """What is known now; what is too old by now is not."""
        self._recall(spec)
        return Signals(
            tuple((one, self._signal(_signal_key(spec, one), one, now)) for one in spec.vital.signals),
            tuple((one, self._slo(_slo_key(spec, one), one, now)) for one in spec.vital.slos),
        )

    def _signal(self, key: _Key, signal: Signal, now: datetime) -> SignalState | None:
        if state := self._signals.get(key):
            state = self._signals[key] = signals.aged(signal, state, now)
            return state
        recalled = self._recalled.get(key)
        return recalled and signals.aged(signal, recalled, self._recalled_until(now))

    def _slo(self, key: _Key, one: Slo, now: datetime) -> SloState | None:
        if state := self._slos.get(key):
            if state.changes_at and state.changes_at <= now:
                state = self._slos[key] = slo.judge(one, state, (), now)
            return state
        recalled = self._recalled_slos.get(key)
        if recalled is None or recalled.state is slo.State.UNKNOWN:
            return recalled
        return slo.judge(one, recalled, (), self._recalled_until(now))

    def _recall(self, spec: ClusterStateSpec) -> None:
        """What the status told is about what the first spec declares by these names; of what another query, or another server, says it told nothing."""
        if self._told or self._told_slos:
            self._recalled = {_signal_key(spec, one): self._told[one.name] for one in spec.vital.signals if one.name in self._told}
            self._recalled_slos = {_slo_key(spec, one): self._told_slos[one.name] for one in spec.vital.slos if one.name in self._told_slos}
            self._told, self._told_slos = {}, {}

    def _recalled_until(self, now: datetime) -> datetime:
        """The time by which the age of what was recalled is told: for a while after the start it is that of the start."""
        return now if now >= self._began + RECALLED else self._began

    def next_change(self, spec: ClusterStateSpec) -> datetime | None:
        """When time alone makes something else of what is known. What is over was judged already. None: never."""
        now = self._world.clock.now()
        known = self.known(spec, now)
        moments = [(_signal_key(spec, one) in self._signals, signals.next_change(one, state)) for one, state in known.signals if state]
        moments += [(_slo_key(spec, one) in self._slos, state.changes_at) for one, state in known.slos if state]
        # What was only recalled does not change before it could have been asked for.
        told = [at if is_own else max(at, self._began + RECALLED) for is_own, at in moments if at]
        return min((at for at in told if at > now), default=None)

    def burning(self, spec: ClusterStateSpec) -> Block | None:
        """Which SLO holds new revisions back; None if none does. Until each was asked for once, all of them do."""
        if spec.gates.error_budget is GateMode.OFF or not spec.vital.slos:
            self._closed.clear()
            return None
        states = {one.name: self._slos.get(_slo_key(spec, one)) for one in spec.vital.slos}
        self._closed = {name for name, state in states.items() if slo.is_gate_closed(state, name in self._closed)}
        for name, state in states.items():
            if name in self._closed:
                return _closed(name, state)
        unread = next((name for name, state in states.items() if state is None), None)
        if unread is None or spec.gates.error_budget is not GateMode.HOLD:
            return None
        return Block(Reason.ERROR_BUDGET_BURNING, f"SLO {unread} was not asked for yet", is_brief=True)


def burning(spec: ClusterStateSpec, status: Mapping[str, Any]) -> Block | None:
    """Which SLO holds new revisions back as far as the status tells; None if none does."""
    told = [slo.from_json(one) for one in (status.get("vital") or {}).get("slos") or ()]
    declared = {one.name for one in spec.vital.slos}
    closed = (state for state in told if state and state.name in declared and slo.is_gate_closed(state, state.last_known in _CLOSING))
    return next((_closed(state.name, state) for state in closed), None)


def _closed(name: str, state: SloState | None) -> Block:
    told = state.message if state else "nobody has asked since the start"
    remedy = "it opens by itself; a commit that mends it may pass: cvstate approve NAME -n NAMESPACE --fix"
    return Block(Reason.ERROR_BUDGET_BURNING, f"SLO {name}: {told}; {remedy}")


def _signal_key(spec: ClusterStateSpec, signal: Signal) -> _Key:
    """A signal with another query or other bounds, or that is asked for elsewhere, is another signal."""
    what = ("indicator", signal.indicator.value) if signal.indicator else ("signal", signal.query or "", *_server_key(spec))
    return (*what, signal.name, signal.min or "", signal.max or "")


def _slo_key(spec: ClusterStateSpec, one: Slo) -> _Key:
    series = one.series
    return (
        "slo",
        *_server_key(spec),
        one.name,
        one.good or "",
        one.total or "",
        (series.sloth if series else None) or "",
        (series.pyrra if series else None) or "",
    )


def _server_key(spec: ClusterStateSpec) -> _Key:
    """Where it is asked for, and by whose right: what another server said, or said to somebody else, is no answer."""
    prometheus = spec.vital.prometheus
    return (prometheus.url, prometheus.secret_ref.name if prometheus.secret_ref else "") if prometheus else ()
