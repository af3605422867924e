"""Sites whose rows are partly older than tracking agree over Eden's protocol and lose no row."""

import sqlite3
from contextlib import closing
from random import Random

import pytest

from tallystick import api
from tallystick.jobs.eden import eden_store
from tallystick.jobs.eden_peers import EdenLink, Wish
from tallystick.jobs.tasks import Peer
from tallystick.web import running
from tallystick.web.eden import eden

ORG = "org_organisation"
TABLES = (
    "CREATE TABLE gis_location (id INTEGER PRIMARY KEY, name TEXT)",
    f"CREATE TABLE {ORG} (id INTEGER PRIMARY KEY, name TEXT NOT NULL, year INTEGER, "
    f"location_id INTEGER REFERENCES gis_location(id), parent_id INTEGER REFERENCES {ORG}(id))",
    "CREATE TABLE org_office (id INTEGER PRIMARY KEY, name TEXT NOT NULL, "
    f"organisation_id INTEGER NOT NULL REFERENCES {ORG}(id) ON DELETE CASCADE)",
)
VIEWS = (
    f"SELECT o.name, o.year, l.name, p.name FROM {ORG} o LEFT JOIN gis_location l ON l.id=o.location_id "
    f"LEFT JOIN {ORG} p ON p.id=o.parent_id ORDER BY 1",
    f"SELECT f.name, o.name FROM org_office f JOIN {ORG} o ON o.id=f.organisation_id ORDER BY 1",
)
ROUNDS, SETTLING = 20, 4


class Programs:
    """What the applications of all sites do; every row gets a name of its own."""

    def __init__(self, seed):
        self.random = Random(seed)
        self.count = 0

    def work(self, path, times):
        with closing(sqlite3.connect(path, timeout=30)) as database, database:
            database.execute("PRAGMA foreign_keys=ON")
            for _ in range(times):
                self._step(database)

    def _step(self, database):
        self.count += 1
        organisations = _ids(database, ORG)
        kind = self.random.choice(("organisation", "year", "year", "office", "rename", "close", "leave"))
        if kind == "organisation" or not organisations:
            place = None
            if self.random.random() < 0.5:
                place = database.execute("INSERT INTO gis_location(name) VALUES (?)", (f"at{self.count}",)).lastrowid
            parent = self.random.choice([None, None, *organisations])
            row = (f"org{self.count}", self.count, place, parent)
            database.execute(f"INSERT INTO {ORG}(name, year, location_id, parent_id) VALUES (?, ?, ?, ?)", row)
        elif kind == "office":
            row = (f"office{self.count}", self.random.choice(organisations))
            database.execute("INSERT INTO org_office(name, organisation_id) VALUES (?, ?)", row)
        elif kind == "year":
            row = (self.count, self.random.choice(organisations))
            database.execute(f"UPDATE {ORG} SET year=? WHERE id=?", row)
        elif kind == "leave":
            database.execute(f"UPDATE {ORG} SET parent_id=NULL WHERE id=?", (self.random.choice(organisations),))
        elif offices := _ids(database, "org_office"):
            one = self.random.choice(offices)
            if kind == "rename":
                database.execute("UPDATE org_office SET name=? WHERE id=?", (f"office{self.count}", one))
            else:
                database.execute("DELETE FROM org_office WHERE id=?", (one,))


class Reorganizing(Programs):
    """Programs that also move offices and branches to others, and close whole organisations with their offices."""

    def _step(self, database):
        chance, organisations = self.random.random(), _ids(database, ORG)
        offices = _ids(database, "org_office")
        if chance < 0.3 and organisations:
            self._dissolve(database, self.random.choice(organisations))
        elif chance > 0.88 and organisations:
            one, other = self.random.choice(organisations), self.random.choice(organisations)
            if one != other:
                database.execute(f"UPDATE {ORG} SET parent_id=? WHERE id=?", (other, one))
        elif chance > 0.75 and offices and organisations:
            office, organisation = self.random.choice(offices), self.random.choice(organisations)
            database.execute("UPDATE org_office SET organisation_id=? WHERE id=?", (organisation, office))
        else:
            super()._step(database)

    def _dissolve(self, database, one):
        branches = database.execute(f"SELECT count(*) FROM {ORG} WHERE parent_id=?", (one,)).fetchone()[0]
        if branches and self.random.random() < 0.5:
            return
        database.execute(f"UPDATE {ORG} SET parent_id=NULL WHERE parent_id=?", (one,))
        database.execute(f"DELETE FROM {ORG} WHERE id=?", (one,))


