"""Work in a thread, polled like a request to the process."""

from __future__ import annotations

import pytest
from furrow.addon.process import jobs
from furrow.backend.errors import FurrowError


def test_a_background_job_reports_cancels_and_carries_errors():
    def count(upto, progress, cancelled):
        progress(0.5, "half")
        if upto < 0:
            raise FurrowError("Nothing to count.")
        return "stopped" if cancelled() else upto

    job = jobs.Background(count, upto=3)
    assert job.wait(5) and job.result() == 3 and job.progress == (0.5, "half")
    job = jobs.Background(count, upto=-1)
    job.wait(5)
    with pytest.raises(FurrowError, match="Nothing"):
        job.result()
