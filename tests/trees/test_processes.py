import os
import pickle
import signal

import pytest

from tallystick.trees.processes import Channel, Companion, share_number


def talk(work):
    """A companion that is waited for whatever happens."""
    companion = Companion(work)
    return companion, companion.channel


def test_a_companion_hears_and_says_things():
    def double(channel):
        while (number := channel.receive()) is not None:
            channel.send((share_number(), 2 * number))

    companion, channel = talk(double)
    try:
        channel.send(4)
        assert channel.receive() == (1, 8)
        channel.send(None)
    finally:
        companion.end()


def test_more_than_a_pipe_holds_is_said_whole():
    companion, channel = talk(lambda channel: channel.send(channel.receive()))
    try:
        channel.send(b"x" * (1 << 22))
        assert channel.receive() == b"x" * (1 << 22)
    finally:
        companion.end()


def test_what_the_work_raises_is_raised_here():
    companion, channel = talk(lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        channel.receive()
    companion.end()


def test_what_cannot_be_packed_comes_with_its_words():
    class Local(Exception):
        pass

    def fail(_):
        raise Local("words")

    companion, channel = talk(fail)
    with pytest.raises(RuntimeError, match="Local: words"):
        channel.receive()
    companion.end()


def test_a_companion_that_was_killed_is_no_answer():
    companion, channel = talk(lambda _: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(ChildProcessError, match="run again"):
        channel.receive()
    companion.end()


def test_half_of_a_message_is_no_answer():
    reading, writing = os.pipe()
    os.write(writing, pickle.dumps(["a", "message"] * 100)[:-40])
    os.close(writing)
    channel = Channel(reading, os.open(os.devnull, os.O_WRONLY))
    with pytest.raises(ChildProcessError, match="run again"):
        channel.receive()
    channel.close()


def test_a_companion_that_waits_for_a_word_ends_without_it():
    companion, _ = talk(lambda channel: channel.receive())
    companion.end()


def test_nothing_is_said_to_one_that_has_gone():
    companion, channel = talk(lambda _: None)
    os.waitid(os.P_PID, companion._identifier, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ChildProcessError, match="run again"):
        channel.send(b"anybody there?")
    companion.end()
