"""What a night tells those who are not there: a file, a webhook, Prometheus' text."""

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from recsys.files import write_whole

logger = logging.getLogger(__name__)

_SECONDS = 10
"""How long a webhook may take."""


def alert_file(path: Path, reasons: list[str]) -> None:
    """Write reasons into a file, or remove it where there are none."""
    if reasons:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, "\n".join(reasons) + "\n")
    else:
        path.unlink(missing_ok=True)


def alert_webhook(url: str, content: Mapping[str, object]) -> None:
    """Post what happened as JSON; a webhook that cannot be reached is told, and stops nothing."""
    try:
        request = urllib.request.Request(  # noqa: S310
            url, json.dumps(content).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310
            pass
    except (urllib.error.URLError, OSError, ValueError) as error:
        logger.warning("the webhook of [alert] could not be told (%s); see that it answers", error)


def prometheus(path: Path, figures: Mapping[str, tuple[str, float]]) -> None:
    """Write figures in Prometheus' text format, for its collector of text files.

    Parameters
    ----------
    path
        The file.
    figures
        By name, without the prefix `recsys_nightly_`: what it is, and its value.
    """
    lines = []
    for name, (what, value) in figures.items():
        full = f"recsys_nightly_{name}"
        lines += [f"# HELP {full} {what}", f"# TYPE {full} gauge", f"{full} {float(value)!r}"]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, "\n".join(lines) + "\n")
