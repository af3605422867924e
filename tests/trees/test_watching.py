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


def test_what_changes_elsewhere_is_noticed_like_a_change_here(tmp_path):
    news = [False, False, True, False]
    heard = changes([tmp_path], quiet_seconds=0.25, elsewhere=lambda: bool(news) and news.pop(0))
    assert [next(heard) for _ in range(3)] == [False, True, False]


def test_two_trees_elsewhere_are_watched_without_any_directory():
    news = [False, True, False, True]
    heard = changes([], quiet_seconds=60, elsewhere=lambda: bool(news) and news.pop(0))
    assert [next(heard) for _ in range(3)] == [False, True, True]
