"""The vault: a secret opens for what it was sealed for, with a master key that is here, and in no other way."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.errors import Conflict
from domain.ports import Unopenable
from storage.vault import AesVault, new_master_key, parse_master_keys

SECRET = "sk-proj-0123456789-\u00e9"
BOUND_TO = ("owner", "profile", "OPENAI", "https://api.example.org/v1")
FIRST, SECOND = b"1" * 32, b"2" * 32
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+/=, "


def a_vault(**master_keys: bytes) -> AesVault:
    """A vault with these keys, or with one."""
    return AesVault(master_keys or {"first": FIRST})


@given(secret=st.text(), bound_to=st.lists(st.text()))
def test_what_is_sealed_opens(secret: str, bound_to: list[str]) -> None:
    """Whatever it is, and whatever it is bound to, the empty text and no binding at all included."""
    vault = a_vault()
    assert vault.open(vault.seal(secret, bound_to), bound_to) == secret


@given(bound_to=st.lists(st.text(), max_size=4), other=st.lists(st.text(), max_size=4))
@example(bound_to=["ab", "c"], other=["a", "bc"])
@example(bound_to=["a"], other=["a", ""])
@example(bound_to=["a,b"], other=["a", "b"])
@example(bound_to=['a","b'], other=["a", "b"])
@example(bound_to=["1"], other=["first", "1"])
def test_no_two_bindings_are_alike(bound_to: list[str], other: list[str]) -> None:
    """What was sealed for one list of texts opens for no other, however they look in a row."""
    vault = a_vault()
    sealed = vault.seal(SECRET, bound_to)
    if bound_to == other:
        assert vault.open(sealed, other) == SECRET
    else:
        with pytest.raises(Unopenable):
            vault.open(sealed, other)


@pytest.mark.parametrize("place", range(len(BOUND_TO)), ids=["owner", "profile", "provider", "base_url"])
def test_a_secret_of_one_is_not_anothers(place: int) -> None:
    """Copied to another owner, profile, provider or address it doesn't open."""
    vault = a_vault()
    others = tuple("other" if number == place else part for number, part in enumerate(BOUND_TO))
    for_these, for_others = vault.seal(SECRET, BOUND_TO), vault.seal("another", others)
    for sealed, bound_to in ((for_these, others), (for_others, BOUND_TO)):
        with pytest.raises(Unopenable):
            vault.open(sealed, bound_to)


def test_the_form_of_a_sealed_secret() -> None:
    """Version, id of the master key, 96 bits of nonce and the ciphertext; the secret is not in it, and never twice alike."""
    vault = a_vault(**{"2026-a_b": FIRST})
    sealed = {vault.seal(SECRET, BOUND_TO) for _ in range(50)}
    assert len({one.split(".")[2] for one in sealed}) == 50
    for one in sealed:
        assert re.fullmatch(r"v1\.2026-a_b\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]+", one)
        assert SECRET[:8] not in one


def test_not_a_character_can_be_changed() -> None:
    """At every place, to every other character: no two texts are the same sealed secret."""
    vault = a_vault()
    # Of lengths that leave none, two and four bits of the last character unused.
    for secret in ("abc", "abcd", "abcde"):
        sealed = vault.seal(secret, BOUND_TO)
        for place, character in enumerate(sealed):
            for other in ALPHABET.replace(character, ""):
                with pytest.raises(Unopenable):
                    vault.open(sealed[:place] + other + sealed[place + 1 :], BOUND_TO)


def test_not_a_character_can_be_taken_away_or_put_in() -> None:
    """At every place."""
    vault = a_vault()
    sealed = vault.seal(SECRET, BOUND_TO)
    for place in range(len(sealed)):
        for other in (sealed[:place] + sealed[place + 1 :], f"{sealed[:place]}A{sealed[place:]}", sealed[:place]):
            if other != sealed:
                with pytest.raises(Unopenable):
                    vault.open(other, BOUND_TO)


@pytest.mark.parametrize(
    "sealed",
    [
        "",
        "...",
        "v1.first.",
        "v1.first..",
        "v1.first.AAAAAAAAAAAAAAAA.",
        "v1.first.AAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "v2.first.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "v1.gone.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "v1.first.AAAAAAAAAAAAAAAA.\u00e9",
        "v1.first.A.A",
        "\ud800",
    ],
)
def test_what_no_vault_has_sealed_does_not_open(sealed: str) -> None:
    """Whatever is written there, it is never another error."""
    with pytest.raises(Unopenable):
        a_vault().open(sealed, BOUND_TO)