def _ids(database, table):
    return [number for (number,) in database.execute(f"SELECT id FROM {table} ORDER BY id")]


def _shown(path):
    with closing(sqlite3.connect(path)) as database:
        return [database.execute(view).fetchall() for view in VIEWS]


def _made(path, programs):
    """A site, half of the time with rows that are older than tracking."""
    with closing(sqlite3.connect(path)) as database, database:
        for table in TABLES:
            database.execute(table)
    programs.work(path, programs.random.choice((0, 3)))
    with api.open(path) as site:
        site.track()


def _synchronize(path, address):
    with api.open(path) as site:
        peer = Peer("hub", f"eden+{address}eden")
        done = EdenLink(eden_store(site.replica, keep_secrets=False), peer, None).synchronize([ORG], Wish(allowed=-1))
    assert all(table.error is None for table in done.tables.values())
    return [issue for table in done.tables.values() for issue in table.issues]


@pytest.mark.parametrize(
    ("kind", "seed"),
    ((Programs, 6), (Programs, 34), *((Reorganizing, seed) for seed in (10, 33, 41, 134))),
)
def test_three_sites_agree_and_lose_no_row(tmp_path, kind, seed):
    programs = kind(seed)
    hub, *fields = paths = [str(tmp_path / f"{name}.db") for name in ("hub", "east", "west")]
    for path in paths:
        _made(path, programs)
    with running(hub, providers=[eden("/eden")]) as address:
        for _ in range(ROUNDS):
            programs.work(programs.random.choice(paths), programs.random.randint(1, 4))
            if programs.random.random() < 0.5:
                _synchronize(programs.random.choice(fields), address)
        left = [[issue for path in fields for issue in _synchronize(path, address)] for _ in range(SETTLING)]
    assert left[-1] == []
    assert _shown(fields[0]) == _shown(fields[1]) == _shown(hub)


@pytest.fixture
def pair(tmp_path):
    """A field site and a hub that agree: an organisation, of which the two have different integers, and no more."""
    hub, east = (str(tmp_path / f"{name}.db") for name in ("hub", "east"))
    for path, rows in ((hub, ("INSERT INTO org_organisation VALUES (1, 'head', 1, NULL, NULL)",)), (east, ())):
        _execute(path, *TABLES, *rows)
        with api.open(path) as site:
            site.track()
    with running(hub, providers=[eden("/eden")]) as address:
        _synchronize(east, address)
        yield hub, east, address


def _execute(path, *statements):
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.execute("PRAGMA foreign_keys=ON")
        for statement in statements:
            database.execute(statement)


def _names(path):
    with closing(sqlite3.connect(path)) as database:
        return [name for (name,) in database.execute(f"SELECT name FROM {ORG} ORDER BY name")]


@pytest.mark.parametrize("deleting", (0, 1))
def test_a_deletion_of_what_others_refer_to_by_now_is_undone_everywhere(pair, deleting):
    hub, east, address = pair
    sides = (hub, east)
    _execute(sides[deleting], f"DELETE FROM {ORG}")
    _execute(sides[1 - deleting], f"INSERT INTO {ORG} SELECT 9, 'branch', 2, NULL, id FROM {ORG}")
    for _ in range(SETTLING):
        left = _synchronize(east, address)
    assert left == []
    assert _names(hub) == _names(east) == ["branch", "head"]
    assert _shown(hub) == _shown(east)


def test_what_was_closed_together_goes_together(pair):
    hub, east, address = pair
    _execute(hub, f"INSERT INTO {ORG} VALUES (2, 'branch', 2, NULL, 1), (3, 'shop', 3, NULL, 2)")
    _synchronize(east, address)
    assert _names(east) == ["branch", "head", "shop"]
    _execute(hub, *(f"DELETE FROM {ORG} WHERE id={number}" for number in (3, 2, 1)))
    _synchronize(east, address)
    assert _names(hub) == _names(east) == []


