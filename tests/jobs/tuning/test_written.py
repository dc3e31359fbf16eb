from recsys.jobs.tuning.written import with_found
from recsys.settings import load_settings

CONFIG = """# of my shop
seed = 3

[features]
affinity = ["genre"]  # what people like

[ranker]
# small trees
leaves = 7
half_life = "3d"
"""


def test_what_differs_is_changed_and_all_else_stays(tmp_path) -> None:
    (tmp_path / "c.toml").write_text(CONFIG)
    was = load_settings(tmp_path / "c.toml")
    now = load_settings(tmp_path / "c.toml", ["ranker.leaves=15", "ranker.l2=0.5", "text.lexicon=64", "seed=4"])
    now = now.model_copy(update={"ranker": now.ranker.model_copy(update={"half_life": None})})
    text = with_found(CONFIG, was, now, "found by trials")
    assert text.startswith("# found by trials\n# of my shop\nseed = 4\n")
    assert 'affinity = ["genre"]  # what people like' in text
    assert "# small trees\nleaves = 15\n" in text
    (tmp_path / "n.toml").write_text(text)
    assert load_settings(tmp_path / "n.toml") == now


def test_without_a_file_what_differs_from_the_built_in_settings_is_written(tmp_path) -> None:
    was, now = (
        load_settings(None),
        load_settings(None, ['features.without=["item_age_hours"]', 'ranker.monotone={hour="rising"}']),
    )
    (tmp_path / "n.toml").write_text(with_found("", was, now, "a\nb"))
    assert load_settings(tmp_path / "n.toml") == now
    assert (tmp_path / "n.toml").read_text().startswith("# a\\nb\n")


def test_windows_by_cuts_take_the_place_of_shares(tmp_path) -> None:
    text = "[windows]\nfractions = [0.4, 0.3, 0.1, 0.2]\n"
    (tmp_path / "c.toml").write_text(text)
    days = ", ".join(f'"2024-01-0{day}"' for day in range(1, 6))
    was, now = load_settings(tmp_path / "c.toml"), load_settings(tmp_path / "c.toml", [f"windows.cuts=[{days}]"])
    (tmp_path / "n.toml").write_text(with_found(text, was, now, "x"))
    assert load_settings(tmp_path / "n.toml") == now


def test_a_file_of_dotted_keys_says_in_the_end_what_was_found(tmp_path) -> None:
    text = "ranker.rounds = 20\ntext.lexicon = 0\nwindows.fractions = [0.4, 0.3, 0.1, 0.2]\n"
    (tmp_path / "c.toml").write_text(text)
    changes = ['ranker.monotone={item_age_hours="falling"}', 'features.windows=["2h"]']
    was, now = load_settings(tmp_path / "c.toml"), load_settings(tmp_path / "c.toml", changes)
    (tmp_path / "n.toml").write_text(with_found(text, was, now, "x"))
    assert load_settings(tmp_path / "n.toml") == now


def test_declarations_with_fields_that_are_not_set_are_written(tmp_path) -> None:
    was, now = (
        load_settings(None),
        load_settings(None, ['features.declarations=[{kind="count",of="view",per=["user","item"]}]']),
    )
    (tmp_path / "n.toml").write_text(with_found("seed = 7\n", was, now, "x"))
    assert load_settings(tmp_path / "n.toml") == now
