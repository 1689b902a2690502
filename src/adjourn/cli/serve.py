"""`adjourn serve` and `adjourn work`: the long-running commands."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import click
import structlog

from adjourn import config, runtime
from adjourn.cli.options import address, database_option, numbers, optional_address
from adjourn.errors import InvalidRequest
from adjourn.operations import platform, retention
from adjourn.runtime import memory
from adjourn.runtime.logs import configure_logs
from adjourn.service import Service
from adjourn.store import sqlite_path
from adjourn.worker.supervisor import Supervisor

log = structlog.get_logger("adjourn.serve")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_DEMO = "adjourn.demo.plugins"
TOKEN_VARIABLE = "ADJOURN_ADMIN_TOKEN"


@click.command()
@database_option
@click.option("--http", default=config.DEFAULT_HTTP, show_default=True, metavar="HOST:PORT", callback=address)
@click.option("--https", default="off", show_default=True, metavar="HOST:PORT|off", callback=optional_address)
@click.option("--certificate", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="PEM file for --https; by default one of our own is made and kept beside the database.")  # fmt: skip
@click.option("--key", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="PEM file with its key, where it is not in the same file.")  # fmt: skip
@click.option("--processes", default=config.PROCESSES_DEFAULT, show_default=True, type=click.IntRange(0, 64),
              help="Executor processes; 0 runs no jobs.")  # fmt: skip
@click.option("--concurrency", default=config.CONCURRENCY_DEFAULT, show_default=True, type=click.IntRange(1, 256),
              help="Jobs at a time in each executor process.")  # fmt: skip
@click.option("--plugins", multiple=True, metavar="MODULE", help="Register MODULE's steps and messages at start.")
@click.option("--demo", is_flag=True, help="Fill the organization with demo data on its first start.")
@click.option("--issuer", envvar="ADJOURN_OIDC_ISSUER", metavar="URL",
              help="OpenID Connect issuer whose tokens are accepted too.")  # fmt: skip
@click.option("--audience", envvar="ADJOURN_OIDC_AUDIENCE", multiple=True, metavar="TEXT",
              help="What its tokens must be for; several are alternatives.")  # fmt: skip
@click.option("--protection", type=click.Choice(["auto", "on", "off"]), default="auto", show_default=True,
              help="Limits per user (429); auto: on unless only this machine can connect.")  # fmt: skip
def serve(
    database: str,
    http: tuple[str, int],
    https: tuple[str, int] | None,
    certificate: Path | None,
    key: Path | None,
    processes: int,
    concurrency: int,
    plugins: tuple[str, ...],
    demo: bool,
    issuer: str | None,
    audience: tuple[str, ...],
    protection: str,
) -> None:
    """Serve the Web API and run jobs."""
    from adjourn.webapi.app import create_app
    from adjourn.webapi.oidc import Issuer
    from adjourn.webapi.protection import Limits, Protection
    from adjourn.webapi.server import run

    if audience and not issuer:
        raise InvalidRequest("--audience needs --issuer.")
    public = any(found[0] not in _LOOPBACK for found in (http, https) if found is not None)
    protected = protection == "on" or (protection == "auto" and public)
    limits = Limits.of_environment()
    accepted = Issuer(issuer, audience) if issuer else None

    configure_logs()
    memory.keep_freed()
    sys.path.insert(0, os.getcwd())  # plug-in modules lie beside the person who starts us
    with ExitStack() as stack:
        service = Service.open(database)
        stack.callback(service.close)
        stack.enter_context(service.store.hold_service())
        service.store.on_failure(_exit)
        token, where = _token(database)
        modules = list(plugins)
        if demo:
            modules.insert(0, _DEMO)
        for module in modules:
            registered = service.register(module)
            click.echo(f"registered {module}: {numbers(registered)}")
            # The demo keeps its jobs on purpose: there is something to look at.
            for line in registered.advice if module != _DEMO else ():
                click.echo(f"  advice: {line}")
        app = create_app(service, token, issuer=accepted, protection=Protection(limits) if protected else None)
        server = run(app, *http)
        stack.callback(server.stop)
        servers = [server]
        if https is not None:
            certificate = certificate or _own_certificate(database, https[0])
            secure = run(app, *https, certificate=certificate, key=key)
            stack.callback(secure.stop)
            servers.append(secure)
        platform.ensure(service)
        retention.ensure(service)
        if processes:
            supervisor = Supervisor(service, processes=processes, concurrency=concurrency)
            supervisor.start()
            stack.callback(supervisor.stop)
        if demo:
            from adjourn.demo.fill import fill

            click.echo(fill(service))
        root = f"http://{http[0]}:{server.port}"
        click.echo(f"Web API    {root}/api/data/{config.API_VERSION}/")
        if https is not None:
            click.echo(
                f"           https://{https[0]}:{secure.port}/api/data/{config.API_VERSION}/   (certificate {certificate})"
            )
        click.echo(f"Database   {database}")
        click.echo(f"Token      {token}   ({where})")
        click.echo("Ready. Ctrl-C stops.")
        _wait_for_signal()
        click.echo("Stopping: requests under way are answered, running jobs are given back.")
        for found in servers:
            found.refuse()


@click.command(short_help="Run jobs of a PostgreSQL organization on this host too.")
@database_option
@click.option("--processes", default=config.PROCESSES_DEFAULT, show_default=True, type=click.IntRange(1, 64))
@click.option("--concurrency", default=config.CONCURRENCY_DEFAULT, show_default=True, type=click.IntRange(1, 256))
@click.option("--plugins", multiple=True, metavar="MODULE", help="Register MODULE's steps and messages at start.")
def work(database: str, processes: int, concurrency: int, plugins: tuple[str, ...]) -> None:
    """Run jobs of a PostgreSQL organization on this host, beside others."""
    configure_logs()
    if not database.startswith("postgresql://"):
        raise InvalidRequest(
            "`adjourn work` is for PostgreSQL, where several hosts share one database. On SQLite `adjourn serve` runs the jobs."
        )
    sys.path.insert(0, os.getcwd())
    service = Service.open(database)
    service.store.on_failure(_exit)
    try:
        for module in plugins:
            service.register(module)
        platform.ensure(service)
        retention.ensure(service)
        supervisor = Supervisor(service, processes=processes, concurrency=concurrency)
        supervisor.start()
        click.echo("Working. Ctrl-C stops.")
        _wait_for_signal()
        supervisor.stop()
    finally:
        service.close()


def _exit(reason: str) -> None:
    """The store can write no more: whether its last commit happened is unknown. A new process finds out at its start."""
    log.critical("the store failed; the process ends so that a new one can recover", reason=reason)
    os._exit(70)


def _wait_for_signal() -> None:
    """Return when somebody wants this process to end: SIGINT or SIGTERM, now or since the handlers stand."""
    # By a pipe, which Python writes to at once, whichever thread gets the signal. A handler of ours runs on this thread, in
    # the middle of whatever it does: had it to take a lock that this thread holds there, nobody would ever be woken.
    waiting, woken = socket.socketpair()
    with waiting, woken:
        woken.setblocking(False)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _do_nothing)
        waiting.recv(1)
        signal.set_wakeup_fd(-1)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """What a signal does to whoever waits is written to its pipe; one that comes later finds the process ending already."""


def _own_certificate(database: str, host: str) -> Path:
    from adjourn.webapi.certificate import own

    path = sqlite_path(database)
    if path is None:
        raise InvalidRequest(
            "On PostgreSQL --https needs --certificate: clients must trust the same one on every host."
        )
    return own(Path(f"{path}-certificate.pem"), host)


def _token(database: str) -> tuple[str, str]:
    """The administrator's token: from the environment, or one of our own kept beside the database."""
    given = os.environ.get(TOKEN_VARIABLE)
    if given:
        return given, f"from {TOKEN_VARIABLE}"
    path = sqlite_path(database)
    if path is None:
        raise InvalidRequest(
            f"On PostgreSQL set {TOKEN_VARIABLE} in the environment: every host must know the same token."
        )
    file = Path(f"{path}-token")
    if not file.exists():
        # Created with its final mode: at no moment may others read it.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(runtime.secret() + "\n")
    return file.read_text().strip(), f"kept in {file}"