@given(sealed=st.text())
def test_no_text_breaks_the_vault(sealed: str) -> None:
    """Nor makes it say that it is the newest."""
    vault = a_vault()
    assert not vault.is_newest(sealed)
    with pytest.raises(Unopenable):
        vault.open(sealed, BOUND_TO)


def test_a_sealed_secret_tells_nothing_when_it_does_not_open() -> None:
    """Neither the message nor what led to the error has anything of it: both reach logs."""
    sealed = a_vault().seal(SECRET, BOUND_TO)
    with pytest.raises(Unopenable) as refused:
        a_vault(first=SECOND).open(sealed, BOUND_TO)
    assert str(refused.value) == ""
    assert refused.value.__suppress_context__


def test_the_first_master_key_seals_and_every_one_opens() -> None:
    """So keys are rotated: the new one is put before the old one, which stays until nothing needs it."""
    old, both, new = a_vault(first=FIRST), a_vault(second=SECOND, first=FIRST), a_vault(second=SECOND)
    sealed_before, sealed_since = old.seal(SECRET, BOUND_TO), both.seal(SECRET, BOUND_TO)
    assert both.open(sealed_before, BOUND_TO) == both.open(sealed_since, BOUND_TO) == SECRET
    assert new.open(sealed_since, BOUND_TO) == SECRET
    assert [both.is_newest(sealed) for sealed in (sealed_before, sealed_since)] == [False, True]
    for vault, sealed in ((new, sealed_before), (old, sealed_since)):
        with pytest.raises(Unopenable):
            vault.open(sealed, BOUND_TO)


def test_an_id_does_not_stand_for_another_key() -> None:
    """A sealed secret that is said to be another master key's doesn't open, even where both are the same."""
    vault = a_vault(first=FIRST, second=FIRST)
    sealed = vault.seal(SECRET, BOUND_TO)
    with pytest.raises(Unopenable):
        vault.open(sealed.replace("v1.first.", "v1.second."), BOUND_TO)


def test_without_a_master_key_nothing_is_sealed() -> None:
    """It says whose matter that is; what is there already doesn't open, and is not the newest."""
    vault = AesVault({})
    assert (vault.can_seal, a_vault().can_seal) == (False, True)
    with pytest.raises(Conflict, match="its operator has to set MASTER_KEYS"):
        vault.seal(SECRET, BOUND_TO)
    sealed = a_vault().seal(SECRET, BOUND_TO)
    assert not vault.is_newest(sealed)
    with pytest.raises(Unopenable):
        vault.open(sealed, BOUND_TO)


def test_a_new_master_key_is_taken_as_it_is_printed() -> None:
    """Thirty-two bytes, others every time; several are told apart by commas, and keep their order."""
    first, second = new_master_key("2026-a"), new_master_key("b_2")
    assert first.removeprefix("2026-a:") != new_master_key("2026-a").removeprefix("2026-a:")
    keys = parse_master_keys(f" {second} ,{first}=\n")
    assert list(keys) == ["b_2", "2026-a"]
    assert [len(key) for key in keys.values()] == [32, 32]
    assert keys["b_2"] == parse_master_keys(second)["b_2"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the id of key 1 must be 1 to 32 letters, digits, hyphens or underscores"),
        ("VALID,", "the id of key 2 must be"),
        ("a b:KEY", "the id of key 1 must be"),
        ("KEY", "the id of key 1 must be"),
        (":KEY", "the id of key 1 must be"),
        (f"{'a' * 33}:KEY", "the id of key 1 must be"),
        ("\u00e9:KEY", "the id of key 1 must be"),
        ("a.b:KEY", "the id of key 1 must be"),
        ("VALID,a", "key 2 must have 32 bytes"),
        ("VALID,a:QUJD", "key 2 must have 32 bytes"),
        ("a:KEY+", "key 1 is not Base64 as URLs have it"),
        ("a:KEY:KEY", "key 1 is not Base64 as URLs have it"),
        ("a:K\u00cbY", "key 1 is not Base64 as URLs have it"),
        ("VALID,VALID", "key 2 has the id of another one"),
    ],
)
def test_master_keys_that_are_not_right(text: str, problem: str) -> None:
    """Which one and why, in words that quote nothing: what is wrong may be a key at the wrong place."""
    key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY"
    given_text = text.replace("VALID", f"valid:{key}").replace("KEY", key)
    with pytest.raises(ValueError, match=re.escape(problem)) as refused:
        parse_master_keys(given_text)
    assert key not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("key_id", ["", "a b", "a:b", "a,b", "a.b", "a" * 33, "a\n"])
def test_a_master_key_has_an_id_that_can_be_told_apart(key_id: str) -> None:
    """None is made that couldn't be read back."""
    with pytest.raises(ValueError, match="the id must be 1 to 32 letters"):
        new_master_key(key_id)