def _without_foreign_keys(path, *statements):
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        for statement in statements:
            database.execute(statement)


@pytest.mark.parametrize("side", (0, 1))
def test_an_office_of_no_organisation_is_named_by_every_run_until_it_has_one(pair, side):
    hub, east, address = pair
    where, changing = ("there", "here")[side], (hub, east)[side]
    _without_foreign_keys(changing, "INSERT INTO org_office VALUES (5, 'left', 77)")
    for _ in range(SETTLING):
        (issue,) = _synchronize(east, address)
        assert issue.startswith(f"{where}: (UID: urn:uuid:")
        assert "org_office.organisation_id: the record it belongs to is not there" in issue
    _execute(changing, f"UPDATE org_office SET organisation_id=(SELECT id FROM {ORG})")
    for _ in range(SETTLING):
        left = _synchronize(east, address)
    assert left == []
    assert _shown(hub) == _shown(east)
    assert _shown(hub)[1] == [("left", "head")]


def test_an_office_that_lost_its_organisation_goes_with_it_and_what_it_held_is_logged(pair):
    hub, east, address = pair
    _execute(hub, f"INSERT INTO {ORG} VALUES (2, 'shut', 2, NULL, NULL)", "INSERT INTO org_office VALUES (5, 'o', 2)")
    _synchronize(east, address)
    _without_foreign_keys(east, f"DELETE FROM {ORG} WHERE name='shut'", "UPDATE org_office SET name='left'")
    assert len(_synchronize(east, address)) == 1
    assert _synchronize(east, address) == []
    for path in (hub, east):
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT name FROM org_office").fetchall() == []
            assert database.execute("SELECT count(*) FROM tally_conflict").fetchall() > [(0,)]


def test_a_dry_run_names_what_cannot_be_sent(pair):
    _, east, address = pair
    _without_foreign_keys(east, "INSERT INTO org_office VALUES (5, 'left', 77)")
    with api.open(east) as site:
        link = EdenLink(eden_store(site.replica, keep_secrets=False), Peer("hub", f"eden+{address}eden"), None)
        would = link.preview([ORG], Wish()).rehearsed
    assert would.waiting
    assert [line.partition(" (")[0] for line in would.unsent] == ["here:"]


ODD = (
    f"CREATE TABLE {ORG} (id INTEGER PRIMARY KEY, name TEXT NOT NULL, main_id INTEGER REFERENCES org_office(id), "
    "location_id INTEGER REFERENCES gis_location(id))",
    "CREATE TABLE org_office (id INTEGER PRIMARY KEY, name TEXT NOT NULL, "
    f"organisation_id INTEGER NOT NULL REFERENCES {ORG}(id) ON DELETE CASCADE)",
    "CREATE TABLE gis_location (id INTEGER PRIMARY KEY, name TEXT)",
)
WHOLE = (
    f"SELECT o.name, f.name, l.name FROM {ORG} o LEFT JOIN org_office f ON f.organisation_id=o.id "
    "LEFT JOIN gis_location l ON l.id=o.location_id ORDER BY 1, 2"
)
HEAD = (
    "INSERT INTO gis_location VALUES (1, 'hill')",
    f"INSERT INTO {ORG} VALUES (1, 'head', NULL, 1)",
    "INSERT INTO org_office VALUES (1, 'main', 1), (2, 'other', 1)",
    f"UPDATE {ORG} SET main_id=1",
)


@pytest.fixture
def odd(tmp_path):
    """Makes a field site and a hub where an organisation has a main one among its offices."""

    def made(*statements, holder=0):
        for number, path in enumerate(sides):
            _execute(path, *ODD, *(statements if number == holder else ()))
            with api.open(path) as site:
                site.track()
        return sides, address

    sides = [str(tmp_path / f"{name}.db") for name in ("hub", "east")]
    with closing(sqlite3.connect(sides[0])):
        pass
    with running(sides[0], providers=[eden("/eden")]) as address:
        yield made


