"""The settings: defaults, what belongs together, errors in words, and the documents that repeat them."""

import re
import stat
from pathlib import Path

import pytest

from app.settings import (
    Settings,
    SettingsError,
    load_settings,
    master_keys,
    setting_keys,
    settings_table,
    signing_key,
)
from domain.providers import ProviderKind
from storage.vault import new_master_key, parse_master_keys

ROOT = Path(__file__).parents[2]
SECRET = "a secret key of more than 32 characters"


def loaded(**environ: str) -> Settings:
    """The settings of an environment without an .env file."""
    return load_settings(environ, Path("no-such-file"))


def problem(**environ: str) -> str:
    """The error of an environment."""
    with pytest.raises(SettingsError) as caught:
        loaded(**environ)
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True), "pydantic's error shows values"
    return str(caught.value)


def test_nothing_set_is_the_embedded_default() -> None:
    """With an empty environment the server runs on SQLite, local files and the offline provider."""
    settings = loaded()
    assert settings.database_url.get_secret_value() == f"sqlite:///{Path.cwd() / 'data' / 'atelier.db'}"
    assert settings.public_url == "http://localhost:8000"
    assert settings.default_provider is ProviderKind.OFFLINE
    assert settings.storage_bucket_name is None
    assert settings.seed_samples
    assert not settings.is_postgres
    assert not settings.offline_crash


def test_defaults_follow_the_settings_they_depend_on(tmp_path: Path) -> None:
    """The public address follows the port, the database the data folder, the samples the kind of database."""
    settings = loaded(PORT="9001", ATELIER_DATA_DIR=str(tmp_path))
    assert settings.public_url == "http://localhost:9001"
    assert settings.database_url.get_secret_value() == f"sqlite:///{tmp_path}/atelier.db"
    production = loaded(DATABASE_URL="postgresql://db/atelier", SECRET_KEY=SECRET)
    assert production.is_postgres
    assert not production.seed_samples


def test_the_environment_goes_before_the_env_file(tmp_path: Path) -> None:
    """A key of the environment wins over the same key of .env, whose other keys count."""
    env_file = tmp_path / ".env"
    env_file.write_text("PORT=9002\nHOST=0.0.0.0\nSOMETHING_ELSE=1\n")
    settings = load_settings({"PORT": "9003"}, env_file)
    assert (settings.port, settings.host) == (9003, "0.0.0.0")


def test_an_empty_value_counts_as_not_set() -> None:
    """A key with nothing after it leaves the default."""
    assert loaded(PORT=" ", STORAGE_BUCKET_NAME="").port == 8000


def test_values_are_typed() -> None:
    """Lists are split at commas, addresses lose their last slash, names may be written in small letters."""
    settings = loaded(
        CORS_ORIGINS="http://a.test, https://b.test/,", GRAPHIQL="false", LOG_LEVEL="debug", LOG_FORMAT="json"
    )
    assert settings.cors_origins == ("http://a.test", "https://b.test")
    assert settings.graphiql is False
    assert settings.log_level == "DEBUG"
    assert settings.log_format == "json"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"PORT": "http"}, "PORT: Input should be a valid integer, unable to parse string as an integer."),
        ({"PORT": "70000"}, "PORT: Input should be less than or equal to 65535."),
        ({"PUBLIC_URL": "ftp://here"}, "PUBLIC_URL: must be an http:// or https:// address."),
        ({"DATABASE_URL": "mysql://here"}, "DATABASE_URL: must start with sqlite:/// or postgresql://."),
        ({"SECRET_KEY": "short"}, "SECRET_KEY: must have at least 32 characters."),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT: Input should be 'console' or 'json'."),
        ({"WORKER_SLOTS": "0"}, "WORKER_SLOTS: Input should be greater than 0."),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(environ: dict[str, str], message: str) -> None:
    """The error names the key, what is wrong with its value, and what the setting is."""
    (key,) = environ
    assert problem(**environ) == f"The settings are not right:\n  {message} {setting_keys()[key].description}"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"DATABASE_URL": "postgres://db/atelier"},
            "SECRET_KEY: is missing; with PostgreSQL every process needs the same one.",
        ),
        ({"STORAGE_REGION": "eu-1"}, "STORAGE_BUCKET_NAME: is missing, though STORAGE_REGION is set."),
        (
            {"STORAGE_BUCKET_NAME": "b", "STORAGE_ACCESS_KEY_ID": "k"},
            "STORAGE_SECRET_ACCESS_KEY: is missing, though STORAGE_ACCESS_KEY_ID is set.",
        ),
        (
            {"STORAGE_BUCKET_NAME": "b", "STORAGE_SECRET_ACCESS_KEY": "k"},
            "STORAGE_ACCESS_KEY_ID: is missing, though STORAGE_BUCKET_NAME is set.",
        ),
        ({"JWT_ISSUER": "https://i.test"}, "JWT_JWKS_URL: is missing, though JWT_ISSUER is set."),
        (
            {"JWT_JWKS_URL": "https://i.test/keys", "JWT_ISSUER": "https://i.test"},
            "JWT_AUDIENCE: is missing, though JWT_ISSUER is set.",
        ),
        ({"DEFAULT_PROVIDER": "gemini"}, "GEMINI_API_KEY: is missing, though DEFAULT_PROVIDER is GEMINI."),
        ({"DEFAULT_PROVIDER": "OLLAMA"}, "OLLAMA_BASE_URL: is missing, though DEFAULT_PROVIDER is OLLAMA."),
        (
            {"DEFAULT_PROVIDER": "ANTHROPIC", "OPENAI_API_KEY": "k"},
            "DEFAULT_PROVIDER: must be one that makes images; ANTHROPIC makes none.",
        ),
    ],
)
def test_half_a_configuration_names_the_missing_key(environ: dict[str, str], message: str) -> None:
    """Settings that need each other are refused with the name of the one that is missing."""
    assert problem(**environ) == f"The settings are not right:\n  {message}"


