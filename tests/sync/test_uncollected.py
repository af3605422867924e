"""The garbage collector is off inside, in every thread, and as it was afterwards."""

from __future__ import annotations

import gc
import threading

import pytest

from tallystick.sync.uncollected import uncollected


def test_the_collector_is_off_inside_and_on_afterwards():
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_is_on_again_after_an_error():
    with pytest.raises(ValueError, match="inside"), uncollected():
        raise ValueError("inside")
    assert gc.isenabled()


def test_it_stays_off_until_the_last_thread_is_outside():
    entered, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with uncollected():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=stay)
    with uncollected():
        thread.start()
        entered.wait()
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
