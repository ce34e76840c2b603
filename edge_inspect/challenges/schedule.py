"""How long a challenge counts. Pure: ages and times are arguments."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from edge_inspect.config import ChallengeRule

EARLY = timedelta(minutes=30)
"""A challenge made so long before a shift begins is that shift's."""

FUTURE_S = 60.0
"""A clock may differ by so much across a restart [s]; a challenge from later than that says that it was set back."""

DAYS_AHEAD = 2
"""The next shift begins within a day; on the day on which clocks change it may be a little more."""


def counts_until(rule: ChallengeRule, made_at: datetime) -> datetime:
    """When a challenge made then counts no longer.

    Args:
        rule: how often golden parts are asked for; times of day are those of this machine's time zone.
        made_at: by today's clock, with a time zone.
    """
    if rule.every_h is not None:
        return made_at + timedelta(hours=rule.every_h)
    return min(begins for begins in _shifts(rule.at, made_at) if begins > made_at + EARLY)


def _shifts(times: tuple[time, ...], near: datetime) -> list[datetime]:
    """Every beginning of a shift from that day on; local time, as daylight saving has it on each day."""
    first = near.astimezone().date()
    days: list[date] = [first + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)]
    return [datetime.combine(day, at).astimezone() for day in days for at in times]
