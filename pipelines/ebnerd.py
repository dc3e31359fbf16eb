"""EB-NeRD from the publisher's files to figures: import, check, train with live and daily knowledge, and nightly."""

import sys
from pathlib import Path

from recsys.data.checks import check_tables
from recsys.data.importers import read_source
from recsys.evaluation.reports.evaluation_report import to_text
from recsys.jobs.train import train
from recsys.settings import load_settings

CONFIG = Path(__file__).with_suffix(".toml")

# The days of the log begin at seven in UTC. Lists that are made then know neither the page nor the device, and of news
# most was not out yet: on the first day nothing that was clicked, so that the text window holds two.
_CUTS = ", ".join(f"2023-05-{day}T07:00:00Z" for day in (18, 20, 23, 24, 25))
NIGHTLY = ['time.made_at="07:00"', 'text.query=""', "features.context=[]", f"windows.cuts=[{_CUTS}]"]
FRESHNESS: dict[str, list[str]] = {"live": [], "1d": [], "nightly": NIGHTLY}
"""What each freshness changes in the settings."""


def main(source: Path, out: Path) -> None:
    """Run the line on `source`, a folder with the publisher's files, and write everything into `out`."""
    dataset = read_source("ebnerd", source)
    print(check_tables(dataset).to_text())
    dataset.write(out / "data")
    for freshness, changes in FRESHNESS.items():
        settings = load_settings(CONFIG, [f'time.freshness="{freshness}"', *changes])
        judgement = train(dataset, settings, out / f"model-{freshness}")
        print(f"freshness {freshness}\n{to_text(judgement.evaluation)}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python pipelines/ebnerd.py FOLDER_WITH_EBNERD OUT")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
