"""The command between providers, between a provider and a database, linking, and the log."""

from __future__ import annotations

import base64
import json
import re
import sqlite3

import pytest
from click.testing import CliRunner

import tallystick
from tallystick.cli.main import group
from tallystick.errors import UsageError
from tallystick.web.eden import eden
from tallystick.web.server import running

PEOPLE = (
    "INSERT INTO sales_person VALUES (1, 'Sam')",
    "INSERT INTO account (id, name, sales_person_id) VALUES (1, 'Acme', 1), (2, 'Bolt', NULL)",
)
CUSTOMERS = ("CREATE TABLE customer (code VARCHAR(9) PRIMARY KEY, email TEXT, name TEXT)",)
NOBODY = "sdata+http://127.0.0.1:9/sdata/a/b/-"


def run(*arguments, ask=None):
    result = CliRunner().invoke(group, [str(one) for one in arguments], catch_exceptions=False, input=ask)
    assert result.exit_code == 0, result.output
    return result


def url(served, kind=""):
    return f"sdata+{served.dataset}/{kind}".rstrip("/")


def test_two_providers_are_synchronized_by_their_common_kinds(serving):
    one, other = serving("one", *PEOPLE), serving("other")
    done = json.loads(run("sync", url(one), url(other), "--json", "--run-name", "nightly").output)
    assert [(item["source"].rpartition("/")[2], item["entries"]) for item in done] == [
        ("countries", 0),
        ("salesPersons", 1),
        ("accounts", 2),
        ("countries", 0),
        ("salesPersons", 0),
        ("accounts", 0),
    ]
    assert other.sql("SELECT name FROM account ORDER BY 1") == [("Acme",), ("Bolt",)]
    logged = json.loads(run("log", one.url, "--run", "nightly", "--json").output)
    assert {item["action"] for item in logged} == {"sdata source salesPersons", "sdata source accounts"}
    assert [(found["kind"], found["status"], found["method"]) for found in logged[0]["results"]] == [
        ("salesPersons", 200, "POST"),
        ("accounts", 200, "POST"),
        ("accounts", 200, "POST"),
    ]
    assert "results that SData targets reported" in run("log", one.url, "--run", "nightly").output


def test_results_go_to_whoever_logs_them_too(serving):
    one, other, logging = serving("one", *PEOPLE), serving("other"), serving("logging")
    run("sync", url(one), url(other), "--run-name", "audited", "--results-to", url(logging))
    assert len(tallystick.open(logging.url).posted_results("audited")) == 3


def test_one_kind_and_one_direction(serving):
    one, other = serving("one", *PEOPLE), serving("other", "INSERT INTO account (id, name) VALUES (7, 'Mine')")
    done = json.loads(run("sync", url(one, "salesPersons"), url(other), "--direction", "push", "--json").output)
    assert [item["entries"] for item in done] == [1]
    run("sync", url(one), url(other), "--only", "accounts", "--direction", "pull")
    assert one.sql("SELECT name FROM account ORDER BY 1") == [("Acme",), ("Bolt",), ("Mine",)]


def test_a_provider_and_a_database_agree_and_missing_tables_are_created(serving, tmp_path, engine):
    served = serving("one", *PEOPLE, engine=engine)
    local = tmp_path / "clinic.db"
    run("sync", url(served), local)
    with sqlite3.connect(local) as database:
        rows = database.execute(
            "SELECT a.name, p.name FROM accounts a LEFT JOIN salesPersons p ON p.uuid=a.salesPerson ORDER BY 1"
        ).fetchall()
        assert rows == [("Acme", "Sam"), ("Bolt", None)]
        database.execute("UPDATE accounts SET name='Acme Ltd' WHERE name='Acme'")
        database.execute("DELETE FROM accounts WHERE name='Bolt'")
    database.close()
    run("sync", local, url(served))
    assert served.sql("SELECT name FROM account") == [("Acme Ltd",)]
    assert [item["entries"] for item in json.loads(run("sync", local, url(served), "--json").output)] == [0] * 6


def test_tables_of_a_database_that_are_called_alike_are_used(serving, tmp_path):
    served = serving("one", *PEOPLE)
    local = tmp_path / "mine.db"
    with sqlite3.connect(local) as database:
        database.execute("CREATE TABLE Account (id INTEGER PRIMARY KEY, Name TEXT, CreditLimit DECIMAL, note TEXT)")
        database.execute("INSERT INTO Account VALUES (1, 'Own', 12.5, 'kept')")
    database.close()
    run("sync", url(served, "accounts"), local)
    with sqlite3.connect(local) as database:
        assert database.execute("SELECT Name, note FROM Account ORDER BY 1").fetchall() == [
            ("Acme", None),
            ("Bolt", None),
            ("Own", "kept"),
        ]
    database.close()
    assert served.sql("SELECT name, credit_limit FROM account WHERE name='Own'")[0][0] == "Own"


