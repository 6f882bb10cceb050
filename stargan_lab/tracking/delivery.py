"""Deliver a run's records to MLflow while it trains; what could not be sent is sent later from the files."""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext

from stargan_lab.tracking.publish import Publication, State
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store, StoreError, in_training
from stargan_lab.tracking.uri import masked

_log = logging.getLogger(__name__)

FIRST_WAIT = 30.0
LONGEST_WAIT = 600.0
"""Seconds without an attempt after a failure. They double from the first to the longest: an attempt can take 20 s."""


class Delivery:
    """The connection of one run to a store that may be unavailable.

    A failure is warned about once, and recorded in ``tracking.json`` as ``behind``. The next attempt connects again and
    sends everything that is missing.

    Args:
        connect: opens the store; raises StoreError.
    """

    def __init__(self, folder: RunFolder, state: State, connect: Callable[[], Store]) -> None:
        self._folder, self._state, self._connect = folder, state, connect
        self._publication: Publication | None = None
        self._away = False
        self._wait, self._next_attempt = FIRST_WAIT, 0.0

    def send(self, action: Callable[[Publication], None], last: bool = False) -> None:
        """Call ``action`` with the run's publication, which has every committed row but those the action sends.

        Args:
            last: the run ends, so try now. Otherwise, wait for the next attempt after a failure.
        """
        if self._publication is None and not last and time.monotonic() < self._next_attempt:
            return
        try:
            with nullcontext() if last else in_training():  # at the end, no training waits for the store
                if self._publication is None:
                    self._publication = self._catch_up()
                elif not last:
                    self._publication.store.check_answers()
                action(self._publication)
        except StoreError as error:
            self._failed(error)

    def _catch_up(self) -> Publication:
        publication, rows = Publication(self._connect(), self._folder, self._state), self._folder.rows()
        publication.open(rows)
        publication.store.set_status(publication.mlflow_id, "running")
        publication.send(rows[publication.sent : self._state.committed])
        if self._state.behind:
            publication.samples()
            publication.caught_up()
        if self._away:
            self._away, self._wait = False, FIRST_WAIT
            _log.warning("MLflow store %s works again; the missing rows were sent", masked(publication.store.uri))
        return publication

    def _failed(self, error: StoreError) -> None:
        self._publication = None
        self._next_attempt = time.monotonic() + self._wait
        self._wait = min(2 * self._wait, LONGEST_WAIT)
        self._state.mark(behind=True)
        if not self._away:
            self._away = True
            _log.warning(
                "%s; training continues, and the files are complete; what MLflow lacks is sent once it works again,"
                " or by `stargan-lab track sync`",
                error,
            )
