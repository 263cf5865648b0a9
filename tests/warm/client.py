"""Replaces a Python interpreter: `tests.warm.service` runs the command, and this process ends as it did.

Run as a script: SOCKET INTERPRETER ARGUMENTS...; with a bare interpreter, so standard library only. Of that, it uses
modules in C: json, signal and socket would take longer to import than all the rest.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import marshal
import os
import sys

PARENT_POLL_SECONDS = 1.0


def main(path: str, *arguments: str) -> None:
    """Run the command with this process's folder, environment and streams. Does not return.

    The command is no child of who started this process, and plugins end with their engine: so it is asked to end.
    """
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # before there is a command, it ends this without a traceback
    parent = os.getppid()
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.connect(path)
    command = marshal.dumps({"folder": os.getcwd(), "environment": dict(os.environ), "arguments": arguments})  # noqa: PTH109 - pathlib takes long to import
    message = len(command).to_bytes(4, "big") + command
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
    sent = connection.sendmsg([message], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
    if sent < len(message):  # else a short command may have ended, and the connection with it
        connection.sendall(message[sent:])

    def pass_on(number: int, _: object = None) -> None:
        try:
            connection.sendall(bytes([number]))
        except OSError:
            return  # the command has ended: its exit code is there

    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
        _signal.signal(number, pass_on)
    for stream in (0, 1, 2):
        os.close(stream)  # only the command has them now: whoever reads its output sees its end
    connection.settimeout(PARENT_POLL_SECONDS)
    while True:
        try:
            code = int(connection.recv(16) or b"-9")
            break
        except TimeoutError:
            if os.getppid() != parent:
                pass_on(_signal.SIGTERM)
    if code < 0:
        _signal.signal(-code, _signal.SIG_DFL) if -code != _signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
