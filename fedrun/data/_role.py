"""Who says what in a play: from prepared records, or from the plays' own XML.

roles.jsonl (or .gz): one object a line with at least `play`, `role` and `text`. XML: the files of
Jon Bosak (PLAY > ACT > SCENE > SPEECH > SPEAKER, LINE) in the folder or in one zip archive. There
a role is a play's file name (less `_moby`) and the speaker in capitals (UNKNOWN where the file
names none); a speech by several goes to the first; stage directions are left out; blanks are
single; a role's lines stand in the order of the play, roles in the order of their first words.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from fedrun.core.option import ConfigError
from fedrun.data._bytes import read_bytes

KEYS = ("play", "role", "text")


@dataclass(frozen=True)
class Role:
    play: str
    name: str
    text: str


def read_roles(folder: Path) -> list[Role] | None:
    """The roles of the first kind of file that is there; None if there is none."""
    for path in (folder / "roles.jsonl", folder / "roles.jsonl.gz"):
        if path.is_file():
            return _records(path)
    if plays := sorted(folder.glob("*.xml")):
        return [role for path in plays for role in _play(str(path), path.stem, read_bytes(path))]
    if archives := sorted(folder.glob("*.zip")):
        return _archive(archives[0])
    return None


def _records(path: Path) -> list[Role]:
    try:
        lines = read_bytes(path).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason}") from error
    roles = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{path}, line {number}: not JSON: {error}") from error
        if not isinstance(record, dict) or not all(isinstance(record.get(k), str) for k in KEYS):
            raise ConfigError(f"{path}, line {number}: an object with play, role and text expected")
        roles.append(Role(*(record[key] for key in KEYS)))
    if len({(role.play, role.name) for role in roles}) < len(roles):
        raise ConfigError(f"{path} holds a role twice")
    return roles


def _archive(path: Path) -> list[Role]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".xml"))
            plays = [(name, archive.read(name)) for name in names]
    # RuntimeError is how zipfile tells of an encrypted member or an unknown compression.
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise ConfigError(f"{path} is no readable zip archive: {error}") from error
    if not plays:
        raise ConfigError(f"{path} holds no .xml file")
    return [role for name, raw in plays for role in _play(f"{path}:{name}", Path(name).stem, raw)]


def _play(place: str, stem: str, raw: bytes) -> list[Role]:
    # The plays define no entities; those of a hostile file could fill the memory.
    if b"<!ENTITY" in raw:
        raise ConfigError(f"{place} defines XML entities, which are refused")
    try:
        root = ElementTree.fromstring(raw)
    except ElementTree.ParseError as error:
        raise ConfigError(f"{place} is no readable XML: {error}") from error
    if root.tag != "PLAY":
        raise ConfigError(f"{place}: a PLAY expected, {root.tag} found; data=text takes any text")
    said: dict[str, list[str]] = {}
    for speech in root.iter("SPEECH"):
        speaker = " ".join((speech.findtext("SPEAKER") or "").split()).upper() or "UNKNOWN"
        said.setdefault(speaker, []).extend(filter(None, map(_spoken, speech.iter("LINE"))))
    play = stem.removesuffix("_moby")
    return [Role(play, name, "\n".join(lines)) for name, lines in said.items() if lines]


def _spoken(line: ElementTree.Element) -> str:
    """The line less the stage directions inside it."""
    return " ".join("".join([line.text or "", *(child.tail or "" for child in line)]).split())
