"""What pages name is there: settings, metrics, commands, lines of the log, findings, parts of health."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from streamy_core.config import known_keys
from streamy_core.engine.health import Part

from ..support import ROOT
from .named import command, is_found, is_logged, known_names
from .test_docs import OWN_PAGES
from .test_metrics import VALUES

PAGES: Final = [*OWN_PAGES, ROOT / "README.md"]
SETTINGS: Final = {key.name for key in known_keys()}

BLOCK: Final = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.DOTALL | re.MULTILINE)
INLINE: Final = re.compile(r"(?<!`)`([^`]+)`(?!`)")
COMMAND: Final = re.compile(
    r"(?:(flask)(?: --app \S+)? |(?:^|[|`(] ?))streamy ([a-z-][^|&;>\n`]*)", re.MULTILINE
)
OPTION: Final = re.compile(r"--[a-z-]+(?:=.*)?")
LINE: Final = re.compile(r"^(DEBUG|INFO|WARNING|ERROR) (streamy\.\w+): (.+)$", re.MULTILINE)
FINDING: Final = re.compile(r"^(error|warning|note): (.+)$", re.MULTILINE)
LABEL: Final = re.compile(rf'`({"|".join(VALUES)})="([^"]+)"`')
WHAT: Final = re.compile(r'"what": "(\w+)"')


def blocks(text: str, *languages: str) -> str:
    """The code blocks of these languages."""
    return "\n".join(code for _, language, code in BLOCK.findall(text) if language in languages)


def settings_in(text: str) -> set[str]:
    """The settings that a page names, by app.config or in the environment."""
    return set(re.findall(r"(?<![A-Z_])(?:FLASK_)?(STREAMY_[A-Z][A-Z_]*[A-Z])\b(?!\*)", text))


def commands_in(text: str) -> Iterator[tuple[str, list[str]]]:
    """`streamy` or `flask streamy`, and the words after it."""
    inline = "\n".join(INLINE.findall(BLOCK.sub("", text)))
    for flask, words in COMMAND.findall(f"{blocks(text, 'sh', 'console')}\n{inline}"):
        yield "flask streamy" if flask else "streamy", shlex.split(words)


def check(text: str) -> None:
    """Fail where a page names what isn't there."""
    assert settings_in(text) <= SETTINGS
    assert set(re.findall(r"(?<![/#\w])streamy_[a-z_]*[a-z]\b(?!\()", BLOCK.sub("", text))) <= known_names()
    for root, words in commands_in(text):
        try:
            found = command(root, words)
        except KeyError as error:
            raise AssertionError(f"{root} has no command {error}") from None
        options = {word.partition("=")[0] for word in words if OPTION.fullmatch(word)}
        known = {option for each in (found.params if found else ()) for option in each.opts}
        more = {"--help", "--manager" if root == "flask streamy" else "--version"}
        assert options <= known | more, words
    told = blocks(text, "text")
    for level, logger, message in LINE.findall(told):
        assert is_logged(level.lower(), logger, message), f"nothing logs: {level} {logger}: {message}"
    for level, what in FINDING.findall(told):
        assert is_found(level, what), f"the doctor doesn't say: {level}: {what}"
    for label, value in LABEL.findall(text):
        assert value in VALUES[label], f'{label}="{value}"'
    assert set(WHAT.findall(text)) <= {str(part) for part in Part}


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_what_a_page_names_is_there(page: Path) -> None:
    check(page.read_text("utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        "`STREAMY_KEEP_ALIFE`",
        "```sh\nexport FLASK_STREAMY_BROKER=redis://\n```\n",
        "`streamy_cleints` grows",
        "`flask streamy tops`",
        "```sh\nflask --app shop streamy doctor --client 5\n```\n",
        "`streamy demo --prot 5`",
        "```text\nWARNING streamy.hub: 3 streams have grown without a bell\n```\n",
        "```text\nINFO streamy.hub: reading failed, again in 0.52 s: away\n```\n",
        "```text\nWARNING streamy.delivery: reading failed, again in 0.52 s: away\n```\n",
        "```text\nerror: events are hold back on the way\n```\n",
        "```text\nnote: events are held back on the way\n```\n",
        '`cause="bussy"`',
        '`/ready` says `"what": "bells"`',
    ],
)
def test_what_is_not_there_is_found(text: str) -> None:
    with pytest.raises(AssertionError):
        check(text)
