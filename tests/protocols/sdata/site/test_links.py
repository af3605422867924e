from __future__ import annotations

import uuid

from tallystick.protocols.sdata.codec.payloads import checked_uuid
from tallystick.protocols.sdata.site.links import rising_uuids


def test_made_uuids_rise_and_are_random_all_the_same() -> None:
    made = rising_uuids(1000)
    assert made == sorted(set(made))
    assert len({text[-12:] for text in made}) == len(made) == 1000
    for text in made:
        assert checked_uuid(text) == text
        read = uuid.UUID(text)
        assert (str(read), read.version, read.variant) == (text, 7, uuid.RFC_4122)
    assert rising_uuids(0) == []
