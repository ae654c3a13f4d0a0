from __future__ import annotations

import pytest

from sevensteps import Callback
from sevensteps.errors import RequestError
from sevensteps.training.callbacks import EVENTS, as_callbacks


def test_a_misspelt_event_is_an_error_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match=r"Mine\.after_bacth names no event; the events are: before_fit,"):

        class Mine(Callback):
            def after_bacth(self) -> None: ...


def test_a_misspelt_event_of_a_mixin_is_an_error_too() -> None:
    class Mixin:
        def before_epochs(self) -> None: ...

    with pytest.raises(TypeError, match=r"Mine\.before_epochs names no event"):

        class Mine(Mixin, Callback): ...


def test_every_event_may_be_listened_to() -> None:
    made = type("All", (Callback,), {event: lambda self: None for event in EVENTS})
    assert issubclass(made, Callback)


def test_each_part_has_a_before_an_after_and_a_cancelled() -> None:
    for part in ("fit", "epoch", "train", "batch", "validate"):
        assert {f"before_{part}", f"after_{part}", f"after_cancel_{part}"} <= set(EVENTS)


def test_the_docstring_draws_every_event() -> None:
    from sevensteps.training import callbacks

    drawn = callbacks.__doc__ or ""
    assert [event for event in EVENTS if "cancel" not in event and event not in drawn] == []


def test_one_several_and_none_become_a_list() -> None:
    one = Callback()
    assert as_callbacks(None) == []
    assert as_callbacks(one) == [one]
    assert as_callbacks(callback for callback in (one, one)) == [one, one]


@pytest.mark.parametrize("strange", [Callback, [Callback], [print], ["a"]])
def test_what_is_no_callback_is_refused(strange: object) -> None:
    with pytest.raises(RequestError, match=r"is no callback[\s\S]*instances"):
        as_callbacks(strange)
