"""Federated authentication in a test: the variables of a pipeline's job, and Microsoft Entra ID behind TLS.

The embedded cloud responds in its place, by HTTP; clients insist on TLS, so a server with a
certificate stands in front.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import aiohttp
import requests
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from localcloud.arm.federation import CLIENT, GITHUB_PATH, PIPELINES_PATH
from localcloud.arm.identity import TENANT

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Job = Callable[[Mapping[str, Any]], dict[str, str]]
"""Returns the variables of a job, from the status of the embedded cloud."""


def github_job(status: Mapping[str, Any]) -> dict[str, str]:
    """A job of GitHub Actions with `permissions: id-token: write`."""
    return {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{status['resourceManager']}{GITHUB_PATH}?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": status["identityHeader"],
    }


def pipelines_job(status: Mapping[str, Any]) -> dict[str, str]:
    """A step AzureCLI@2 with `addSpnToEnvironment`, whose `idToken` the script passes on as ARM_OIDC_TOKEN."""
    url = f"{status['resourceManager']}{PIPELINES_PATH}"
    query = {"api-version": "7.1", "serviceConnectionId": "connection"}
    headers = {"Authorization": f"Bearer {status['identityHeader']}"}
    answer = requests.post(url, params=query, headers=headers, timeout=10)
    return {"ARM_OIDC_TOKEN": answer.json()["oidcToken"]}


@asynccontextmanager
async def signed_in_by(job: Job, status: Mapping[str, Any], folder: Path) -> AsyncIterator[dict[str, str]]:
    """Start Microsoft Entra ID, and yield the variables of a job that signs in there, and not as a managed identity."""
    certificate = make_certificate(folder / "authority.pem")
    async with aiohttp.ClientSession(status["resourceManager"]) as session:

        async def forward(request: web.BaseRequest) -> web.Response:
            headers = {"Content-Type": request.headers["Content-Type"]}
            async with session.post(request.raw_path, data=await request.read(), headers=headers) as answer:
                return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

        async with serving(forward, certificate) as authority:
            yield {
                "ARM_USE_OIDC": "true",
                "ARM_TENANT_ID": TENANT,
                "ARM_CLIENT_ID": CLIENT,
                "AZURE_AUTHORITY_HOST": authority,
                "SSL_CERT_FILE": str(certificate),
                "ARM_USE_MSI": "",
                "IDENTITY_ENDPOINT": "",
                "IDENTITY_HEADER": "",
                **job(status),
            }


@asynccontextmanager
async def serving(answer: Answer, certificate: Path | None = None) -> AsyncIterator[str]:
    """Start a server that responds like this, with TLS if it has a certificate; yields its URL."""
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048, ssl_context=tls).start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def make_certificate(file: Path) -> Path:
    """Write a certificate for this machine with its key, which no system trusts."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file