def test_linked_records_become_one_and_nothing_is_linked_unasked(serving, monkeypatch):
    mine = "INSERT INTO customer VALUES ('A', 'ann@x.org', 'Ann'), ('B', 'bob@x.org', 'Bob')"
    theirs = "INSERT INTO customer VALUES ('1', 'ANN@x.org', 'Anne'), ('2', 'eve@x.org', 'Eve')"
    one, other = serving("one", mine, schema=CUSTOMERS), serving("other", theirs, schema=CUSTOMERS)
    ends = (url(one, "customers"), url(other, "customers"))
    with pytest.raises(UsageError, match="no terminal"):
        run("link", *ends, "--on", "email", ask="y\n")
    with monkeypatch.context() as terminal:
        terminal.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)
        assert "Link these 1?" in run("link", *ends, "--on", "email", ask="n\n").output
    assert one.sql("SELECT count(*) FROM tally_sdata_link") == [(0,)]
    assert json.loads(run("link", *ends, "--on", "email", "--yes", "--json").output) == {"linked": 1, "ambiguous": []}
    links = [served.sql("SELECT uuid FROM tally_sdata_link WHERE main=1") for served in (one, other)]
    assert links[0] == links[1] != []


@pytest.mark.parametrize(
    ("arguments", "said"),
    (
        (("sync", "sdata+http://127.0.0.1:9/sdata", "x.db"), "no SData dataset"),
        (("sync", NOBODY, "http://127.0.0.1:9/"), "no language in common"),
        (("sync", NOBODY, "x.db", "--conflict", "merge"), "means nothing"),
        (
            ("link", NOBODY, NOBODY, "--on", "x"),
            "names no kind",
        ),
    ),
)
def test_what_cannot_be_is_said_at_once(arguments, said):
    from tallystick.errors import TallystickError

    with pytest.raises(TallystickError, match=said):
        group.main([*arguments], standalone_mode=False)


@pytest.mark.parametrize("provider_first", (True, False))
def test_a_provider_and_a_served_site_agree_through_a_database(serving, tmp_path, provider_first):
    one, hub = serving("one", *PEOPLE), serving("hub", schema=())
    ends = [url(one), f"{hub.root}/"] if provider_first else [f"{hub.root}/", url(one)]
    between = tmp_path / "between.db"
    run("sync", *ends, "--through", between, "--only", "accounts", "--only", "salesPersons")
    assert hub.sql("SELECT name FROM accounts ORDER BY 1") == [("Acme",), ("Bolt",)]
    hub.sql("UPDATE accounts SET name='from the hub' WHERE name='Bolt'")
    one.sql("UPDATE account SET name='from the provider' WHERE name='Acme'")
    run("sync", *ends, "--through", between, "--conflict", "this")
    names = [("from the hub",), ("from the provider",)]
    assert one.sql("SELECT name FROM account ORDER BY 1") == hub.sql("SELECT name FROM accounts ORDER BY 1") == names
    one.sql("DELETE FROM account WHERE name='from the hub'")
    direction = "push" if provider_first else "pull"
    run("sync", *ends, "--through", between, "--direction", direction, "--allow-deletes", "all")
    assert hub.sql("SELECT name FROM accounts ORDER BY 1") == names[1:]


def test_a_provider_and_an_eden_site_agree_through_a_database(serving, tmp_path, monkeypatch):
    monkeypatch.setenv("TALLYSTICK_KEY", base64.b64encode(bytes(32)).decode())
    sector = "CREATE TABLE org_sector (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL)"
    erp = serving("erp", "INSERT INTO org_sector VALUES (1, 'Water')", schema=(sector,))
    relief, between = serving("relief", "INSERT INTO org_sector VALUES (1, 'Health')", schema=(sector,)), tmp_path / "m"
    with running(relief.url, providers=[eden("/eden")]) as address:
        peer = f"eden+{address}eden"
        run("sync", peer, between, "--only", "org_sector", "--create")
        run("sync", url(erp), peer, "--through", between, "--only", "org_sector")
        for site in (erp, relief):
            assert site.sql("SELECT name FROM org_sector ORDER BY 1") == [("Health",), ("Water",)]
        relief.sql("UPDATE org_sector SET name='Health care' WHERE name='Health'")
        run("sync", peer, url(erp), "--through", between, "--only", "org_sector")
        assert erp.sql("SELECT name FROM org_sector ORDER BY 1") == [("Health care",), ("Water",)]


@pytest.mark.parametrize("ends", ((NOBODY, NOBODY), ("a.db", "b.db")))
def test_a_database_stands_only_between_a_provider_and_another_end(ends, tmp_path):
    result = CliRunner().invoke(group, ["sync", *ends, "--through", str(tmp_path / "between.db")])
    assert isinstance(result.exception, UsageError)
    assert not (tmp_path / "between.db").exists()


def test_a_provider_and_a_database_elsewhere_agree_through_bundles(serving, tmp_path):
    one, between, stick, far = serving("one", *PEOPLE), tmp_path / "between.db", tmp_path / "stick", tmp_path / "far.db"
    stick.mkdir()

    ours = ("sync", url(one, "salesPersons"), f"files+dir:{stick}", "--through", between)
    theirs = ("sync", f"files+dir:{stick}", far)
    shown = [re.findall(r"fingerprint is ([A-Z0-9-]+)", run(*visit).output)[0] for visit in (ours, theirs)]

    def everybody() -> None:
        """Each visits the stick in turn, often enough for two who have never met."""
        for _ in range(3):
            run(*ours, "--trust", shown[1])
            run(*theirs, "--trust", shown[0])

    everybody()
    with sqlite3.connect(far) as database:
        assert database.execute("SELECT name FROM salesPersons").fetchall() == [("Sam",)]
        database.execute("UPDATE salesPersons SET name='Samuel'")
    database.close()
    everybody()
    assert one.sql("SELECT name FROM sales_person") == [("Samuel",)]
