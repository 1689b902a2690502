"""A way to a PostgreSQL server that a test can break: between a COMMIT and its reply, or altogether."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

_SOCKET = ".s.PGSQL.5432"


class Proxy:
    """Listens on a socket of its own and passes everything on to the server of `url`, which listens on one, too."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = str(Path(parse_qs(parts.query)["host"][0]) / _SOCKET)
        self._folder = Path(tempfile.mkdtemp(prefix="adjourn-proxy-"))
        self.url = urlunsplit(parts._replace(query=f"host={quote(str(self._folder))}"))
        self.lose_commits = 0
        """So many replies to a COMMIT are thrown away, with their connections."""
        self.lost = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._folder / _SOCKET))
        self._listener.listen(50)
        self._guard = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._server)
            except OSError:
                client.close()
                server.close()
                continue
            loses = threading.Event()
            threading.Thread(target=self._upward, args=(client, server, loses), daemon=True).start()
            threading.Thread(target=self._downward, args=(server, client, loses), daemon=True).start()

    def _upward(self, client: socket.socket, server: socket.socket, loses: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                # A simple query, as psycopg sends what is not prepared.
                if b"COMMIT\0" in data:
                    with self._guard:
                        if self.lose_commits:
                            self.lose_commits -= 1
                            loses.set()
                server.sendall(data)
        self._end(client, server)

    def _downward(self, server: socket.socket, client: socket.socket, loses: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if loses.is_set():
                    # The server has committed: it answers afterwards.
                    self.lost.set()
                    break
                client.sendall(data)
        self._end(client, server)

    def _end(self, *connections: socket.socket) -> None:
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
