"""Errors come back as what they were, and say no more than they should."""

from __future__ import annotations

import pytest

from tallystick import errors
from tallystick.errors import PeerError, PeerProtocolError, PeerRefused, PeerUnreachable, error_classes
from tallystick.protocols.native.codec.errors import (
    Busy,
    ErrorForm,
    RequestError,
    TimedOut,
    decode_error,
    encode_error,
    form_of,
    status_of,
)

CLASSES = [kind for kind in error_classes() if kind.__module__ == "tallystick.errors"]
SAME = [kind for kind in CLASSES if not issubclass(kind, errors.PeerError | errors.AccessError | errors.InternalError)]


def test_an_answer_that_is_no_text_is_an_error_of_the_peer():
    assert isinstance(decode_error(500, b'{"code":"\xff"}', "http://peer/"), PeerError)


@pytest.mark.parametrize("kind", SAME, ids=lambda kind: kind.__name__)
def test_an_error_comes_back_as_the_class_that_it_was(kind):
    error = kind("something happened", hint="do this")
    back = decode_error(status_of(error), encode_error(error), "http://peer/")
    assert type(back) is kind
    assert back.message == "http://peer/: something happened"
    assert back.hint == "do this"
    assert back.code == kind.code


@pytest.mark.parametrize(
    ("error", "kind"),
    (
        (errors.AuthenticationRequired("who"), PeerRefused),
        (errors.AccessDenied("no"), PeerRefused),
        (RequestError("bad"), PeerProtocolError),
        (errors.PeerProtocolError("bad page"), PeerProtocolError),
        (RequestError("other", code="version", status=404), PeerProtocolError),
        (RequestError("what", code="unknown-verb", status=404), PeerRefused),
        (Busy("much"), PeerUnreachable),
        (TimedOut("slow"), PeerUnreachable),
        (errors.InternalError("oh"), PeerError),
        (ValueError("secret content"), PeerError),
        (errors.FilterError("deep", code="filter-too-deep"), errors.FilterError),
    ),
    ids=lambda given: type(given).__name__ if isinstance(given, Exception) else "",
)
def test_what_the_served_end_says_of_us_becomes_an_error_of_the_peer(error, kind):
    status = status_of(error) if isinstance(error, errors.TallystickError) else 500
    assert type(decode_error(status, encode_error(error), "http://peer/")) is kind


def test_only_what_may_succeed_later_says_so():
    assert form_of(Busy("much")).retry
    assert form_of(errors.StorageLocked("x")).retry
    assert not form_of(errors.SchemaError("x")).retry
    assert decode_error(503, encode_error(errors.StorageLocked("x")), "p").transient
    assert not decode_error(403, encode_error(errors.AccessDenied("x")), "p").transient


def test_what_was_not_raised_on_purpose_is_not_told():
    form = form_of(ValueError("content of a record"))
    assert form == ErrorForm("internal", form.message, form.hint)
    assert "content" not in form.message


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    (
        (502, b"<html>", PeerUnreachable),
        (503, b"", PeerUnreachable),
        (401, b"<html>", PeerRefused),
        (404, b"not found", PeerProtocolError),
        (200, b"{}", PeerProtocolError),
        (500, b"[" * 100_000, PeerProtocolError),
        (500, b'{"code": "a code of tomorrow", "message": "m"}', PeerError),
        (400, b'{"code": "a code of tomorrow", "message": "m"}', PeerRefused),
        (400, b'{"code": 5}', PeerProtocolError),
    ),
)
def test_answers_that_are_no_error_of_ours_are_understood_by_their_status(status, body, kind):
    assert type(decode_error(status, body, "http://peer/")) is kind


@pytest.mark.parametrize("kind", SAME, ids=lambda kind: kind.__name__)
def test_every_error_has_a_status(kind):
    status = status_of(kind("x"))
    assert 400 <= status < 600
    transient_or_defect = kind.transient or issubclass(kind, errors.StorageError) or kind is errors.TallystickError
    assert (status >= 500) == transient_or_defect
