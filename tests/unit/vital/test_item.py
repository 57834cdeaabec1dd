"""Items: the words of the score are the words of the metrics."""

from cvstate_operator.vital.item import Item, ItemKind


def test_kinds_are_few_and_fixed() -> None:
    assert [str(kind) for kind in ItemKind] == ["Signal", "SLO", "Health", "Configuration"]


def test_an_item_that_was_never_known_has_no_value_and_no_time() -> None:
    item = Item(
        "error-rate", ItemKind.SIGNAL, 1, None, is_known=False, is_critical=False, is_breached=False, message="nobody has asked yet"
    )
    assert (item.value, item.since) == (None, None)
