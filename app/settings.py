"""The settings: every one typed and described here, read from the environment and, below it, from `.env`.

A setting's key is its field's name in capitals. An empty value counts as not set.
"""

import os
import secrets
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from domain.providers import ProviderKind
from storage.vault import new_master_key, parse_master_keys

MIN_SECRET_CHARS = 32
SECRET_FILE = "secret.key"  # noqa: S105  a file's name
MASTER_KEY_FILE = "master.key"


class SettingsError(Exception):
    """A setting is missing or wrong; the message names its key and what is expected, never its value."""


def _web_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an http:// or https:// address")
    return value.rstrip("/")


def _database_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("sqlite:///", "postgresql://", "postgres://")):
        raise ValueError("must start with sqlite:/// or postgresql://")
    return value


def _long_secret(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < MIN_SECRET_CHARS:
        raise ValueError(f"must have at least {MIN_SECRET_CHARS} characters")
    return value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _listed(value: object) -> object:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _by_provider(value: object) -> object:
    """`OPENAI=20, OLLAMA=1` as a mapping."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in filter(None, map(str.strip, value.split(",")))]
    if not all(is_pair for _, is_pair, _ in pairs):
        raise ValueError("must be like OPENAI=20,OLLAMA=1")
    return {kind.strip().upper(): number.strip() for kind, _, number in pairs}


def _kinds(value: object) -> object:
    listed = _listed(value)
    return tuple(map(_upper, listed)) if isinstance(listed, tuple) else listed


def _redis_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must start with redis://, rediss:// or unix://")
    return value


ByProvider = Annotated[dict[ProviderKind, PositiveInt], BeforeValidator(_by_provider)]
Network = IPv4Network | IPv6Network
WebUrl = Annotated[str, AfterValidator(_web_url)]
Seconds = Annotated[int, Field(gt=0, le=366 * 86_400)]


class Settings(BaseModel):
    """Everything an operator can choose. What depends on another setting has a default that says so."""

    model_config = ConfigDict(frozen=True, alias_generator=str.upper, validate_default=True, str_strip_whitespace=True)

    # The server
    host: str = Field("127.0.0.1", description="Address the server listens on; `0.0.0.0` for every interface.")
    port: int = Field(8000, ge=1, le=65_535, description="Port the server listens on, 1 to 65535.")
    public_url: WebUrl = Field(
        default_factory=lambda given: f"http://localhost:{given['port']}",
        description="Address under which clients reach the server; `http://localhost:PORT` when not set.",
    )
    data_dir: Annotated[Path, AfterValidator(lambda path: path.expanduser().resolve())] = Field(
        Path("data"),
        alias="ATELIER_DATA_DIR",
        description="Folder for the SQLite database, local files and the generated secret key.",
    )
    database_url: Annotated[SecretStr, AfterValidator(_database_url)] = Field(
        default_factory=lambda given: SecretStr(f"sqlite:///{given['data_dir'] / 'atelier.db'}"),
        description="`postgresql://user:password@host/name`, or `sqlite:///path`; SQLite in the data folder when not set.",
    )
    database_pool_size: PositiveInt = Field(
        10, description="Connections to PostgreSQL per process, as many again for jobs, and four more."
    )
    database_statement_timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        30, description="How long one statement may take on PostgreSQL before it is cut off, in seconds."
    )
    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = Field(
        None,
        description="`redis://host:6379/0`: processes tell each other of progress through Redis; through PostgreSQL when "
        "not set. Nothing is lost when it is away, only later.",
    )
    secret_key: Annotated[SecretStr, AfterValidator(_long_secret)] | None = Field(
        None,
        description=f"Signs tokens and file addresses; at least {MIN_SECRET_CHARS} characters, the same in every process. "
        "Generated and kept in the data folder when not set; must be set with PostgreSQL.",
    )
    cors_origins: Annotated[tuple[WebUrl, ...], BeforeValidator(_listed)] = Field(
        (), description="Origins of browser clients on other sites, separated by commas."
    )
    graphiql: bool = Field(True, description="Serve GraphiQL to browsers at `/graphql`: true or false.")
    admin_page: bool = Field(True, description="Serve the operators' page at `/admin`: true or false.")
    introspection: bool = Field(True, description="Answer introspection queries: true or false.")
    seed_samples: bool = Field(
        default_factory=lambda given: given["database_url"].get_secret_value().startswith("sqlite"),
        description="Fill an empty database with a community, test users and identities; true with SQLite when not set.",
    )
    log_format: Literal["console", "json"] | None = Field(
        None, description="`console` or `json`; by whether the output is a terminal when not set."
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = Field(
        "INFO", description="Least level that is logged: DEBUG, INFO, WARNING or ERROR."
    )

    # Accounts
    token_ttl_seconds: Seconds = Field(86_400, description="How long a token of ours is valid, in seconds.")
    jwt_jwks_url: WebUrl | None = Field(
        None,
        description="Keys of an external token issuer (JWKS); with it, `JWT_ISSUER` and `JWT_AUDIENCE` are needed.",
    )
    jwt_issuer: str | None = Field(None, description="The `iss` that an external token must carry.")
    jwt_audience: str | None = Field(None, description="The `aud` that an external token must carry.")
    jwt_role_claim: str = Field("role", description="Claim of an external token with the user's role or list of roles.")
    jwt_admin_role: str = Field("admin", description="Value of that claim that makes the user an admin.")

    # Providers
    openai_api_key: SecretStr | None = Field(
        None, description="Key for OpenAI; without it only connection profiles can use it."
    )
    openai_base_url: WebUrl | None = Field(None, description="Another address for OpenAI; its own when not set.")
    gemini_api_key: SecretStr | None = Field(
        None, description="Key for Gemini; without it only connection profiles can use it."
    )
    gemini_base_url: WebUrl | None = Field(None, description="Another address for Gemini; its own when not set.")
    imagen_api_key: SecretStr | None = Field(
        None, description="Key for Imagen (Vertex AI); without it only connection profiles can use it."
    )
    imagen_base_url: WebUrl | None = Field(
        None, description="Another address for Imagen (Vertex AI); its own when not set."
    )
    xai_api_key: SecretStr | None = Field(
        None, description="Key for xAI; without it only connection profiles can use it."
    )
    xai_base_url: WebUrl | None = Field(None, description="Another address for xAI; its own when not set.")
    openrouter_api_key: SecretStr | None = Field(
        None, description="Key for OpenRouter; without it only connection profiles can use it."
    )
    openrouter_base_url: WebUrl | None = Field(
        None, description="Another address for OpenRouter; its own when not set."
    )
    gab_api_key: SecretStr | None = Field(
        None, description="Key for Gab AI; without it only connection profiles can use it."
    )
    gab_base_url: WebUrl | None = Field(None, description="Another address for Gab AI; its own when not set.")
    ollama_base_url: WebUrl | None = Field(None, description="Address of an Ollama server for everybody.")
    ollama_api_key: SecretStr | None = Field(None, description="Key for it, where a gateway before it asks for one.")
    openai_compatible_base_url: WebUrl | None = Field(
        None, description="Address of a server with OpenAI's interface for everybody, up to and with `/v1`."
    )
    openai_compatible_api_key: SecretStr | None = Field(None, description="Key for it, where it asks for one.")
    master_keys: SecretStr | None = Field(
        None,
        description="Keys that seal the keys of connection profiles, as `main.py keys new ID` prints them, separated by "
        "commas: the first seals, all open. Generated and kept in the data folder with SQLite, where it opens beside those "
        "that are set; without them on PostgreSQL no profile can keep a key.",
    )
    private_networks: Annotated[tuple[Network, ...], BeforeValidator(_listed)] = Field(
        (),
        description="Networks that are not public and that connection profiles and imports may reach all the same, "
        "separated by commas, such as `192.168.1.0/24`.",
    )
    default_provider: Annotated[ProviderKind, BeforeValidator(_upper)] = Field(
        ProviderKind.OFFLINE,
        description="Provider of a request that names none, by the server's own access, such as OPENAI.",
    )
    default_model: str | None = Field(
        None, description="Model of a request that names none; the provider's own default when not set."
    )
    provider_timeout_seconds: Seconds = Field(300, description="How long one call to a provider may take, in seconds.")
    provider_timeouts: ByProvider = Field(
        default_factory=dict,
        description="Providers that may take another time, in seconds, such as `OLLAMA=900,XAI=120`.",
    )
    repeat_unknown_calls: bool = Field(
        False,
        description="Make a paid call once more when a crash left its outcome unknown, though it may have been charged: "
        "true or false. Calls that are free are always repeated.",
    )

    # Workers
    worker_slots: PositiveInt = Field(200, description="Generations of each provider that a process works on at once.")
    worker_providers: Annotated[tuple[ProviderKind, ...], BeforeValidator(_kinds)] = Field(
        (), description="Providers whose generations a process makes, separated by commas; all when not set."
    )
    community_slots: PositiveInt = Field(
        100,
        description="Generations of one community at one provider at once, in all workers together, for each point of its "
        "plan's priority. Fewer than the slots, so that one community never takes all of them.",
    )
    provider_concurrency: ByProvider = Field(
        default_factory=dict,
        description="Generations at a provider at once, in all workers together, such as `OPENAI=20,OLLAMA=1`.",
    )
    provider_starts_per_minute: ByProvider = Field(
        default_factory=dict,
        description="Generations begun at a provider in a minute, in all workers together, such as `OPENAI=50`.",
    )
    worker_dead_seconds: Annotated[int, Field(ge=3, le=3600)] = Field(
        30, description="After how many seconds without a sign of life the others take over a worker's generations."
    )
    worker_drain_seconds: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default_factory=lambda given: 10 if given["database_url"].get_secret_value().startswith("sqlite") else 150,
        description="How long a stopping process lets its generations run; the others, or the next start, go on with what "
        "is cut off. 10 with SQLite and 150 with PostgreSQL when not set.",
    )
    offline_crash: bool = Field(
        False, description="Let the offline provider's word `[crash]` end the process (for tests): true or false."
    )

    # Watching
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65_535,
        description="Port for `/metrics` (Prometheus), `/healthz` and `/readyz` beside the server's own; none when not set.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address that port listens on.")
    otel_exporter_otlp_endpoint: WebUrl | None = Field(
        None,
        description="Where OpenTelemetry traces go (OTLP over HTTP), such as `http://localhost:4318`; none when not set.",
    )

    # Limits
    max_picture_bytes: PositiveInt = Field(20_000_000, description="Largest picture that is taken, in bytes.")
    max_picture_pixels: PositiveInt = Field(50_000_000, description="Largest picture that is taken, in pixels.")
    max_request_bytes: PositiveInt = Field(100_000_000, description="Largest request with uploads, in bytes.")
    max_query_bytes: PositiveInt = Field(262_144, description="Largest request without uploads, in bytes.")

    # Storage
    storage_bucket_name: str | None = Field(
        None, description="Bucket of an S3-compatible store; pictures are files in the data folder when not set."
    )
    storage_endpoint_url: WebUrl | None = Field(None, description="The store's address; AWS when not set.")
    storage_public_endpoint_url: WebUrl | None = Field(
        None, description="The store's address for browsers, where it is another one than the server's."
    )
    storage_region: str = Field("us-east-1", description="The bucket's region.")
    storage_access_key_id: SecretStr | None = Field(None, description="The store's access key; needed with a bucket.")
    storage_secret_access_key: SecretStr | None = Field(None, description="The secret half of the key; needed with it.")
    storage_public_url_prefix: WebUrl | None = Field(
        None,
        description="Address before the object keys where the bucket is public; addresses are presigned when not set.",
    )
    storage_addressing_style: Literal["auto", "path", "virtual"] = Field(
        "auto", description="How addresses name the bucket: `auto`, `path` or `virtual` (as host name)."
    )
    storage_url_ttl_seconds: Annotated[int, Field(ge=60, le=7 * 86_400)] = Field(
        3600, description="How long the address of a picture is valid, 60 seconds to 7 days."
    )

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.is_postgres and self.secret_key is None:
            raise ValueError("SECRET_KEY: is missing; with PostgreSQL every process needs the same one")
        self._need_all("storage_", "storage_bucket_name", "storage_access_key_id", "storage_secret_access_key")
        self._need_all("jwt_", "jwt_jwks_url", "jwt_issuer", "jwt_audience")
        if self.default_provider is ProviderKind.ANTHROPIC:
            raise ValueError("DEFAULT_PROVIDER: must be one that makes images; ANTHROPIC makes none")
        needed = self._needed_for(self.default_provider)
        if needed and not getattr(self, needed):
            raise ValueError(f"{needed.upper()}: is missing, though DEFAULT_PROVIDER is {self.default_provider}")
        return self

    def _needed_for(self, kind: ProviderKind) -> str | None:
        """The setting without which the server itself has no access to a provider."""
        if kind is ProviderKind.OFFLINE:
            return None
        return f"{kind.lower()}_base_url" if kind in _WITHOUT_ADDRESS else f"{kind.lower()}_api_key"

    def _need_all(self, prefix: str, *needed: str) -> None:
        given = sorted(name for name in self.model_fields_set - _FOR_EVERY_STORE if name.startswith(prefix))
        for name in needed:
            if given and not getattr(self, name):
                raise ValueError(f"{name.upper()}: is missing, though {given[0].upper()} is set")

    @property
    def is_postgres(self) -> bool:
        """Whether this is the production way to run: PostgreSQL, several processes."""
        return self.database_url.get_secret_value().startswith("postgres")


_FOR_EVERY_STORE = {"storage_url_ttl_seconds"}
_WITHOUT_ADDRESS = {ProviderKind.OLLAMA, ProviderKind.OPENAI_COMPATIBLE}


def setting_keys() -> dict[str, FieldInfo]:
    """Every setting by its key, in the order of the table."""
    return {str(field.alias): field for field in Settings.model_fields.values()}


def load_settings(environ: Mapping[str, str] = os.environ, env_file: Path = Path(".env")) -> Settings:
    """The settings, from the environment before `.env`. Raises SettingsError."""
    given = {**dotenv_values(env_file), **environ}
    known = {key: value for key in setting_keys() if (value := (given.get(key) or "").strip())}
    try:
        return Settings.model_validate(known)
    except ValidationError as problem:
        raise SettingsError(_in_words(problem)) from None


def _in_words(problem: ValidationError) -> str:
    lines = []
    for error in problem.errors(include_input=False, include_url=False):
        if error["type"] == "default_factory_not_called":
            continue  # it only follows from another line
        message = error["msg"].removeprefix("Value error, ")
        key = str(error["loc"][0]) if error["loc"] else ""
        lines.append(f"  {key}: {message}. {setting_keys()[key].description}" if key else f"  {message}.")
    return "\n".join(["The settings are not right:", *lines])


def signing_key(settings: Settings) -> bytes:
    """The key that signs tokens and file addresses; embedded it is made once and kept in the data folder."""
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    path, key = _kept(settings, SECRET_FILE, lambda: secrets.token_urlsafe(48))
    if len(key) < MIN_SECRET_CHARS:
        raise SettingsError(f"The secret key in {path} is damaged. Remove the file to have a new one made.")
    return key.encode()


def master_keys(settings: Settings) -> dict[str, bytes]:
    """The keys that seal others, by id; embedded one is made once and kept in the data folder. Raises SettingsError."""
    given: dict[str, bytes] = {}
    try:
        if settings.master_keys is not None:
            given = parse_master_keys(settings.master_keys.get_secret_value())
    except ValueError as problem:
        raise SettingsError(f"MASTER_KEYS: {problem}. `main.py keys new ID` prints one.") from None
    # What the file's key has sealed opens also when there are newer ones.
    if settings.is_postgres or (given and not (settings.data_dir / MASTER_KEY_FILE).exists()):
        return given
    # An id of its own: a file that is lost and made anew is no longer the same key.
    path, key = _kept(settings, MASTER_KEY_FILE, lambda: new_master_key(f"local-{secrets.token_hex(4)}"))
    try:
        return {**given, **{id: made for id, made in parse_master_keys(key).items() if id not in given}}
    except ValueError:
        if given:
            return given
        # Never made anew by itself: every sealed key would be lost.
        raise SettingsError(f"The master key in {path} is damaged. Restore the file, or set MASTER_KEYS.") from None


def _kept(settings: Settings, name: str, make: Callable[[], str]) -> tuple[Path, str]:
    """A secret in the data folder, made when it isn't there yet, for this user alone to read."""
    path = settings.data_dir / name
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(make())
    except FileExistsError:
        pass
    return path, path.read_text("utf-8", "replace").strip()


def settings_table() -> str:
    """The settings as the Markdown table of the README."""
    rows = [f"| `{key}` | {_default(field)} | {field.description} |" for key, field in setting_keys().items()]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows])


def _default(field: FieldInfo) -> str:
    default: Any = field.default
    if field.default_factory is not None or default is None or default == ():
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
