"""Tokens of the embedded cloud: made for the App Service managed-identity protocol, checked by the resource manager.

Owns the signing of tokens and the wording of ARM's token refusals. Tokens are real signed JWTs with Azure's claims, so
that they stay good over a restart and that an expired, foreign or misdirected one is told apart. It keeps no list.
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
"""How long a token is good, unless said otherwise."""
_TENANT = "00000000-0000-0000-0000-0000000000aa"
_OBJECT = "00000000-0000-0000-0000-0000000000bb"
_CHALLENGE = f'Bearer authorization_uri="https://login.windows.net/{_TENANT}", error="invalid_token"'


@dataclass
class Identity:
    """The one managed identity of the embedded cloud.

    `header` is the value of IDENTITY_HEADER that a caller must show, `key` signs the tokens (32 bytes or more, kept
    private), `lifetime` is how long a token is good, `ahead` how far its clock is ahead of this machine's, in seconds.
    """

    header: str = field(repr=False)
    key: bytes = field(repr=False)
    lifetime: float = TOKEN_SECONDS
    ahead: float = 0.0

    def knows(self, header: str | None) -> bool:
        """Whether a caller showed the right X-IDENTITY-HEADER."""
        return header is not None and hmac.compare_digest(header.encode(), self.header.encode())

    def token(self, resource: str) -> tuple[str, int]:
        """A bearer token for `resource`, and when it expires (seconds since 1970)."""
        now = time.time() + self.ahead
        expires = int(now + self.lifetime)
        claims = {
            "aud": resource.rstrip("/"),
            "iss": f"https://sts.windows.net/{_TENANT}/",
            "tid": _TENANT,
            "oid": _OBJECT,
            "sub": _OBJECT,
            "iat": int(now),
            "nbf": int(now),
            "exp": expires,
        }
        return jwt.encode(claims, self.key, algorithm="HS256"), expires

    def check(self, authorization: str | None, audiences: tuple[str, ...]) -> None:
        """Refuse, as ARM does with 401, whatever is not a token of this identity for one of `audiences`."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _refused("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        try:
            jwt.decode(
                token,
                self.key,
                algorithms=["HS256"],
                audience=audiences,
                leeway=-self.ahead,
                options={"verify_iat": False, "verify_nbf": False},  # made by this clock, which is ahead
            )
        except jwt.ExpiredSignatureError:
            raise _refused("ExpiredAuthenticationToken", "The access token has expired.") from None
        except jwt.InvalidAudienceError:
            raise _refused(
                "InvalidAuthenticationTokenAudience",
                "The access token has been obtained for the wrong audience. It must be one of "
                f"'{', '.join(audiences)}'.",
            ) from None
        except jwt.InvalidTokenError:
            raise _refused("InvalidAuthenticationToken", "The access token is invalid.") from None


def _refused(code: str, message: str) -> ArmError:
    challenge = f'{_CHALLENGE}, error_description="{message}"'
    return ArmError(401, code, message, {"WWW-Authenticate": challenge})
