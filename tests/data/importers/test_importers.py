from pathlib import Path

import pytest

from recsys.data.importers import SOURCES, read_source
from recsys.errors import DataError, SettingsError


def test_reads_by_the_name_of_the_source(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("sku,title\n1,one\n2,two\n")
    (tmp_path / "requests.csv").write_text(
        "request_id,user_id,timestamp,item_id,label\n5,7,2024-03-01,1,0\n5,7,2024-03-01,2,1\n"
    )
    (tmp_path / "m.toml").write_text('[items.columns]\nitem_id = "sku"\n')
    data = read_source("tables", tmp_path, tmp_path / "m.toml")
    assert data.items["item_id"].to_list() == [1, 2]
    with pytest.raises(DataError, match=r"items\.csv has no column item_id"):
        read_source("tables", str(tmp_path))


def test_refuses_unknown_sources_folders_and_useless_mappings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'ebnrd' is no source; did you mean ebnerd\? Known are tables, .*mind"):
        read_source("ebnrd", tmp_path)
    with pytest.raises(DataError, match="nowhere is not a folder; name the folder that holds the files of mind"):
        read_source("mind", tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="a mapping has no use with mind"):
        read_source("mind", tmp_path, tmp_path / "m.toml")


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_refuses_an_empty_folder(tmp_path: Path, source: str) -> None:
    with pytest.raises(DataError, match="holds no"):
        read_source(source, tmp_path)
