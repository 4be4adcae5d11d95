"""Reaches the running daemon from a command."""

import os
import socket
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from healthd.gateway.control_socket import asking, socket_file
from healthd.host.folders import socket_folders


class NoDaemon(Exception):
    """No daemon of this gateway is running; the text says how to start it."""


@contextmanager
def asking_daemon(
    gateway: str, request: Mapping[str, Any]
) -> Generator[tuple[dict[str, Any], socket.socket]]:
    """Send a request to the daemon of a gateway; see ``asking``.

    Raises:
        NoDaemon: none is running.
        PermissionError: it runs as another user.
        RequestRefused: it refused the request.
        OSError: it ended meanwhile.
    """
    denied: PermissionError | None = None
    with ExitStack() as stack:
        for folder in socket_folders(os.environ):
            try:
                answer = stack.enter_context(asking(socket_file(folder, gateway), request))
            except (FileNotFoundError, ConnectionRefusedError):
                continue  # no daemon of this gateway, or the leftover socket of a killed one
            except PermissionError as error:
                denied = error
            else:
                yield answer
                return
    if denied is not None:
        raise denied
    raise NoDaemon(
        f"healthd is not running for gateway {gateway}; start it: sudo systemctl start healthd"
    )
