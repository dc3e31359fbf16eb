import hmac
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from recsys.data.importers.mapped import read_mapped
from recsys.data.importers.mapping import Mapping
from recsys.data.importers.pseudonyms import form_of, pseudonyms, read_key, user_as_kept
from recsys.errors import SettingsError

KEY = b"a key that nobody guesses"


def test_a_pseudonym_is_the_keyed_hash_of_the_id() -> None:
    found = pseudonyms(pl.Series("user_id", [7, 8, None, 7]), KEY)
    expected = [hmac.new(KEY, each, sha256).hexdigest()[:32] for each in (b"7", b"8")]
    assert found.to_list() == [expected[0], expected[1], None, expected[0]]
    assert found.name == "user_id"
    assert pseudonyms(pl.Series(["7"]), KEY)[0] == expected[0]
    assert pseudonyms(pl.Series([7]), KEY + b".")[0] != expected[0]


def test_a_key_lies_in_a_file_or_in_the_environment(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "key").write_bytes(KEY + b"\n")
    monkeypatch.setenv("SHOP_KEY", KEY.decode())
    assert read_key(str(tmp_path / "key")) == read_key("env:SHOP_KEY") == KEY
    for said, told in [
        ("env:NOT_SET", "in the environment variable NOT_SET has 0 bytes; write 16 or more"),
        (str(tmp_path / "none"), "the key of pseudonyms cannot be read from .*none"),
    ]:
        with pytest.raises(SettingsError, match=told):
            read_key(said)
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(SettingsError, match="has 5 bytes; write 16 or more"):
        read_key(str(tmp_path / "key"))


def test_all_tables_name_users_alike_and_nothing_that_is_written_holds_an_id_or_the_key(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", KEY.decode())
    folder = tmp_path / "in"
    folder.mkdir()
    users = ["ann@example.org", "bob@example.org"]
    pl.DataFrame({"item_id": [1, 2], "title": ["a", "b"], "available_at": ["2024-01-01"] * 2}).write_csv(
        folder / "items.csv"
    )
    pl.DataFrame({"user_id": users, "age": [30, 40]}).write_csv(folder / "users.csv")
    bought = {"user_id": users, "item_id": [1, 2], "timestamp": ["2025-01-01", "2025-01-02"], "event": ["purchase"] * 2}
    pl.DataFrame(bought).write_csv(folder / "events.csv")
    mapping = {"ids": {"pseudonyms": "env:SHOP_KEY"}, "requests": {"sampled_from": "purchase", "negatives": 1}}
    dataset = read_mapped(folder, Mapping.model_validate(mapping))
    named = pseudonyms(pl.Series(users), KEY).to_list()
    assert dataset.users["user_id"].to_list() == named
    assert set(dataset.requests["user_id"]) == set(named)
    dataset.write(tmp_path / "data")
    for path in (tmp_path / "data").iterdir():
        written = path.read_bytes()
        assert not any(secret in written for secret in (b"ann@", b"bob@", KEY)), path


def test_an_id_is_written_as_the_tables_hold_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    assert user_as_kept("Ann ", Mapping()) == "Ann "
    spelled = {"user_id": ["case", "blanks"]}
    assert user_as_kept("Ann ", Mapping.model_validate({"ids": spelled})) == "ann"
    hidden = Mapping.model_validate({"ids": {**spelled, "pseudonyms": str(tmp_path / "key")}})
    assert user_as_kept(" ANN", hidden) == pseudonyms(pl.Series(["ann"]), KEY)[0]
    with pytest.raises(SettingsError, match="no text that can be printed"):
        user_as_kept("\udcff", hidden)


def test_the_form_of_ids_changes_with_the_mapping_and_the_key_and_tells_neither(tmp_path: Path) -> None:
    forms = [form_of(None), form_of(Mapping.model_validate({"ids": {"user_id": ["case"]}}))]
    for key in (KEY, KEY + b"."):
        (tmp_path / "key").write_bytes(key)
        forms.append(form_of(Mapping.model_validate({"ids": {"pseudonyms": str(tmp_path / "key")}})))
    assert form_of(Mapping()) == forms[0]
    assert len(set(forms)) == 4
    assert all(len(form) == 16 and KEY.hex()[:8] not in form for form in forms)
