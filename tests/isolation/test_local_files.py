"""Which files are looked into, and that nothing is left out without being named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pantheon_runbook.isolation.local_files import LARGEST_BYTES, Decided, Report, examine
from pantheon_runbook.isolation.marks import Marks, Search
from pantheon_runbook.secrets import fingerprint

SALT = "5a" * 32
VALUE = "sb_secret_9fQ2xL7vTn4RkWz8"
PINS = {fingerprint(SALT, VALUE): "production's key"}
MARKS = Marks({"qwertyuiopasdfghjklz": "production's project"}, {}, PINS, SALT)
NOTHING = Decided()


def looked(*paths: Path, decided: Decided = NOTHING) -> Report:
    return examine(paths, Search(MARKS), decided)


def found(report: Report) -> list[str]:
    return [f"{finding.path}:{finding.line}" for finding in report.findings]


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str = f"KEY={VALUE}\n") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".env.local",
        ".envrc",
        "staging.env",
        "web/.env.production",
        "compose.yaml",
        "docker-compose.yml",
        ".github/workflows/ci.yml",
        ".gitlab-ci.yml",
        "vercel.json",
        "railway.toml",
        "setup.cfg",
        "alembic.ini",
        "bin/deploy.sh",
        ".vscode/settings.json",
        "SETTINGS.JSON",
    ],
)
def test_settings_of_this_folder_are_looked_into(name: str):
    write(name)

    assert [f"{name}:1"] == found(looked())


def test_anything_that_is_given_is_looked_into():
    """Without being given, a source file is not."""
    write("notes/readme.md"), write("app.py")

    assert [] == found(looked())
    assert ["app.py:1"] == found(looked(Path("app.py")))
    assert ["notes/readme.md:1"] == found(looked(Path("notes")))
    assert 2 == looked(Path(), Path("app.py"), Path("notes")).files  # each once


def test_finding_says_what_to_do():
    """A secret is rotated, an id is only replaced; neither is shown."""
    path = write(".env", f"A=1\nKEY={VALUE}\nURL=https://qwertyuiopasdfghjklz.supabase.co\n")

    secret, project = looked(path).findings

    assert (2, "production's key") == (secret.line, secret.what)
    assert "rotate it in production, and put staging's there: pantheon-runbook env write" in secret.next_step
    assert (3, "production's project") == (project.line, project.what)
    assert "rotate" not in project.next_step
    assert VALUE not in repr((secret, project))


@pytest.mark.parametrize("folder", [".git", "node_modules", ".venv", ".pantheon", "web/node_modules"])
def test_folders_of_tools_are_named_as_skipped(folder: str):
    write(f"{folder}/settings.json")
    report = looked(Path())

    assert ([], [folder]) == (found(report), [one.path for one in report.skipped])


@pytest.mark.parametrize("name", ["pyvenv.cfg", "CACHEDIR.TAG"])
def test_folder_that_says_it_is_a_tools_is_skipped(name: str):
    write("env/settings.json"), write(f"env/{name}", "")

    assert [("env", "what tools put there")] == [(one.path, one.why) for one in looked(Path()).skipped]


def test_evidence_and_the_config_may_name_production_but_hold_no_secret():
    """The config has to; evidence says what a run was kept away from."""
    named = "ref = 'qwertyuiopasdfghjklz'\n"
    for name in ("pantheon.toml", "evidence/b/plan.json", "other.toml"):
        write(name, named)
    decided = Decided(frozenset({Path("pantheon.toml").resolve()}), Path("evidence").resolve())

    assert ["other.toml:1"] == found(looked(decided=decided))
    assert ["evidence"] == [one.path for one in looked(decided=decided).skipped]
    given = [Path("pantheon.toml"), Path("evidence/b/plan.json"), Path("evidence")]
    assert [] == found(looked(*given, decided=decided))
    for path in given[:2]:
        path.write_text(f"{named}key = '{VALUE}'\n")
    assert ["evidence/b/plan.json:2", "pantheon.toml:2"] == found(looked(*given, decided=decided))


def test_what_is_no_text_is_named_as_skipped():
    Path("photo.json").write_bytes(b"\x89PNG\0" + VALUE.encode())
    write("large.json", "x" * (LARGEST_BYTES + 1))
    os.mkfifo("pipe.sh")

    report = looked()

    assert (0, []) == (report.files, found(report))
    assert [("large.json", "larger than 5 MB"), ("photo.json", "binary"), ("pipe.sh", "not a file")] == [
        (one.path, one.why) for one in report.skipped
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_text_of_every_encoding_is_read(encoding: str):
    """PowerShell writes UTF-16."""
    Path(".env").write_bytes(f"# é\r\nKEY={VALUE}\r\n".encode(encoding))

    assert [".env:2"] == found(looked())


def test_links_are_followed_inside_only(tmp_path_factory: pytest.TempPathFactory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "key.json").write_text(VALUE)
    write("inside/values.txt")
    Path(".env").symlink_to("inside/values.txt")
    Path("out.json").symlink_to(outside / "key.json")
    Path("folder").symlink_to(outside)
    Path("again").symlink_to("inside")

    report = looked(Path())

    assert [".env:1", "inside/values.txt:1"] == found(report)
    assert ["folder", "out.json"] == [one.path for one in report.skipped]
    assert ["out.json:1"] == found(looked(Path("out.json")))  # somebody asked for it by its name


def test_file_that_cannot_be_read_is_a_finding():
    """A link to itself: root reads everything else."""
    Path("loop.json").symlink_to("loop.json")

    (finding,) = looked().findings

    assert ("loop.json", None) == (finding.path, finding.line)
    assert finding.what.startswith("cannot be read: ")
    assert not looked().is_clean


@pytest.mark.skipif(os.geteuid() == 0, reason="root can list every folder")
def test_folder_that_cannot_be_listed_is_a_finding():
    write("shut/.env")
    Path("shut").chmod(0)

    (finding,) = looked().findings
    Path("shut").chmod(0o700)

    assert ("shut", None) == (finding.path, finding.line)