def _whole(path):
    with closing(sqlite3.connect(path)) as database:
        return database.execute(WHOLE).fetchall()


@pytest.mark.parametrize("side", (0, 1))
def test_records_that_need_each_other_come_together(odd, side):
    sides, address = odd()
    _execute(sides[side], *HEAD)
    assert [_synchronize(sides[1], address) for _ in range(2)] == [[], []]
    assert _whole(sides[0]) == _whole(sides[1]) == [("head", "main", "hill"), ("head", "other", "hill")]


@pytest.mark.parametrize("side", (0, 1))
def test_records_older_than_tracking_that_need_each_other_come_and_go_together(odd, side):
    sides, address = odd(*HEAD)
    assert [_synchronize(sides[1], address) for _ in range(2)] == [[], []]
    assert _whole(sides[0]) == _whole(sides[1]) == [("head", "main", "hill"), ("head", "other", "hill")]
    _execute(sides[side], f"DELETE FROM {ORG}")
    assert [_synchronize(sides[1], address) for _ in range(2)] == [[], []]
    assert _whole(sides[0]) == _whole(sides[1]) == []


@pytest.mark.parametrize("side", (0, 1))
@pytest.mark.parametrize("older", (True, False))
def test_a_component_that_a_database_refuses_is_named_and_tried_until_it_fits(odd, side, older):
    sides, address = odd(*(HEAD if older else ()), holder=side)
    refused = "BEFORE INSERT ON org_office WHEN NEW.name='other' BEGIN SELECT RAISE(ABORT, 'no'); END"
    _execute(sides[1 - side], f"CREATE TRIGGER refusing {refused}")
    if not older:
        _execute(sides[side], *HEAD)
    for _ in range(3):
        (issue,) = _synchronize(sides[1], address)
        assert issue.endswith("org_office: no")
    _execute(sides[1 - side], "DROP TRIGGER refusing")
    assert [_synchronize(sides[1], address) for _ in range(2)] == [[], []]
    assert _whole(sides[0]) == _whole(sides[1]) == [("head", "main", "hill"), ("head", "other", "hill")]


NO_PLACES = "CREATE TRIGGER refusing BEFORE INSERT ON gis_location BEGIN SELECT RAISE(ABORT, 'no'); END"


@pytest.mark.parametrize("side", (0, 1))
@pytest.mark.parametrize("older", (True, False))
def test_a_reference_to_a_record_that_a_database_refuses_stays_at_its_origin_and_comes_later(odd, side, older):
    sides, address = odd(*(HEAD if older else ()), holder=side)
    _execute(sides[1 - side], NO_PLACES)
    if not older:
        _execute(sides[side], *HEAD)
    for _ in range(3):
        assert any(issue.endswith("gis_location: no") for issue in _synchronize(sides[1], address))
        assert _whole(sides[side]) == [("head", "main", "hill"), ("head", "other", "hill")]
    _execute(sides[1 - side], "DROP TRIGGER refusing")
    assert [_synchronize(sides[1], address) for _ in range(2)] == [[], []]
    assert _whole(sides[0]) == _whole(sides[1]) == [("head", "main", "hill"), ("head", "other", "hill")]


def test_a_change_of_a_record_whose_reference_waits_does_not_empty_the_reference_at_its_origin(odd):
    sides, address = odd(*HEAD, holder=1)
    _execute(sides[0], NO_PLACES)
    _synchronize(sides[1], address)
    _execute(sides[0], f"UPDATE {ORG} SET name='new'")
    for _ in range(3):
        (issue,) = _synchronize(sides[1], address)
        assert issue.endswith("gis_location: no")
        assert _whole(sides[1]) == [("new", "main", "hill"), ("new", "other", "hill")]
    _execute(sides[0], "DROP TRIGGER refusing")
    assert [_synchronize(sides[1], address) for _ in range(2)] == [[], []]
    assert _whole(sides[0]) == _whole(sides[1]) == [("new", "main", "hill"), ("new", "other", "hill")]