def test_every_wrong_value_is_told_at_once() -> None:
    """Two wrong values give two lines, and none for what merely follows from them."""
    lines = problem(PORT="x", GRAPHIQL="perhaps").splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["PORT", "GRAPHIQL"]


def test_whole_configurations_are_taken() -> None:
    """A bucket with its key, a provider with its key, and an external issuer are all right."""
    assert loaded(STORAGE_URL_TTL_SECONDS="90").storage_url_ttl_seconds == 90
    whole = loaded(STORAGE_BUCKET_NAME="b", STORAGE_ACCESS_KEY_ID="k", STORAGE_SECRET_ACCESS_KEY="s")
    assert whole.storage_secret_access_key is not None
    issuer = loaded(JWT_JWKS_URL="https://i.test/keys", JWT_ISSUER="https://i.test", JWT_AUDIENCE="atelier")
    assert (issuer.jwt_role_claim, issuer.jwt_admin_role) == ("role", "admin")
    assert loaded(DEFAULT_PROVIDER="OPENAI", OPENAI_API_KEY="k").default_provider is ProviderKind.OPENAI
    assert loaded(DEFAULT_PROVIDER="ollama", OLLAMA_BASE_URL="http://ollama:11434").ollama_api_key is None
    assert list(map(str, loaded(PRIVATE_NETWORKS="10.0.0.0/8, fd00::/8").private_networks)) == [
        "10.0.0.0/8",
        "fd00::/8",
    ]


def test_secrets_are_never_shown() -> None:
    """Neither the settings as text nor an error holds a secret's value."""
    hidden = "hidden-value-that-is-long-enough-to-sign"
    settings = loaded(
        OPENAI_API_KEY=hidden,
        GEMINI_API_KEY=hidden,
        SECRET_KEY=hidden,
        DATABASE_URL=f"postgresql://u:{hidden}@db/x",
        STORAGE_BUCKET_NAME="b",
        STORAGE_ACCESS_KEY_ID=hidden,
        STORAGE_SECRET_ACCESS_KEY=hidden,
    )
    assert hidden not in repr(settings)
    assert hidden not in problem(DATABASE_URL=f"mysql://u:{hidden}@db/x", PORT=hidden)
    assert hidden not in problem(DATABASE_URL=f"postgresql://u:{hidden}@db/x", OPENAI_API_KEY=hidden)


def test_the_secret_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    """Embedded, the first start writes a key that only the owner reads and later starts reuse."""
    settings = loaded(ATELIER_DATA_DIR=str(tmp_path / "new"))
    key = signing_key(settings)
    assert len(key) == 64
    assert signing_key(settings) == key
    assert stat.S_IMODE((tmp_path / "new" / "secret.key").stat().st_mode) == 0o600


