"""The password or token that a server asks for."""

from petition.campaign.server import Server
from petition.credentials import Secret, find_password, find_token

PASSWORD_VARIABLE = "PETITION_SMTP_PASSWORD"  # noqa: S105 (the variable's name)
TOKEN_VARIABLE = "PETITION_SMTP_TOKEN"  # noqa: S105 (the same)


def secret_of(server: Server) -> Secret | None:
    """The secret of a server's login.

    Args:
        server: The server; one without a username needs none.

    Raises:
        ServerTrouble: The command that should print it does not.
    """
    if server.username is None:
        return None
    if server.auth == "xoauth2":
        return find_token(TOKEN_VARIABLE, server.token_command)
    return find_password(PASSWORD_VARIABLE, server.password_command, server.host, server.username)
