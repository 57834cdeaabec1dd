"""Secrets in tests: their data, and what may be told of them."""

from collections.abc import Mapping

from cvstate_operator import errors


def data_of(given: Mapping[str, str | bytes]) -> dict[str, bytes]:
    """The data of a Secret: `ca_crt="…"` becomes `ca.crt`."""
    dotted = {name.replace("_crt", ".crt").replace("_key", ".key").replace("_pub", ".pub"): value for name, value in given.items()}
    return {name: value.encode() if isinstance(value, str) else value for name, value in dotted.items()}


def message_of(refused: errors.CvstateError, *, name: str, key: str, data: Mapping[str, str | bytes]) -> str:
    """The message of a refusal, which names the Secret and the key, and none of the values."""
    assert f"Secret {name}: key {key} " in refused.message
    assert refused.message.isprintable()
    for value in data_of(data).values():
        lines = [line for line in value.decode("latin-1").splitlines() if len(line) > 3]
        assert not any(line in refused.message for line in lines)
    return refused.message
