from __future__ import annotations

from decimal import Decimal

import pytest

from tallystick.protocols.sdata.codec.tracking import Tracking, read_tracking, write_tracking
from tallystick.protocols.sdata.errors import MalformedMessage, UnknownNamespace

NAMESPACE = "http://schemas.sage.com/sdata/2008/1"


def body(inner: str) -> bytes:
    return f'<tracking xmlns="{NAMESPACE}">{inner}</tracking>'.encode()


def test_all_six_elements_are_written_in_the_right_namespace_integers_as_integers() -> None:
    text = write_tracking(Tracking("Applying", "12 < 20", Decimal("33.333"), 4, 5, 600)).decode()
    assert f'<tracking xmlns="{NAMESPACE}">' in text
    for element in (
        "<phase>Applying</phase>",
        "<phaseDetail>12 &lt; 20</phaseDetail>",
        "<progress>33.3</progress>",
        "<elapsedSeconds>4</elapsedSeconds>",
        "<remainingSeconds>5</remainingSeconds>",
        "<pollingMillis>600</pollingMillis>",
    ):
        assert element in text


def test_what_was_written_is_read_back() -> None:
    tracking = Tracking("a", "b", Decimal("50.0"), 1, 2, 300)
    assert read_tracking(write_tracking(tracking)) == tracking


def test_children_come_in_any_order_and_every_number_may_be_a_decimal() -> None:
    tracking = read_tracking(
        body("<pollingMillis>750.0</pollingMillis><progress>12.5</progress><elapsedSeconds>3.9</elapsedSeconds>")
    )
    assert (tracking.polling_millis, tracking.progress, tracking.elapsed_seconds) == (750, Decimal("12.5"), 3)


def test_every_element_is_optional() -> None:
    assert read_tracking(body("")) == Tracking()


def test_what_is_no_number_counts_as_absent() -> None:
    assert read_tracking(body("<pollingMillis>soon</pollingMillis><progress>NaN</progress>")) == Tracking()


def test_a_wrong_namespace_is_refused() -> None:
    with pytest.raises(UnknownNamespace):
        read_tracking(
            b'<tracking xmlns="http://schemas.sage.com/sdata/2008"><pollingMillis>1</pollingMillis></tracking>'
        )
    with pytest.raises(MalformedMessage):
        read_tracking(b"<html/>")


@pytest.mark.parametrize(
    ("millis", "seconds"), ((100, 0.1), (2500, 2.5), (10_000, 10.0), (99, 0.5), (0, 0.5), (-5, 0.5), (10_001, 0.5))
)
def test_a_poll_outside_of_what_makes_sense_is_500_milliseconds(millis: int, seconds: float) -> None:
    assert Tracking(polling_millis=millis).delay == seconds
