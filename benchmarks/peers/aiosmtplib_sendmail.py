"""The same letter with what most people would take: Jinja2, EmailMessage, aiosmtplib's sendmail."""

import asyncio
import csv
import sys
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from pathlib import Path

import aiosmtplib
import jinja2
import markdown_it


def letters_of(folder: Path, number: int):
    text = (folder / "letters" / "open-letter.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    subject = front.partition("subject:")[2].split("\n")[0].strip().strip('"')
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    body, subject = environment.from_string(body), environment.from_string(subject)
    markdown = markdown_it.MarkdownIt()
    with (folder / "recipients.csv").open(encoding="utf-8", newline="") as file:
        for _, row in zip(range(number), csv.DictReader(file), strict=False):
            names = {"recipient": row, "sender": {"name": "Friends of the Library"}}
            text = body.render(names)
            message = EmailMessage(policy=SMTP_POLICY)
            message["From"] = "Friends of the Library <letters@friends.example>"
            message["To"] = f"{row['name']} <{row['email']}>"
            message["Subject"] = subject.render(names)
            message.set_content(text)
            message.add_alternative(markdown.render(text), subtype="html")
            yield row["email"], message.as_bytes()


async def work(port: int, letters) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as smtp:
        for to, data in letters:
            await smtp.sendmail("letters@friends.example", [to], data)


async def main() -> None:
    folder, port, number, connections = sys.argv[1:]
    letters = letters_of(Path(folder), int(number))
    await asyncio.gather(*(work(int(port), letters) for _ in range(int(connections))))


asyncio.run(main())
