"""Watching directories: something changed, without saying what."""

from tallystick.trees.watching import changes


def test_a_change_made_right_after_watching_began_is_noticed(tmp_path):
    heard = changes([tmp_path], quiet_seconds=60)
    assert next(heard) is False
    (tmp_path / "d").mkdir()
    assert next(heard) is True
    (tmp_path / "d" / "deep").write_text("x")
    assert next(heard) is True


def test_silence_is_answered_too(tmp_path):
    heard = changes([tmp_path], quiet_seconds=0.1)
    assert [next(heard) for _ in range(3)] == [False, False, False]
