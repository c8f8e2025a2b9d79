"""An aiosmtpd server that records the commands it was given and the letters it took."""
# ruff: noqa: N802 (aiosmtpd looks for its hooks by these names)

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from aiosmtpd.smtp import SMTP, AuthResult


@dataclass(frozen=True)
class Letter:
    mail_from: str
    mail_options: tuple[str, ...]
    rcpt_to: tuple[str, ...]
    data: bytes


class Recorder:
    """The server, for as long as it is entered, on a loopback port of the system's choice.

    It knows what it heard: `commands` (in the words that aiosmtpd hands to its hooks), `letters`,
    and `logins` as (mechanism, name, password).
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        starttls: ssl.SSLContext | None = None,
        passwords: Mapping[str, str] | None = None,
        pipelining: bool = False,
        mechanisms: tuple[str, ...] = ("LOGIN", "PLAIN"),
    ) -> None:
        self.commands: list[str] = []
        self.letters: list[Letter] = []
        self.logins: list[tuple[str, str, str]] = []
        self._tls = tls
        self._starttls = starttls
        self._passwords = passwords
        self._pipelining = pipelining
        offered = mechanisms if passwords is not None else ()
        self._excluded = [name for name in ("LOGIN", "PLAIN") if name not in offered]
        self._visits: list[SMTP] = []

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._visit, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error):
        self._server.close()
        for visit in self._visits:
            if visit.transport is not None:
                visit.transport.abort()
        for _ in range(100):
            if not any(visit.transport for visit in self._visits):
                break
            await asyncio.sleep(0)
        await self._server.wait_closed()

    @property
    def verbs(self) -> list[str]:
        return [command.split(" ")[0] for command in self.commands]

    def _visit(self):
        visit = SMTP(
            self,
            hostname="recorder.test",
            enable_SMTPUTF8=True,
            tls_context=self._starttls,
            auth_require_tls=self._tls is None and self._starttls is not None,
            auth_exclude_mechanism=self._excluded,
            authenticator=self._authenticate,
            loop=asyncio.get_running_loop(),
        )
        self._visits.append(visit)
        return visit

    def _authenticate(self, server, session, envelope, mechanism, data):
        name, password = data.login.decode(), data.password.decode()
        self.logins.append((mechanism, name, password))
        if (self._passwords or {}).get(name) == password:
            return AuthResult(success=True)
        return AuthResult(success=False, handled=False)

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        self.commands.append(f"EHLO {hostname}")
        # AUTH with no mechanism behind it is no offer.
        offers = [line for line in responses[:-1] if line.strip() != "250-AUTH"]
        return [*offers, *(["250-PIPELINING"] if self._pipelining else []), responses[-1]]

    async def handle_MAIL(self, server, session, envelope, address, options):
        self.commands.append(" ".join(["MAIL", address, *options]))
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        self.commands.append(f"RCPT {address}")
        if address.startswith("refused"):
            return "550 5.1.1 Nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        self.commands.append("DATA")
        self.letters.append(
            Letter(
                envelope.mail_from,
                tuple(envelope.mail_options),
                tuple(envelope.rcpt_tos),
                envelope.original_content,
            )
        )
        return f"250 2.0.0 Ok: queued as {len(self.letters)}"

    async def handle_RSET(self, server, session, envelope):
        self.commands.append("RSET")
        return "250 2.0.0 OK"

    async def handle_QUIT(self, server, session, envelope):
        self.commands.append("QUIT")
        return "221 2.0.0 Bye"
