"""What a restart wrote: only objects of the declared kinds count, and no dry runs."""

from bench import count, objects


def test_only_writes_of_declared_kinds_count():
    requests = {
        "patch configmaps": 2,
        "delete roles": 1,
        "patch configmaps dry-run": 300,
        "patch clusterstates/status": 1,
        "create events": 4,
        "list configmaps": 1,
        "get /readyz": 1,
    }
    assert count.writes(requests, objects.PLURALS) == 3
