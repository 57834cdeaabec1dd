"""Account: what an object of any kind says about itself, for people, where it is judged by expressions that only say yes or no.

Nothing here decides, and nothing fails: what cannot be read is passed over.
"""

from collections.abc import Iterator
from typing import Any, Final

from cvstate_operator.vital.facts import conditions
from cvstate_operator.vital.facts.conditions import Condition, Conditions
from cvstate_operator.vital.facts.fields import Fields, MalformedError
from cvstate_operator.vital.health import generic

_WORDS: Final = (
    "phase", "state", "stage", "stageStatus", "health", "sync", "healthStatus", "currentState", "currentStatus", "robustness", "printableStatus",
    "lifecycleState", "applicationState", "jobDeploymentStatus", "scheduleState", "connectionState", "cassandraOperatorProgress", "PostgresClusterStatus",
)  # fmt: skip
"""Fields of a status that say in one word where it is; or in an object with such a word."""
_IN_WORDS: Final = ("status", "state", "lastObservedState")
_TEXTS: Final = (
    "message",
    "errorMessage",
    "error",
    "failureMessage",
    "failureReason",
    "reason",
    "description",
    "lastMessage",
    "phaseReason",
)
"""Fields of a status that say why; or in an object with a message."""
_IN_TEXTS: Final = ("message", "errorMessage")
_LISTS: Final = ("parents", "ingress")
"""Fields whose items have conditions of their own: routes of the Gateway API and of OpenShift."""
_COMPLAINTS: Final = (
    "Error",
    "Errors",
    "Failed",
    "Failure",
    "Degraded",
    "NotReady",
    "Denied",
    "ErrorOccurred",
    "Unsupported",
    "Invalid",
    "InvalidSpec",
)
"""How types of conditions end that tell that something is wrong."""
_SUMMARIES: Final = (*generic.SUMMARIES, "Succeeded")


def of_trouble(live: Fields) -> str:
    """Why it is not ready; empty if it does not say."""
    entries = _conditions(live.below("status"))
    newest = live.below("metadata").generation("generation") or 0
    for each in entries:
        if each.type in _SUMMARIES and each.status != conditions.TRUE:
            return generic.summed_up(each).message
        if each.type in _SUMMARIES and each.generation is not None and each.generation < newest:
            return f"{each.type} speaks of generation {each.generation}, not of the newest"
    for each in entries:
        if each.type.endswith(_COMPLAINTS) and each.status in (conditions.TRUE, ""):
            return f"{each.type}: {each.told}"
    words, text = _words(live), next(_texts(live, _TEXTS, _IN_TEXTS), ("", ""))[1]
    if text or (words and not entries):
        return ": ".join(filter(None, (words, text)))
    refused = next((each for each in entries if each.status not in (conditions.TRUE, "") and (each.message or each.reason)), None)
    return generic.summed_up(refused).message if refused else words


def of_success(live: Fields) -> str:
    """That it is ready, in its own words; empty if it has none."""
    ready = next((each for each in _conditions(live.below("status")) if each.type in _SUMMARIES and each.status == conditions.TRUE), None)
    return f"{ready.type} is True" if ready else _words(live)


def _words(live: Fields) -> str:
    return ", ".join(f"{name} is {word}" for name, word in _texts(live, _WORDS, _IN_WORDS))


def _conditions(status: Fields) -> tuple[Condition, ...]:
    """Its own ones, or else those of what it lists."""
    try:
        own = Conditions.of(status).entries
        return own or tuple(entry for name in _LISTS for item in status.items(name) for entry in Conditions.of(item).entries)
    except MalformedError:
        return ()


def _texts(live: Fields, names: tuple[str, ...], inner: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Fields of the status that hold a text, or an object in which one of the `inner` fields does."""
    status = live.below("status").values
    for name in names:
        value: Any = status.get(name)
        if isinstance(value, dict):
            value = next((value[key] for key in inner if isinstance(value.get(key), str)), "")
        if isinstance(value, str) and value:
            yield name, value
