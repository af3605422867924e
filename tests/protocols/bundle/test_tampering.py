"""What somebody does to the files: every change is refused by name, and nothing of it reaches the database."""

from __future__ import annotations

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import PEOPLE


@pytest.fixture
def waiting(workshop, monkeypatch):
    """A bundle of three parts waits for b: the places, and the bundle's folder."""
    monkeypatch.setattr("tallystick.protocols.bundle.exchange.BundleExchange.part_bytes", 1)
    monkeypatch.setattr("tallystick.site.reading.PAGE_ROWS", 64)
    a = workshop.place("a", PEOPLE, "INSERT INTO people(name) VALUES ('Ann')")
    b = workshop.place("b")
    workshop.acquainted(a, b)
    a.execute(*(f"INSERT INTO people(name) VALUES ('{'x' * 300}{n}')" for n in range(200)))
    a.visit()
    (folder,) = a.bundles(b)
    assert len(list(folder.glob("*.part"))) >= 3
    return a, b, folder


def refused(place):
    """Why the next visit takes nothing; the rows are as before."""
    before = place.rows()
    report = place.visit()
    assert place.rows() == before
    assert report.pulled == {}
    (reason,) = report.refused
    return reason


def change(path, position, with_=b"\xff"):
    raw = bytearray(path.read_bytes())
    raw[position] = (raw[position] + 1) % 256
    path.write_bytes(raw)


@pytest.mark.parametrize("name", ("manifest", "0001.part", "0002.part"))
def test_an_altered_file_is_named(waiting, name):
    _, b, folder = waiting
    change(folder / name, (folder / name).stat().st_size // 2)
    assert f"{folder.name}/{name}" in refused(b)


@pytest.mark.parametrize("name", ("manifest", "0001.part", "0002.part"))
def test_a_torn_file_is_named(waiting, name):
    _, b, folder = waiting
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert f"{folder.name}/{name} is torn" in refused(b)


@pytest.mark.parametrize("name", ("manifest", "0001.part", "0002.part"))
def test_a_missing_file_is_named(waiting, name):
    _, b, folder = waiting
    (folder / name).unlink()
    assert f"{folder.name}/{name} is missing" in refused(b)


def test_what_was_damaged_is_taken_once_it_is_whole_again(waiting):
    a, b, folder = waiting
    kept = (folder / "0002.part").read_bytes()
    change(folder / "0002.part", 500)
    refused(b)
    (folder / "0002.part").write_bytes(kept)
    assert b.visit().refused == []
    assert a.rows() == b.rows()


def test_its_own_site_writes_a_damaged_bundle_anew(waiting):
    a, b, folder = waiting
    (folder / "0002.part").unlink()
    a.visit()
    assert b.visit().refused == []
    assert a.rows() == b.rows()


def test_parts_that_changed_places_are_refused(waiting):
    _, b, folder = waiting
    one, two = (folder / "0001.part").read_bytes(), (folder / "0002.part").read_bytes()
    (folder / "0001.part").write_bytes(two)
    (folder / "0002.part").write_bytes(one)
    assert "0001.part" in refused(b)


def test_a_part_of_another_bundle_is_refused(waiting):
    a, b, folder = waiting
    a.execute("UPDATE people SET age=1")
    a.visit()
    later = a.bundles(b)[-1]
    shutil.copy(later / "0001.part", folder / "0001.part")
    assert "0001.part" in refused(b)


def test_a_bundle_under_another_number_is_refused(waiting):
    _, b, folder = waiting
    folder.rename(folder.with_name("000099"))
    assert "somebody changed the order of bundles" in refused(b)


def test_a_bundle_without_the_one_before_it_is_refused_and_taken_after_it(waiting, tmp_path):
    a, b, folder = waiting
    a.execute("UPDATE people SET age=1")
    a.visit()
    shutil.move(folder, tmp_path / "late")
    assert "continues from a bundle of a.db that has not been taken" in refused(b)
    shutil.move(tmp_path / "late", folder)
    assert b.visit().refused == []
    assert a.rows() == b.rows()


def test_a_bundle_that_was_taken_is_not_taken_again(waiting, workshop):
    a, b, folder = waiting
    copy = workshop.copied("replay") / folder.relative_to(workshop.directory)
    b.visit()
    a.visit()
    assert not folder.exists()
    b.execute("UPDATE people SET name='edited since' WHERE id=1")
    shutil.copytree(copy, folder)
    before = b.rows()
    report = b.visit()
    assert (b.rows(), report.pulled, report.refused) == (before, {}, [])


def test_a_bundle_for_somebody_else_is_refused(waiting, workshop):
    a, b, folder = waiting
    c = workshop.place("c")
    c.visit(a)
    a.visit(c)
    a.visit()
    (other,) = a.bundles(c)
    shutil.rmtree(folder)
    shutil.copytree(other, folder.with_name(other.name))
    assert "it lies elsewhere" in " ".join(b.visit().refused)
    assert len(b.rows()) == 1


def test_a_bundle_that_another_site_signed_is_refused(waiting, workshop):
    _, b, folder = waiting
    c = workshop.place("c", PEOPLE, "INSERT INTO people(id, name) VALUES (999, 'forged')")
    c.visit(b)
    b.visit(c)
    c.visit()
    (forged,) = c.bundles(b)
    shutil.rmtree(folder)
    shutil.rmtree(c.folder)
    shutil.copytree(forged, folder) if forged.exists() else shutil.copytree(b.folder, folder)
    assert refused(b)


def test_somebody_elses_card_in_a_folder_is_refused(waiting, workshop):
    a, b, _ = waiting
    c = workshop.place("c")
    c.visit()
    shutil.copy(c.folder / "card", a.folder / "card")
    shutil.rmtree(c.folder)
    reason = refused(b)
    assert a.site.id in reason


def test_an_altered_acknowledgement_moves_nothing(waiting):
    a, b, folder = waiting
    b.visit()
    statement = b.folder / f"for-{a.site.id}" / "statement"
    change(statement, 200)
    report = a.visit()
    assert "statement" in report.refused[0]
    assert folder.exists()
    b.visit()
    assert a.visit().refused == []
    assert not folder.exists()


def test_an_old_acknowledgement_only_makes_us_write_again(waiting):
    a, b, folder = waiting
    statement = b.folder / f"for-{a.site.id}" / "statement"
    old = statement.read_bytes()
    b.visit()
    a.visit()
    assert not folder.exists()
    statement.write_bytes(old)
    a.visit()
    assert a.bundles(b)
    before = b.rows()
    b.visit()
    assert b.rows() == before


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_is_refused_or_changes_nothing_that_counts(waiting, data):
    a, b, folder = waiting
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    raw = path.read_bytes()
    position = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:position] + bytes([raw[position] ^ data.draw(st.integers(1, 255))]) + raw[position + 1 :]
    before = b.rows()
    path.write_bytes(changed)
    try:
        report = b.visit()
    finally:
        path.write_bytes(raw)
    if report.refused:
        assert b.rows() == before
    else:  # the unused bits of a signature's last letter
        assert b.rows() == a.rows()
