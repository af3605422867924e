"""errors.py: every error says what to do next, and keeps saying it across processes."""

import pickle

import pytest

from tallystick.errors import (
    ConfigurationError,
    FilterError,
    GuardStopped,
    IdentityDoubt,
    InternalError,
    LimitExceeded,
    PeerError,
    PeerProtocolError,
    PeerRefused,
    PeerUnreachable,
    StateError,
    StateExpiredError,
    StorageError,
    StorageLocked,
    TallystickError,
    UsageError,
    ValueRejected,
    error_class,
    error_classes,
)

EVERY_CLASS = [kind for kind in error_classes() if kind.__module__ == "tallystick.errors"]


def test_the_text_is_the_message_and_what_to_do_next():
    error = UsageError("there is no table 'x'", hint="choose one of a, b")
    assert str(error) == "there is no table 'x'; choose one of a, b"
    assert (error.message, error.hint) == ("there is no table 'x'", "choose one of a, b")


def test_an_empty_hint_leaves_the_message_alone():
    assert str(UsageError("nothing to do", hint="")) == "nothing to do"


@pytest.mark.parametrize("kind", EVERY_CLASS)
def test_every_error_says_what_to_do_next_without_being_told(kind):
    assert kind("it happened").hint


@pytest.mark.parametrize("kind", EVERY_CLASS)
def test_every_error_is_documented_in_its_own_words(kind):
    assert kind.__doc__
    assert all(kind.__doc__ != base.__doc__ for base in kind.__bases__)


def test_no_two_errors_share_a_code():
    codes = [kind.code for kind in EVERY_CLASS]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("kind", EVERY_CLASS)
def test_a_code_from_the_wire_leads_back_to_its_class(kind):
    assert error_class(kind.code) is kind


def test_an_unknown_code_is_not_guessed():
    assert error_class("from-a-later-version") is None


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    (
        (UsageError, 2),
        (ConfigurationError, 2),
        (FilterError, 2),
        (StateExpiredError, 2),
        (PeerUnreachable, 3),
        (PeerRefused, 3),
        (PeerProtocolError, 3),
        (GuardStopped, 4),
        (IdentityDoubt, 4),
        (InternalError, 5),
        (TallystickError, 5),
    ),
)
def test_a_command_exits_with_the_documented_code(kind, exit_code):
    assert kind("it happened").exit_code == exit_code


def test_one_error_may_carry_its_own_code_and_exit_code():
    error = PeerError("busy", code="peer-busy", exit_code=1)
    assert (error.code, error.exit_code) == ("peer-busy", 1)
    assert (PeerError.code, PeerError.exit_code) == ("peer", 3)


@pytest.mark.parametrize(
    ("kind", "parent"),
    (
        (PeerUnreachable, PeerError),
        (StateExpiredError, StateError),
        (LimitExceeded, ValueRejected),
        (StorageLocked, StorageError),
    ),
)
def test_a_family_can_be_caught_by_its_parent(kind, parent):
    with pytest.raises(parent):
        raise kind("it happened")


def test_only_what_time_may_heal_is_transient():
    assert {kind.code for kind in EVERY_CLASS if kind.transient} == {"peer-unreachable", "storage-locked"}


def test_an_error_crosses_a_process_border_whole():
    error = pickle.loads(pickle.dumps(GuardStopped("200 deletions", hint="look", code="own", exit_code=1)))
    assert (str(error), error.code, error.exit_code) == ("200 deletions; look", "own", 1)
