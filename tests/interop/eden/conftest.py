"""The recorded exchanges with a live Eden site, and a model of that site: its tables, seeds and what it computes."""

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tallystick.protocols.eden.codec.encoding import Upload
from tallystick.protocols.eden.codec.schema import Component, Field, Kind, table
from tallystick.protocols.eden.codec.times import parse_time
from tallystick.protocols.eden.codec.xml_reading import read_xml
from tallystick.protocols.eden.memory import MemoryStore
from tallystick.protocols.eden.provider import Account, EdenProvider
from tallystick.protocols.eden.requests import Request
from tallystick.protocols.eden.store import Batch, Identity, Stored, Target

SAMPLES = Path(__file__).parent / "samples"
ADMINISTRATOR = "admin@example.com"


@dataclass(frozen=True)
class Message:
    """One recorded request or response."""

    first_line: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Exchange:
    name: str
    request: Message
    response: Message

    @property
    def method(self) -> str:
        return self.request.first_line.split(" ")[0]

    @property
    def path(self) -> str:
        return self.request.first_line.split(" ")[1].partition("?")[0].removeprefix("/eden/")

    @property
    def query(self) -> str:
        return self.request.first_line.split(" ")[1].partition("?")[2]

    @property
    def status(self) -> int:
        return int(self.response.first_line.split(" ")[1])

    @property
    def moment(self) -> datetime:
        """The clock of the recorded site when it answered."""
        return parsedate_to_datetime(self.response.headers["date"]).astimezone(UTC)

    def as_request(self) -> Request:
        scheme, _, encoded = self.request.headers.get("authorization", "").partition(" ")
        user, _, password = base64.b64decode(encoded).decode().partition(":") if scheme else ("", "", "")
        return Request(
            self.method, self.path, self.query, self.request.headers, self.request.body, user or None, password
        )


def _message(path: Path) -> Message:
    head, _, body = path.read_bytes().partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b"".join(_chunks(body))
    return Message(first, headers, body)


def _chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        yield body[:length]
        body = body[length + 2 :]


def _load(folder: str, name: str) -> Exchange:
    base = SAMPLES / folder / name
    return Exchange(name, _message(base.with_name(name + ".req")), _message(base.with_name(name + ".res")))


@pytest.fixture(scope="session")
def exchange() -> Callable[..., Exchange]:
    """Loads a recorded exchange by name."""
    return lambda name, folder="passive": _load(folder, name)


@pytest.fixture(scope="session")
def passive() -> list[Exchange]:
    """Every passive exchange in the order of recording."""
    names = sorted((path.stem for path in (SAMPLES / "passive").glob("*.req")), key=_number)
    return [_load("passive", name) for name in names]


def _number(name: str) -> tuple[int, str]:
    match = re.match(r"(\d+)", name)
    return (int(match[1]) if match else 0, name)


# The model of the recorded site ----------------------------------------------------------------------------------


def _text(name: str, **more: object) -> Field:
    return Field(name, represented=True, **more)


def _reference(name: str, target: str, **more: object) -> Field:
    return Field(name, Kind.REFERENCE, target, **more)


TABLES = (
    table(
        "org_organisation",
        [
            Field("name", required=True),
            _text("acronym"),
            Field("year", Kind.INTEGER, minimum=1850, maximum=2099),
            _text("website"),
            Field("comments", Kind.TEXT, represented=True),
            _reference("root_organisation", "org_organisation"),
        ],
        identity=("name",),
        components=(
            Component("org_site", "organisation_id", imported=False),
            Component("org_office", "organisation_id"),
            Component("pr_role", "organisation_id"),
        ),
    ),
    table(
        "org_office",
        [
            Field("name", required=True),
            Field("obsolete", Kind.BOOLEAN, default=False),
            _reference("organisation_id", "org_organisation", required=True),
            _reference("location_id", "gis_location"),
        ],
    ),
    table(
        "org_site",
        [
            Field("site_id", Kind.INTEGER),
            _text("instance_type"),
            Field("code"),
            Field("name"),
            Field("obsolete", Kind.BOOLEAN, default=False),
            _reference("organisation_id", "org_organisation"),
            _reference("location_id", "gis_location"),
        ],
        meta=False,
    ),
    table(
        "gis_location",
        [
            Field("name"),
            Field("path"),
            *(Field(name, Kind.INTEGER) for name in ("gis_feature_type",)),
            *(Field(name, Kind.DOUBLE) for name in ("lat", "lon")),
            Field("inherited", Kind.BOOLEAN, default=False),
            *(Field(name, Kind.DOUBLE) for name in ("lat_min", "lat_max", "lon_min", "lon_max")),
        ],
    ),
    table(
        "pr_role",
        [
            Field("role_type", Kind.INTEGER),
            Field("role"),
            _reference("organisation_id", "org_organisation"),
        ],
    ),
    table("org_organisation_type", [Field("name", required=True), Field("comments", Kind.TEXT, represented=True)]),
    table(
        "org_sector",
        [
            Field("name", required=True),
            Field("abrv"),
            _reference("location_id", "gis_location"),
            Field("comments", Kind.TEXT),
            Field("deleted_rb", Kind.INTEGER, readable=False, writable=False),
        ],
    ),
    table(
        "project_project",
        [
            _reference("organisation_id", "org_organisation", required=True),
            Field("name", required=True),
            Field("code"),
            Field("start_date", Kind.DATE),
            Field("end_date", Kind.DATE),
            Field("duration", Kind.INTEGER),
            Field("budget", Kind.DOUBLE),
            Field("description", Kind.TEXT),
        ],
    ),
    table(
        "gis_marker",
        [Field("name"), Field("image", Kind.UPLOAD), Field("height", Kind.INTEGER), Field("width", Kind.INTEGER)],
    ),
    table(
        "pr_person",
        [
            Field("first_name", required=True),
            _text("last_name"),
            Field("gender", Kind.INTEGER),
            Field("date_of_birth", Kind.DATE),
        ],
        components=(Component("pr_contact", "person_id"),),
    ),
    table(
        "pr_contact",
        [
            _text("contact_method"),
            _text("value"),
            Field("priority", Kind.INTEGER, default=1),
            Field("access", Kind.INTEGER, default=1),
            Field("poll", Kind.BOOLEAN, default=False),
            _reference("person_id", "pr_person"),
        ],
    ),
)


