"""Waves: how far objects may be applied.

Aspects: which wave holds up which · who is named · what holds up nothing.
"""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cvstate_operator.objects.directives import Directives
from cvstate_operator.objects.identity import ObjectRef
from cvstate_operator.objects.manifest import Manifest
from cvstate_operator.plan.desired import Desired
from cvstate_operator.plan.waves import Frontier, frontier
from tests.unit.builders import manifest, ref


def objects(**waves: int) -> dict[ObjectRef, Manifest]:
    """Objects by name, and the wave each of them names."""
    return {ref(name): replace(manifest(name), directives=Directives(wave=wave)) for name, wave in waves.items()}


def limit(those: dict[ObjectRef, Manifest], *lacking: str) -> Frontier | None:
    return frontier(Desired(those).waves, lambda ref: f"{ref.name} is not ready" if ref.name in lacking else "")


def test_nothing_is_held_up_if_nothing_lacks_anything() -> None:
    assert limit(objects(a=0, b=1, c=2)) is None


def test_the_first_wave_that_is_not_finished_is_as_far_as_it_goes() -> None:
    assert limit(objects(a=0, b=1, c=2), "b") == Frontier(1, ref("b"), "b is not ready")
    assert limit(objects(a=0, b=1, c=2), "b", "a") == Frontier(0, ref("a"), "a is not ready")


def test_of_several_the_first_by_name_is_told() -> None:
    assert limit(objects(c=0, b=0, a=0, z=1), "c", "b") == Frontier(0, ref("b"), "b is not ready")


def test_the_last_wave_holds_up_nothing() -> None:
    assert limit(objects(a=0, b=1), "b") is None
    assert limit(objects(a=0, b=0), "a", "b") is None


def test_waves_before_the_usual_one_have_negative_numbers() -> None:
    assert limit(objects(a=-5, b=0), "a") == Frontier(-5, ref("a"), "a is not ready")


def test_no_objects_are_no_waves() -> None:
    assert limit({}) is None


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-3, 3)), st.sets(st.sampled_from("abcdefgh")))
def test_no_wave_is_begun_before_everything_in_the_earlier_ones_is_finished(waves: dict[str, int], lacking: set[str]) -> None:
    found = limit(objects(**waves), *lacking)
    unfinished = [wave for name, wave in waves.items() if name in lacking]
    if found is None:
        assert not unfinished or min(unfinished) == max(waves.values())
    else:
        assert found.wave == min(unfinished)
