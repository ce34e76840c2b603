"""One line of the audit record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from edge_inspect.chained import sha256_of
from edge_inspect.datatypes import Action

LONGEST = 2000
"""Characters of a subject or reason that are kept: a peer must not fill the disk with one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An action on its way into the record.

    Attributes:
        action: what happened.
        at: when, UTC.
        times: how many of the same it stands for.
        retired_to: number of the last entry that is given up with it, by the record's own retention.
    """

    action: Action
    at: datetime
    times: int = 1
    retired_to: int | None = None


class Entry(BaseModel):
    """One line of the record. A key of a later version is passed over: what counts is the text's hash."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    number: int = Field(ge=1)
    previous: str
    at: AwareDatetime
    deed: str
    outcome: str
    wire: str = ""
    peer: str = ""
    user: str = ""
    subject: str = ""
    reason: str = ""
    times: int = 1
    retired_to: int | None = None

    @property
    def text(self) -> bytes:
        """The entry as it is hashed and written; what says nothing is left out."""
        return self.model_dump_json(exclude_defaults=True).encode()

    @property
    def sha256(self) -> str:
        """Hash that the next entry carries."""
        return sha256_of(self.text)


def draft_of(action: Action, times: int = 1, *, retired_to: int | None = None) -> Draft:
    """An action as of now."""
    return Draft(action=action, at=datetime.now(timezone.utc), times=times, retired_to=retired_to)


def entry_of(draft: Draft, *, number: int, previous: str) -> Entry:
    """The entry of a draft, following another one."""
    action = draft.action
    return Entry(
        number=number,
        previous=previous,
        at=draft.at,
        deed=action.deed.value,
        outcome=action.outcome.value,
        wire=action.wire,
        peer=action.by.address,
        user=action.by.user,
        subject=action.subject[:LONGEST],
        reason=action.reason[:LONGEST],
        times=draft.times,
        retired_to=draft.retired_to,
    )
