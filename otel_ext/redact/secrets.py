"""What common secrets look like. Each starts with a word that ordinary text does not have, and is checked in full only there.

Sources: the formats that the issuers document for secret scanning (GitHub, GitLab, Slack, Stripe, AWS, Google, OpenAI, Anthropic,
Hugging Face, npm, PyPI, SendGrid), RFC 7468 (PEM), RFC 7519 (JWT), RFC 6750 (bearer tokens), RFC 3986 (user information).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from otel_ext.wire.finder import Around


@dataclass(frozen=True, slots=True)
class Secret:
    """`pattern` is tried where one of `words` begins; group 1, else all of the match, is the secret. `kind` is what it is counted under.

    No pattern may look at what follows the secret: the string may end there, and other bytes follow.
    """

    kind: str
    words: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    around: Around = Around.START


def _secret(kind: str, words: str, pattern: bytes, around: Around = Around.START) -> Secret:
    return Secret(kind, tuple(word.encode() for word in words.split()), re.compile(pattern, re.DOTALL), around)


# Letters of both cases and a digit: a slug or a name in kebab case is no key.
_MIXED: Final = rb"(?=[\w-]{0,80}?[0-9])(?=[\w-]{0,80}?[A-Z])"

COMMON: Final = (
    _secret("api_key", "sk-", rb"sk-lf-[0-9a-f-]{30,}|sk-" + _MIXED + rb"[A-Za-z0-9_-]{20,}"),
    _secret("api_key", "AIza", rb"AIza[0-9A-Za-z_-]{35}"),
    _secret("api_key", "hf_", rb"hf_[A-Za-z0-9]{30,}"),
    _secret("api_key", "sk_live_ rk_live_ sk_test_ rk_test_", rb"[sr]k_(?:live|test)_[0-9A-Za-z]{16,}"),
    _secret("api_key", "SG.", rb"SG\.[\w-]{16,}\.[\w-]{16,}"),
    _secret("aws_key", "AKIA ASIA", rb"A[KS]IA[A-Z0-9]{16}"),
    _secret(
        "aws_key",
        "aws_secret_access_key AWS_SECRET_ACCESS_KEY SecretAccessKey",
        rb"\w+[\\\"'\s]{0,6}[:=][\\\"'\s]{0,6}([A-Za-z0-9/+=]{40})",
    ),
    _secret("token", "ghp_ gho_ ghu_ ghs_ ghr_", rb"gh[pousr]_[A-Za-z0-9]{36,}"),
    _secret("token", "github_pat_", rb"github_pat_\w{50,}"),
    _secret("token", "glpat-", rb"glpat-[\w-]{20,}"),
    _secret("token", "xoxa- xoxb- xoxp- xoxr- xoxs-", rb"xox[abprs]-[A-Za-z0-9-]{10,}"),
    _secret("token", "npm_", rb"npm_[A-Za-z0-9]{36}"),
    _secret("token", "pypi-", rb"pypi-[\w-]{50,}"),
    _secret("token", "eyJ", rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    Secret("token", (b"Bearer ", b"bearer "), re.compile(rb"[Bb]earer +([\w.~+/=-]{20,})")),
    # Line ends may be escaped, in JSON and in JSON inside of JSON.
    Secret(
        "private_key",
        (b"-----BEGIN ",),
        re.compile(rb"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----((?:[^\"\\]|\\+[nr])*)", re.DOTALL),
        Around.ANYTHING,
    ),
    _secret(
        "password",
        "postgres:// postgresql:// mysql:// mongodb:// mongodb+srv:// redis:// rediss:// amqp:// amqps://",
        rb"[\w+]+://[^\s:/@\"\\]{0,64}:([^\s@/\"\\]{3,})@",
    ),
)

# Members of JSON objects, and attributes, whose value is a secret whatever it looks like.
COMMON_NAMES: Final = (
    "password", "passwd", "api_key", "apikey", "apiKey", "secret_key", "secretKey", "client_secret", "clientSecret", "access_token",
    "accessToken", "refresh_token", "refreshToken", "private_key", "privateKey", "authorization", "Authorization", "x-api-key",
)  # fmt: skip

# What stands after the name of a JSON member: its string, at any level of JSON in JSON. The run of backslashes says which level that is.
MEMBER: Final = re.compile(rb'"\s*:\s*"((?:[^"\\]|\\.)+)"|(\\+)"\s*:\s*\2"(.+?)(?<!\\)\2"', re.DOTALL)
