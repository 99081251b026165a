"""The YAML reader: what it refuses, in one line, and that nothing else gets out of it."""

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.manifest.reader import MAX_BYTES, MAX_DEPTH, parse_yaml, read_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdef", "bcdefg", strict=True)
)


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        parse_yaml(text, "m.yaml")
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1, 2", "m.yaml:1: is not YAML"),
        ("a: 1\n\tb: 2", "m.yaml:2: is not YAML"),
        ("a: 1\nb: *nowhere", "m.yaml:2: is not YAML: found undefined alias"),
        ("a: 1\n---\nb: 2", "m.yaml:2: is not YAML"),
        ("a: \x07", "m.yaml: is not YAML"),
        ("", "m.yaml: is empty"),
        ("# a comment\n", "m.yaml: is empty"),
        (BOMB, "expands to more than 50000 values (nested aliases?)"),
        ("a: 1\nb: !!python/object/apply:os.system [id]", "m.yaml:2: carries the YAML tag"),
        ("a: !Detector {}", "m.yaml:1: carries the YAML tag '!Detector'; tags are not allowed"),
        ("a: !!binary aGk=", "carries the YAML tag '!!binary'"),
        ("a: !!set {x}", "carries the YAML tag '!!set'"),
        ("a: 1\nb: 2\na: 3", "m.yaml:3: has the key 'a' twice"),
        ("a: {b: 1, b: 2}", "has the key 'b' twice"),
        ("1: x", "has a key that is not a string: '1'"),
        ("a: {yes: 1}", "has a key that is not a string: 'yes'"),
        ("[a, b]: 1", "has a key that is not a string"),
        ("a: &x {<<: {b: 1}}", "has a key that is not a string: '<<'"),
        ("a: &x [*x]", "is nested deeper than"),
        ("a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "is nested deeper than"),
        ("a: " + "[" * 20_000, "is nested deeper than"),
        ("a: !!int nine", "cannot be read as a value: 'nine'"),
    ],
)  # fmt: skip
def test_refusals_name_file_line_and_reason(text: str, expected: str) -> None:
    assert expected in refusal(text)


def test_values_are_plain_and_know_their_lines() -> None:
    document = parse_yaml("a: 1\nb:\n  c: [x, 2.5, null]\n  d: 2024-01-02\n", "m.yaml")
    assert document.value == {"a": 1, "b": {"c": ["x", 2.5, None], "d": "2024-01-02"}}
    assert document.place(("b", "c")) == "m.yaml:3"
    assert document.place(("b", "d")) == "m.yaml:4"
    assert document.place(("b", "nowhere", "below")) == "m.yaml:2"


def test_an_alias_used_a_few_times_is_welcome() -> None:
    document = parse_yaml("a: &x {n: 1}\nb: *x\nc: [*x, *x]\n", "m.yaml")
    assert document.value == {"a": {"n": 1}, "b": {"n": 1}, "c": [{"n": 1}, {"n": 1}]}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("1e3", 1000.0), ("1.5E+2", 150.0), (".5e1", 5.0), ("1_000", 1000),
     ("0x10", 16), ("v1e3", "v1e3"), ("'1e-3'", "1e-3"), ("1.0e-3", 1e-3), ("1e", "1e")],
)  # fmt: skip
def test_numbers_mean_what_they_say(text: str, value: object) -> None:
    """YAML 1.1 takes 1e-3 for a string; nobody who writes a learning rate does."""
    read = parse_yaml(f"a: {text}", "m.yaml").value["a"]
    assert read == value
    assert type(read) is type(value)


def test_a_file_that_is_missing_a_folder_huge_or_no_text(tmp_path: Path) -> None:
    huge, latin = tmp_path / "huge.yaml", tmp_path / "latin.yaml"
    huge.write_bytes(b"a: " + b"x" * MAX_BYTES)
    latin.write_bytes("a: café".encode("latin-1"))
    for path, expected in [
        (tmp_path / "none.yaml", "no such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (huge, f"is larger than {MAX_BYTES} bytes"),
        (latin, "is not UTF-8 text"),
        (Path("/dev/zero"), f"is larger than {MAX_BYTES} bytes"),
        (tmp_path / ("x" * 300), "cannot be read: File name too long"),
    ]:
        with pytest.raises(UserError) as caught:
            read_yaml(path)
        assert expected in str(caught.value)
        assert str(path) in str(caught.value)


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(path).value == {"a": 1}


YAMLISH = st.text(
    alphabet=st.sampled_from(list("ab01:-[]{},&*!|>#'\"%@`?~ \n\t<.=\\é\x00\x85\ud800")),
    max_size=80,
)


@settings(max_examples=250, deadline=None)
@given(st.one_of(YAMLISH, st.text(max_size=60)))
@example("? ")
@example("&a [*a]")
@example("{? [a]: b}")
@example("!!float nan.")
@example("a: !!timestamp x")
@example("0b")
@example("a: 9" + "9" * 5000)
@example("a: 1:60:60")
@example("%YAML 9.9\n--- a")
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        line = parse_yaml(text, "m.yaml").place(())
    except UserError as error:
        line = str(error)
    assert line.startswith("m.yaml")
    assert "\n" not in line


WORDS = st.text("abcé _-#:[]{}'\"\n", max_size=12).map(lambda text: f"w{text}")
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(WORDS, PLAIN, min_size=1, max_size=5))
def test_what_yaml_writes_comes_back(value: dict[str, object]) -> None:
    assert parse_yaml(yaml.safe_dump(value, allow_unicode=True), "m.yaml").value == value
