from pathlib import Path

import pytest

from recsys.data.importers import read_mapping
from recsys.errors import DataError, SettingsError


def written(folder: Path, text: str) -> Path:
    (folder / "m.toml").write_text(text)
    return folder / "m.toml"


def test_reads_tables_and_columns(tmp_path: Path) -> None:
    mapping = read_mapping(
        written(
            tmp_path,
            'zone = "Europe/Copenhagen"\nid_type = "string"\n'
            '[items]\nfile = "goods.csv"\ndelimiter = ";"\n[items.columns]\nitem_id = "sku"\n'
            '[requests]\ncandidates = "shown"\nclicked = "taken"\nseparator = ","\ntime_format = "seconds"\n',
        )
    )
    assert (mapping.zone, mapping.id_type) == ("Europe/Copenhagen", "string")
    assert (mapping.items.file, mapping.items.delimiter, mapping.items.columns) == (
        "goods.csv",
        ";",
        {"item_id": "sku"},
    )
    assert (mapping.requests.candidates, mapping.requests.clicked, mapping.requests.separator) == (
        "shown",
        "taken",
        ",",
    )
    assert mapping.events.time_format == "iso"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('zoen = "UTC"', "zoen is not known; did you mean zone"),
        ('[item]\nfile = "x"', "item is not known; did you mean items"),
        ('[items]\nflie = "x"', r"items.flie is not known; did you mean file\? Known are file, query, columns"),
        ('[items]\ncandidate = "x"', "items.candidate is not known"),
        ('[requests]\ncandidate = "x"', "requests.candidate is not known; did you mean candidates"),
        ('zone = "Mars"', "toml: zone = 'Mars' does not fit: .*'Mars' is not a time zone"),
        ('id_type = "int"', "id_type = 'int' does not fit"),
        ("[items.columns]\nitem_id = 3", "items.columns.item_id = 3 does not fit"),
        ("zone = ", "cannot be read as TOML"),
        ('[events]\nencoding = "klingon"', "events.encoding = 'klingon' does not fit: Python knows no such encoding"),
        ('[events]\ndecimal = ";"', "events.decimal = ';' does not fit"),
        ('[events]\nevent = ""', "events.event = '' does not fit"),
        ("[requests]\nnegatives = 0", "requests.negatives = 0 does not fit"),
        (
            '[requests]\nsampled_from = "buy"\nfile = "x.csv"',
            "requests does not fit: sampled_from draws lists from events, file names logged ones; keep one of them",
        ),
    ],
)
def test_refuses_what_it_does_not_know(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_mapping(written(tmp_path, text))


def test_names_every_wrong_key_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"items.flie is not known[^\n]*\n[^\n]*zoen is not known"):
        read_mapping(written(tmp_path, 'zoen = "UTC"\n[items]\nflie = "x"'))


def test_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.toml does not exist; give the path of a TOML mapping file"):
        read_mapping(tmp_path / "none.toml")


def test_the_example_is_a_mapping() -> None:
    mapping = read_mapping(Path(__file__).parents[3] / "data" / "tables.example.toml")
    assert mapping.items.columns["item_id"] == "sku"
    assert mapping.requests.candidates == "shown"
