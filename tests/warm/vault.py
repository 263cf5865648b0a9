"""The transit engine of HashiCorp Vault, as far as the Pulumi engine needs it for the secrets of a stack.

From a passphrase, each command of the engine derives a key in 1,000,000 rounds: a third of a short command's time. This
unwraps the stack's key in one request, and keeps no secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

PROVIDER = "hashivault://tests"
"""For `pulumi stack init --secrets-provider`."""
_ANSWERS = {"encrypt": ("plaintext", "ciphertext"), "decrypt": ("ciphertext", "plaintext")}


class _Transit(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        """Return what was sent, under the name of the other: https://developer.hashicorp.com/vault/api-docs/secret/transit."""
        given, returned = _ANSWERS[self.path.split("/")[3]]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"data": {returned: body[given]}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Do not log."""


@contextmanager
def vault() -> Iterator[dict[str, str]]:
    """Run it in this process; yields the engine's variables for it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Transit) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield {"VAULT_ADDR": f"http://127.0.0.1:{server.server_port}", "VAULT_TOKEN": "tests"}
        server.shutdown()
