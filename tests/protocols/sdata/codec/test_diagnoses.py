from __future__ import annotations

import pytest

from tallystick.protocols.sdata.codec.diagnoses import (
    Diagnosis,
    SDataCode,
    Severity,
    read_diagnoses,
    write_diagnoses,
    write_diagnosis,
)
from tallystick.protocols.sdata.errors import MalformedMessage

NAMESPACE = "http://schemas.sage.com/sdata/2008/1"
FULL = Diagnosis(Severity.WARNING, SDataCode.BAD_WHERE_SYNTAX, "a < b", "E42", "line 1\nline 2", "/account/name")


def test_every_element_survives_the_way_there_and_back() -> None:
    assert read_diagnoses(write_diagnoses([FULL, Diagnosis(message="second")])) == (FULL, Diagnosis(message="second"))


def test_errors_are_wrapped_and_their_severity_is_in_lower_case() -> None:
    text = write_diagnoses([FULL]).decode()
    assert f'<diagnoses xmlns="{NAMESPACE}">' in text
    assert "<severity>warning</severity>" in text


def test_inside_a_feed_a_diagnosis_is_prefixed_and_not_wrapped() -> None:
    assert write_diagnosis(Diagnosis(message="x")).startswith("<sdata:diagnosis><sdata:severity>error</sdata:severity>")


@pytest.mark.parametrize("text", ("Error", "ERROR", "error", " error "))
def test_severity_is_read_in_any_case(text: str) -> None:
    data = f'<diagnoses xmlns="{NAMESPACE}"><diagnosis><severity>{text}</severity></diagnosis></diagnoses>'
    assert read_diagnoses(data.encode())[0].severity is Severity.ERROR


def test_an_unknown_severity_is_an_error() -> None:
    data = f'<diagnoses xmlns="{NAMESPACE}"><diagnosis><severity>Ghastly</severity></diagnosis></diagnoses>'
    assert read_diagnoses(data.encode())[0].severity is Severity.ERROR


def test_a_bare_diagnosis_is_read_too() -> None:
    data = f'<diagnosis xmlns="{NAMESPACE}"><severity>Fatal</severity><message>no</message></diagnosis>'
    assert read_diagnoses(data.encode()) == (Diagnosis(Severity.FATAL, message="no"),)


def test_another_body_is_no_diagnoses() -> None:
    with pytest.raises(MalformedMessage):
        read_diagnoses(b"<html/>")