def _office_saved(store: MemoryStore, office: Stored, batch: Batch) -> None:
    """An office is a site, and an organisation with sites has a role for them."""
    sites = store.records["org_site"]
    values = {name: office.values.get(name) for name in ("name", "obsolete", "organisation_id", "location_id")}
    if office.uuid in sites:
        sites[office.uuid].values.update(values)
    else:
        number = store.next_number("org_site")
        computed = {"site_id": number, "instance_type": "org_office", "code": "COMPUTED"}
        site = Stored("org_site", office.uuid, number, values | computed, owned_by_user=ADMINISTRATOR)
        store.records["org_site"][office.uuid] = site
    owner = office.values.get("organisation_id")
    roles = store.records["pr_role"].values()
    if owner is not None and not any(role.values["organisation_id"] == owner for role in roles):
        role = Stored(
            "pr_role",
            f"urn:uuid:computed-role-{store.next_number('pr_role')}",
            store.numbers["pr_role"],
            {"role_type": 1, "role": "Sites", "organisation_id": owner},
            created_on=batch.now,
            modified_on=batch.now,
            created_by=ADMINISTRATOR,
            modified_by=ADMINISTRATOR,
            owned_by_user=ADMINISTRATOR,
        )
        store.put(role)


def _organisation_saved(store: MemoryStore, record: Stored, batch: Batch) -> None:
    record.values["root_organisation"] = Target("org_organisation", record.uuid)


def _location_saved(store: MemoryStore, record: Stored, batch: Batch) -> None:
    lat, lon = record.values.get("lat"), record.values.get("lon")
    record.values |= {"path": str(record.id), "gis_feature_type": 1}
    record.values |= {"lat_min": lat, "lat_max": lat, "lon_min": lon, "lon_max": lon}
    record.owned_by_group = "Authenticated"


def _seed(store: MemoryStore, exchange: Exchange, name: str) -> None:
    """Puts the records of a recorded pull into the site as it had them: one copy step nearer to the origin."""
    described = store.tables[name]
    for resource in read_xml(exchange.response.body).resources:
        values: dict[str, object] = {}
        for data in resource.data:
            kind = described.fields[data.field].kind
            plain = data.text if data.value is None else data.value.strip('"')
            values[data.field] = (data.url, data.filename) if kind is Kind.UPLOAD else plain
        number = int(resource.attributes["url"].rsplit("/", 1)[1])
        stored = Stored(name, resource.uuid or "", number, values, int(resource.attributes["mci"]) - 1)
        stored.created_on = parse_time(resource.attributes["created_on"])
        stored.modified_on = parse_time(resource.attributes["modified_on"])
        for field, value in values.items():
            if described.fields[field].kind is Kind.INTEGER:
                values[field] = int(str(value))
            if isinstance(value, tuple):
                values[field] = Upload(*value)
        store.put(stored)


@dataclass
class Site:
    """The model of the recorded site, its clock in our hands."""

    store: MemoryStore
    provider: EdenProvider
    now: datetime


@pytest.fixture
def site(exchange: Callable[..., Exchange]) -> Site:
    return new_site(exchange)


@pytest.fixture
def fresh_site(exchange: Callable[..., Exchange]) -> Callable[[], Site]:
    return lambda: new_site(exchange)


def new_site(exchange: Callable[..., Exchange]) -> Site:
    recorded = exchange("03-register")
    sender = re.search(rb'"sender": "([^"]+)"', recorded.response.body)
    assert sender is not None
    store = MemoryStore(
        Identity(sender[1].decode(), "vm", "127.0.0.1:8000/eden"),
        TABLES,
        accept={
            "org_office": _office_saved,
            "org_organisation": _organisation_saved,
            "gis_location": _location_saved,
        },
    )
    _seed(store, exchange("02-pull-auth-unregistered"), "org_organisation_type")
    _seed(store, exchange("192-pull-gis-marker-upload"), "gis_marker")
    store.numbers |= {"gis_location": 248, "org_sector": 11, "pr_person": 2, "pr_contact": 2}
    site = Site(store, None, datetime(2026, 11, 20, 9, 26, 30, tzinfo=UTC))  # type: ignore[arg-type]
    accounts = {
        ("sync@example.org", "secret"): Account(ADMINISTRATOR, administrator=True),
        ("user@example.org", "secret"): Account("user@example.org", may=lambda _table, method: method is None),
    }
    site.provider = EdenProvider(
        store, lambda user, password: accounts.get((user, password)), "http://127.0.0.1:8000/eden", lambda: site.now
    )
    return site
