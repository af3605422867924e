"""Stores to test: in a directory, in the memory of this process, on an S3 server that runs here."""

import pytest

from tallystick.content.bucket import BucketHead, BucketStore
from tallystick.content.directory import DirectoryStore
from tallystick.content.heads import FileHead

HOUR = 3600 * 1_000_000_000


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self):
        self.now = 1_700_000_000_000_000_000

    def __call__(self):
        return self.now

    def pass_hours(self, hours):
        self.now += hours * HOUR


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def s3_server():
    """The endpoint of an S3 server on loopback with a bucket named ``bucket``."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="bucket")
    client.close()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=("directory", "memory", "s3"))
def medium(request, tmp_path, clock):
    """(make a store, make a head) on one medium; every store made sees the same content."""
    if request.param == "directory":
        yield (
            lambda: DirectoryStore(tmp_path / "store", clock, durable=False),
            lambda: FileHead(tmp_path / "store" / "head"),
        )
        return
    obstore = pytest.importorskip("obstore.store")
    if request.param == "memory":
        bucket = obstore.MemoryStore()
    else:
        bucket = obstore.S3Store(
            "bucket",
            prefix=tmp_path.name,
            endpoint=request.getfixturevalue("s3_server"),
            access_key_id="key",
            secret_access_key="secret",
            region="us-east-1",
            client_options={"allow_http": True},
            virtual_hosted_style_request=False,
        )
    caches = iter(range(100))
    yield (
        lambda: BucketStore(bucket, tmp_path / f"cache-{next(caches)}.db", clock),
        lambda: BucketHead(bucket),
    )
