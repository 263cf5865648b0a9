"""Tokens of the embedded cloud: issued by the App Service managed-identity protocol, checked by the resource manager.

Tokens are signed JWTs with Azure's claims, so they stay valid after a restart, and expired, foreign and misdirected
ones are distinguished, each with ARM's error. Does not store tokens.
"""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass, field

import jwt

from localcloud.arm.errors import ArmError

MANAGEMENT_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")
API_VERSION = "2019-08-01"
TOKEN_SECONDS = 86_400.0
"""The default lifetime of a token."""
MOST_ACCEPTED = 1000
TENANT = "00000000-0000-0000-0000-0000000000aa"
OBJECT = "00000000-0000-0000-0000-0000000000bb"
_CHALLENGE = f'Bearer authorization_uri="https://login.windows.net/{TENANT}", error="invalid_token"'


@dataclass
class Identity:
    """The one managed identity of the embedded cloud.

    `header` is the value of IDENTITY_HEADER that callers must send, `key` signs the tokens (32 bytes or more, private),
    `lifetime` is that of new tokens, `ahead` is how far its clock is ahead of this machine's, both in seconds.
    """

    header: str = field(repr=False)
    key: bytes = field(repr=False)
    lifetime: float = TOKEN_SECONDS
    ahead: float = 0.0
    _accepted: dict[tuple[str, tuple[str, ...]], float] = field(default_factory=dict, repr=False)
    """When a token that was accepted for these audiences expires: most calls bring one that an earlier call brought."""

    def knows(self, header: str | None) -> bool:
        """Return whether the X-IDENTITY-HEADER of a caller is valid."""
        return header is not None and hmac.compare_digest(header.encode(), self.header.encode())

    def token(self, resource: str) -> tuple[str, int]:
        """Return a bearer token for `resource` and its expiry (seconds since 1970)."""
        now = time.time() + self.ahead
        expires = int(now + self.lifetime)
        claims = {
            "aud": resource.rstrip("/"),
            "iss": f"https://sts.windows.net/{TENANT}/",
            "tid": TENANT,
            "oid": OBJECT,
            "sub": OBJECT,
            "iat": int(now),
            "nbf": int(now),
            "exp": expires,
        }
        return jwt.encode(claims, self.key, algorithm="HS256"), expires

    def check(self, authorization: str | None, audiences: tuple[str, ...]) -> None:
        """Accept a valid token of this identity for one of `audiences`. Raises ARM's 401 for all others."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        if self._accepted.get((token, audiences), 0.0) > time.time() + self.ahead:
            return
        try:
            claims = jwt.decode(
                token,
                self.key,
                algorithms=["HS256"],
                audience=audiences,
                leeway=-self.ahead,
                options={"verify_iat": False, "verify_nbf": False},  # issued by this clock, which is ahead
            )
        except jwt.ExpiredSignatureError:
            raise _unauthorized("ExpiredAuthenticationToken", "The access token has expired.") from None
        except jwt.InvalidAudienceError:
            raise _unauthorized(
                "InvalidAuthenticationTokenAudience",
                "The access token has been obtained for the wrong audience. It must be one of "
                f"'{', '.join(audiences)}'.",
            ) from None
        except jwt.InvalidTokenError:
            raise _unauthorized("InvalidAuthenticationToken", "The access token is invalid.") from None
        if len(self._accepted) > MOST_ACCEPTED:
            self._accepted.clear()
        self._accepted[token, audiences] = claims.get("exp", 0.0)


def _unauthorized(code: str, message: str) -> ArmError:
    challenge = f'{_CHALLENGE}, error_description="{message}"'
    return ArmError(401, code, message, {"WWW-Authenticate": challenge})
