"""What `attest` and `keys list` do: people sign exit criteria with keys that the team has pinned for that.

No vendor, no network, no credentials: a signature is over files that are here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pantheon_runbook import clock, closure
from pantheon_runbook.config import Closure, Config, config_path, read_regular
from pantheon_runbook.errors import ConfigError, CredentialError, EvidenceError, ParameterError
from pantheon_runbook.evidence import ledger, seal, verify
from pantheon_runbook.evidence.approval import APPROVES
from pantheon_runbook.evidence.attestation import ATTESTS, Attestation, file_name, signed
from pantheon_runbook.evidence.files import write_file
from pantheon_runbook.evidence.runs import SealedRuns, sealed_runs
from pantheon_runbook.runner.surroundings import committed, digests_of

FOLDER = "attestations"
IsValid = Callable[[verify.Key, str], bool]  # whether a pinned key may be used at this moment
_LONGEST_STATEMENT = 500
_MAY_NOT = {ATTESTS: "sign no criterion", APPROVES: "approve nothing"}


@dataclass(frozen=True)
class Desk:
    """Where people sign: the config, the folder that its paths start from, and the sha256 of the committed files."""

    config: Config
    folder: Path
    decided_by: Mapping[str, str]

    @classmethod
    def here(cls) -> Desk:
        """By what is committed; starts nothing. Errors: ConfigError."""
        known = committed()
        named = config_path()
        decided_by = digests_of(known.path, known.identities_path)
        return cls(known.config, named.parent if named else Path(), decided_by)

    @property
    def evidence(self) -> Path:
        return self.folder / self.config.evidence.path

    @property
    def trust(self) -> Path:
        """The trust file that people commit."""
        return self.folder / seal.TRUST

    @property
    def pins(self) -> Path:
        """Where a key of this cloud is pinned: the sandbox's at first use, with its evidence."""
        return self.evidence / seal.TRUST if self.config.cloud == "sandbox" else self.trust

    def sealed(self) -> SealedRuns:
        """Its sealed runs, by the keys that seal for its cloud."""
        return sealed_runs(self.evidence, seal.trust_of(self.folder, self.config.cloud))

    def keys(self) -> dict[str, verify.Key]:
        """Every pinned key by its id. Errors: ConfigError."""
        return keys_of(self.folder, self.evidence)


def keys_of(folder: Path, evidence: Path) -> dict[str, verify.Key]:
    """Every key that is pinned beside the config, by its id; what the evidence pins counts for the sandbox only.

    Errors: ConfigError.
    """
    pinned = seal.pinned_in(evidence / seal.TRUST)
    rehearsals = {name: key for name, key in pinned.items() if key.cloud == "sandbox"}
    return rehearsals | seal.pinned_in(folder / seal.TRUST)


@dataclass(frozen=True)
class Attested:
    """What was signed and where it stands; `source` is where the signer's identity comes from."""

    path: Path
    said: Attestation
    source: str
    pinned_in: Path | None = None  # where the key was pinned by this very use of it, as on the sandbox only

    def lines(self) -> Iterator[str]:
        said = self.said
        yield f"{said.criterion} of {said.environment} ({said.cloud}) signed by {said.signer}, {self.source}"
        yield from (f"  over {name}  sha256 {digest}" for name, digest in sorted(said.subject.items()))
        if self.pinned_in:
            yield believed(said.signer, self.pinned_in)
        yield f"  {self.path}: commit it"


def attest(criterion: str, environment: str, *, key: str, signer: str | None, statement: str) -> Attested:
    """Sign one criterion, and put it where RB-050 looks. Errors: UsageError, EvidenceError; then nothing is written."""
    desk = Desk.here()
    desk.config.environment(environment)
    asked = _asked_of(_closure_of(desk.config), criterion)
    own = seal.own_key(key)
    name = signer_of(desk, own, signer or "", default=Path(key).stem, role=ATTESTS)
    _refuse_others(criterion, name, asked)
    said = Attestation(
        cloud=desk.config.cloud,
        environment=environment,
        criterion=criterion,
        signer=name,
        statement=one_line(statement, "statement"),
        issued_at="",
        subject=_subject(desk, criterion, environment),
    )
    path = desk.folder / FOLDER / file_name(criterion, name)
    pinned = desk.keys()
    with putting(path):
        pin_at_first_use(desk, own, owner=name, role=ATTESTS)
        said = replace(said, issued_at=clock.stamp())  # once its key is pinned, for a key signs nothing before that
        write_file(path, signed(said, own))
    return Attested(path, said, f"key {own.keyid[:12]} in {desk.pins}", None if own.keyid in pinned else desk.pins)


def keys() -> list[dict[str, str]]:
    """{"name", "keyid", "state"} of the keys on this machine; state says what each is pinned for here, or why not.

    Errors: ConfigError when there is a config and it cannot be used.
    """
    try:
        pinned = Desk.here().keys()
    except ConfigError:
        if config_path() is not None:
            raise  # with a config that cannot be read every key would look as if nobody had pinned it
        pinned = {}
    return [
        {"name": name, "keyid": "", "state": key.why}
        if isinstance(key, CredentialError)
        else {"name": name, "keyid": key.keyid, "state": _state(pinned.get(key.keyid))}
        for name, key in seal.own_keys().items()
    ]


