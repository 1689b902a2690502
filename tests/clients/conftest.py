"""A real `adjourn serve --https` for clients written by others; they trust its own certificate and nothing else of ours."""

from __future__ import annotations

import gc
import re
import shutil
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from azure.core.credentials import AccessToken
from PowerPlatform.Dataverse.client import DataverseClient
from tests.support.serving import TOKEN, Serving, serving


class Credential:
    """The one thing of their example scripts that is replaced."""

    def get_token(self, *scopes: str, **options: object) -> AccessToken:
        return AccessToken(TOKEN, int(time.time()) + 3600)


@dataclass(frozen=True)
class Organization:
    """Where clients find the service: its address as they are given it, and the certificate to trust."""

    url: str
    certificate: Path
    service: Serving

    @property
    def api(self) -> str:
        return f"{self.url}/api/data/v9.2/"

    def session(self) -> requests.Session:
        """What clients that bring no authentication of their own are given: a session that has signed in."""
        opened = requests.Session()
        opened.headers["Authorization"] = f"Bearer {TOKEN}"
        opened.verify, opened.trust_env = str(self.certificate), False
        return opened


def organization(running: Serving, certificate: Path) -> Organization:
    found = re.search(r"https://127\.0\.0\.1:\d+", running.printed)
    assert found
    return Organization(found[0], certificate, running)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """That some of these clients leave connections open is no failure of the service."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """Some of these clients never close their connections: let them go here, not in the middle of somebody else's test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def service(sqlite_url: str) -> Iterator[Serving]:
    with serving(sqlite_url, "--https", "127.0.0.1:0", "--processes", "1") as running:
        yield running


@pytest.fixture
def https(service: Serving) -> str:
    """The address of the organization, as clients are given it."""
    found = re.search(r"https://127\.0\.0\.1:\d+", service.printed)
    assert found
    return found[0]


@pytest.fixture
def certificate(sqlite_url: str) -> Path:
    return Path(sqlite_url.removeprefix("sqlite:///") + "-certificate.pem")


@pytest.fixture
def client(https: str, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataverseClient]:
    """Microsoft's Python SDK, unmodified, at an organization of its own that is empty."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with DataverseClient(https, Credential()) as opened:
        yield opened


@pytest.fixture(scope="session")
def shared(_sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Organization]:
    """One organization for many tests: each uses names of its own."""
    path = tmp_path_factory.mktemp("clients") / "adjourn.db"
    shutil.copyfile(_sqlite_template, path)
    options = ("--https", "127.0.0.1:0", "--processes", "1", "--plugins", "tests.acceptance.webapi.plugins")
    with serving(f"sqlite:///{path}", *options) as running:
        yield organization(running, path.with_name("adjourn.db-certificate.pem"))


@pytest.fixture
def sdk(shared: Organization, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataverseClient]:
    """Microsoft's Python SDK, unmodified, at the shared organization."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(shared.certificate))
    with DataverseClient(shared.url, Credential()) as opened:
        yield opened
