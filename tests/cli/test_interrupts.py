"""Ctrl-C while libraries are loaded is heard afterwards, not lost and not in the middle."""

from __future__ import annotations

import os
import signal

import pytest

from sevensteps.cli.interrupts import deferred


def test_ctrl_c_is_heard_at_the_end_of_the_block() -> None:
    lived: list[str] = []

    def load() -> None:
        with deferred():
            os.kill(os.getpid(), signal.SIGINT)
            lived.append("to the end of the block")

    with pytest.raises(KeyboardInterrupt):
        load()
    assert lived


def test_without_ctrl_c_nothing_happens_and_the_handler_is_as_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with deferred():
        pass
    assert signal.getsignal(signal.SIGINT) == before


def test_a_ctrl_c_that_the_parent_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
