"""Progress bars of the verbs: on standard error, and nothing where that is no terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from tqdm import tqdm


class ProgressBars:
    """One bar for each thing that is done; `show` fits every `progress` callback of the package."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._doing = ""

    def __enter__(self) -> ProgressBars:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def show(self, doing: str, done: int, total: int, note: str = "", /) -> None:
        """Say that `done` of `total` parts of `doing` are done, and behind the time left how it goes."""
        if doing != self._doing or self._bar is None:
            self.close()
            self._doing = doing
            self._bar = tqdm(total=total, desc=doing, unit="part", disable=None)
        bar = self._bar
        bar.total = total
        bar.set_postfix_str(note, refresh=False)
        bar.update(done - bar.n)

    def close(self) -> None:
        """Finish the bar that is shown."""
        if self._bar is not None:
            self._bar.close()
