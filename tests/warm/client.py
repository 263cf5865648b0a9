"""Stands where a Python interpreter stands: has the service of `tests.warm.service` run the command, and ends like it.

Run as a script: SOCKET INTERPRETER ARGUMENTS...; with a bare interpreter, so standard library only.
"""

import json
import os
import signal
import socket
import sys

PARENT_POLL_SECONDS = 1.0


def main(path: str, *arguments: str) -> None:
    """Run the command with this process's folder, environment and streams. Does not return.

    The command is no child of who started this process, and plugins end with their engine: so it is asked to end.
    """
    parent = os.getppid()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    command = {"folder": os.getcwd(), "environment": dict(os.environ), "arguments": arguments}  # noqa: PTH109 - pathlib takes long to import
    message = json.dumps(command).encode() + b"\n"
    sent = socket.send_fds(connection, [message], [0, 1, 2])
    connection.sendall(message[sent:])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: connection.sendall(bytes([number])))
    for stream in (0, 1, 2):
        os.close(stream)  # only the command has them now: whoever reads its output sees its end
    connection.settimeout(PARENT_POLL_SECONDS)
    while True:
        try:
            code = int(connection.recv(16) or b"-9")
            break
        except TimeoutError:
            if os.getppid() != parent:
                connection.sendall(bytes([signal.SIGTERM]))
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