def test_a_secret_key_that_is_set_is_used(tmp_path: Path) -> None:
    """With SECRET_KEY set nothing is written."""
    assert signing_key(loaded(ATELIER_DATA_DIR=str(tmp_path), SECRET_KEY=SECRET)) == SECRET.encode()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_secret_key_is_refused(tmp_path: Path) -> None:
    """An empty key file is an error that says how to mend it, not a weak signature."""
    (tmp_path / "secret.key").touch()
    with pytest.raises(SettingsError, match="Remove the file to have a new one made"):
        signing_key(loaded(ATELIER_DATA_DIR=str(tmp_path)))


def test_the_master_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    """Embedded, the first start writes a key that only the owner reads and later starts reuse."""
    settings = loaded(ATELIER_DATA_DIR=str(tmp_path))
    keys = master_keys(settings)
    ((id, key),) = keys.items()
    assert (id[:6], len(key)) == ("local-", 32)
    assert master_keys(settings) == keys
    assert stat.S_IMODE((tmp_path / "master.key").stat().st_mode) == 0o600
    (tmp_path / "master.key").unlink()
    assert list(master_keys(settings)) != [id], "another key is never taken for the one that is lost"


def test_the_made_master_key_opens_beside_those_that_are_set(tmp_path: Path) -> None:
    """It seals no more: a rotation begins with setting a new one."""
    made = master_keys(loaded(ATELIER_DATA_DIR=str(tmp_path)))
    both = master_keys(loaded(ATELIER_DATA_DIR=str(tmp_path), MASTER_KEYS=new_master_key("newer")))
    assert list(both) == ["newer", *made]
    ((id, _),) = made.items()
    again = new_master_key(id)
    assert master_keys(loaded(ATELIER_DATA_DIR=str(tmp_path), MASTER_KEYS=again)) == parse_master_keys(again)
    (tmp_path / "master.key").write_text("damaged")
    assert list(master_keys(loaded(ATELIER_DATA_DIR=str(tmp_path), MASTER_KEYS=again))) == [id]


def test_a_damaged_master_key_is_never_replaced(tmp_path: Path) -> None:
    """What it sealed would be lost: the error says how to mend it, and the file stays as it is."""
    (tmp_path / "master.key").write_text("local:no key")
    with pytest.raises(SettingsError, match="Restore the file"):
        master_keys(loaded(ATELIER_DATA_DIR=str(tmp_path)))
    assert (tmp_path / "master.key").read_text() == "local:no key"


def test_master_keys_that_are_set_are_used(tmp_path: Path) -> None:
    """In their order, with nothing written; wrong ones are refused without being shown."""
    newer, older = new_master_key("newer"), new_master_key("older")
    settings = loaded(ATELIER_DATA_DIR=str(tmp_path), MASTER_KEYS=f"{newer},{older}")
    assert list(master_keys(settings)) == ["newer", "older"]
    assert list(tmp_path.iterdir()) == []
    secret = newer.partition(":")[2]
    with pytest.raises(SettingsError) as caught:
        master_keys(loaded(MASTER_KEYS=f"a:{secret},a:{secret}"))
    assert str(caught.value).startswith("MASTER_KEYS: ")
    assert secret not in str(caught.value)
    assert secret not in repr(settings)


def test_on_postgresql_no_master_key_is_made(tmp_path: Path) -> None:
    """Each process would make its own: without the setting there is none."""
    production = loaded(DATABASE_URL="postgresql://db/x", SECRET_KEY=SECRET, ATELIER_DATA_DIR=str(tmp_path))
    assert master_keys(production) == {}
    assert list(tmp_path.iterdir()) == []


def test_the_table_has_a_described_line_for_every_setting() -> None:
    """Each key stands once in the table, with its default where it has a fixed one and a full sentence."""
    lines = settings_table().splitlines()[2:]
    assert len(lines) == len(Settings.model_fields)
    assert "| `PORT` | `8000` | Port the server listens on, 1 to 65535. |" in lines
    assert "| `GRAPHIQL` | `true` | Serve GraphiQL to browsers at `/graphql`: true or false. |" in lines
    assert all(re.fullmatch(r"\| `[A-Z_0-9]+` \| (`[^`]+`)? ?\| .+\. \|", line) for line in lines), lines


def test_the_readme_has_the_table() -> None:
    """The README's table of settings is the one that the code renders."""
    assert settings_table() in (ROOT / "README.md").read_text()


def test_the_example_names_real_settings() -> None:
    """Every key of .env.example is a setting."""
    keys = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert len(keys) > 10
    assert set(keys) <= set(setting_keys())