def _state(key: verify.Key | None) -> str:
    if key is None:
        return "not pinned here"
    until = f" until {key.valid_until}" if key.valid_until else ""
    return f"pinned to {key.role} for {key.cloud} as {key.owner}'s{until}"


def _closure_of(config: Config) -> Closure:
    if config.closure is not None:
        return config.closure
    raise ConfigError(
        "closure is missing in pantheon.toml",
        why="it names the strategy's document and the people who sign",
        next_step="add [closure] with strategy, approver, supervisor and members",
    )


def _asked_of(decided: Closure, criterion: str) -> tuple[str, ...]:
    """Who may sign this criterion."""
    people = closure.signers(decided)
    if criterion in people:
        return people[criterion]
    raise ParameterError(
        f'no criterion "{criterion}" is signed',
        why=f"people sign {', '.join(people)}; what else closing needs is looked at by RB-050",
        next_step="pantheon-runbook run RB-050 -e staging",
    )


def signer_of(
    desk: Desk,
    own: seal.SealingKey,
    named: str,
    *,
    default: str,
    role: str,
    is_valid: IsValid = verify.Key.is_valid_at,
) -> str:
    """Whose key it is by the trust file; on the sandbox it becomes his who uses it first. Errors: CredentialError."""
    pinned = desk.keys().get(own.keyid)
    if pinned is None and desk.config.cloud == "sandbox":
        return named or default
    if pinned is None or pinned.role != role or pinned.cloud != desk.config.cloud:
        what = f"pinned to {pinned.role} for {pinned.cloud}" if pinned else "not pinned"
        raise CredentialError(
            f"the key {own.keyid[:12]} may {_MAY_NOT[role]}",
            why=f"in {desk.pins} it is {what}",
            next_step=f"pantheon-runbook keys new {default} --role {role} >> {desk.trust}",
        )
    if named and named != pinned.owner:
        raise CredentialError(
            f'"{named}" cannot sign with this key',
            why=f"{desk.pins} pins it as {pinned.owner}'s",
            next_step="leave --as out, or name a key of your own with --key",
        )
    if not is_valid(pinned, clock.stamp()):
        raise CredentialError(
            f"the key of {pinned.owner} is not valid now",
            why=f"{desk.pins} says from {pinned.valid_from or 'ever'} until {pinned.valid_until or 'ever'}",
            next_step="make another with keys new, and have the team pin it",
        )
    return pinned.owner


def _refuse_others(criterion: str, name: str, asked: tuple[str, ...]) -> None:
    if name not in asked:
        raise ParameterError(
            f'"{name}" cannot sign {criterion}',
            why=f"[closure] in pantheon.toml names {', '.join(asked)}",
            next_step="sign as one of them with --as and a key of theirs, or correct [closure]",
        )


def one_line(text: str, name: str) -> str:
    """What somebody has to say, as it will be signed. Errors: ParameterError that calls it `name`."""
    if len(text) <= _LONGEST_STATEMENT and (text.isprintable() or not text):
        return text
    raise ParameterError(
        f"the {name} is not one line of text",
        why=f"it is kept in the evidence: printable, and at most {_LONGEST_STATEMENT} characters",
        next_step="shorten it",
    )


def _subject(desk: Desk, criterion: str, environment: str) -> Mapping[str, str]:
    """What is signed, by name and sha256. Errors: ConfigError, EvidenceError when it is not there."""
    decided = _closure_of(desk.config)
    if criterion == closure.STRATEGY:
        return closure.subject_of_strategy(hashlib.sha256(document(desk, decided)).hexdigest())
    if criterion == closure.TEAM:
        return desk.decided_by
    known = desk.sealed()
    run = closure.provisioned(known.runs, desk.config.cloud, environment)
    if run is None:
        raise EvidenceError(
            "there is no provisioning run to confirm",
            why=known.problem or f"no sealed RB-010 --apply run for {environment} ({desk.config.cloud}) has succeeded",
            next_step=f"pantheon-runbook evidence verify {desk.evidence}"
            if known.problem
            else f"pantheon-runbook run RB-010 -e {environment} --apply",
        )
    return closure.subject_of_run(run)


def document(desk: Desk, decided: Closure) -> bytes:
    """The strategy's exact bytes, which must be text. Errors: ConfigError."""
    path = desk.folder / decided.strategy
    try:
        content = read_regular(path)
        content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the strategy {path} cannot be read",
            why=str(getattr(error, "strerror", None) or "it is not UTF-8 text"),
            next_step="put the document there, or correct closure.strategy in pantheon.toml",
        ) from error
    return content


def pin_at_first_use(desk: Desk, own: seal.SealingKey, *, owner: str, role: str) -> None:
    """The sandbox believes it; on live nothing is pinned but by people. Errors: OSError."""
    if desk.config.cloud == "sandbox":
        desk.evidence.mkdir(parents=True, exist_ok=True)
        with ledger.held(desk.evidence):  # no run of this folder pins its own key meanwhile
            seal.pin(own, desk.pins, owner=owner, cloud="sandbox", role=role)


def believed(owner: str, pinned_in: Path) -> str:
    return f"  the sandbox believes the first use: this key is {owner}'s from now on, in {pinned_in}"


@contextmanager
def putting(path: Path) -> Iterator[None]:
    """What is signed is written there. Errors: EvidenceError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise EvidenceError(
            f"{path} cannot be written",
            why=str(error.strerror),
            next_step="give write permission to that folder",
        ) from error
