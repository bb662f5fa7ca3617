"""Every setting of the product: the only module that reads the environment."""

from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Door = Literal["api", "hub", "ingest", "pages"]
ALL_DOORS: tuple[Door, ...] = ("api", "hub", "ingest", "pages")


class IceServer(BaseModel):
    """A STUN or TURN server that publishers may use, in the terms of WebRTC's RTCIceServer."""

    urls: str = Field(pattern=r"^(stuns?|turns?):[^\s<>\"]+$")  # one URI (RFC 7064, RFC 7065)
    username: str | None = None
    credential: SecretStr | None = None


class Settings(BaseSettings):
    """Typed settings; each is the environment variable `CAPTURE_<NAME>` unless an alias says otherwise."""

    model_config = SettingsConfigDict(env_prefix="CAPTURE_", extra="ignore", populate_by_name=True)

    # The web process
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    public_url: str | None = None
    doors: Annotated[tuple[Door, ...], NoDecode] = ALL_DOORS
    max_body_bytes: int = 10 * 1024 * 1024
    max_upload_bytes: int = 4 * 1024 * 1024 * 1024
    fetch_seconds: float = Field(3600.0, gt=0)  # how long an upload by URL may take to come in
    upload_hours: float = Field(24.0, ge=1)  # how long an uploaded file waits to be claimed
    download_hours: float = Field(168.0, gt=0)  # how long a file that was made for a download is kept

    # Per API key and per client token; 0 requests a second: no limit.
    rate_limit_per_second: float = Field(100.0, ge=0)
    rate_limit_burst: int = Field(1000, ge=1)
    cors_origins: Annotated[
        tuple[str, ...], NoDecode
    ] = ()  # sites whose pages may call the REST API; * for all

    # How long links to media are good for; 0: for ever. One to a capture is good for as long as that records.
    media_url_seconds: int = Field(7 * 86_400, ge=0)

    # How long things are kept; 0: until they are deleted. A collection may say otherwise for its own media.
    retention_days: int = Field(0, ge=0)
    audit_retention_days: int = Field(365, ge=0)

    # Networks beside the public ones that callers' URLs may lead to: webhooks, uploads, pulled streams.
    # `capture up` allows this machine where nothing else is said.
    allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()

    # Where things live. A database or Redis URL that is given means: nothing of that kind is embedded.
    data_dir: Path = Path("data")
    storage_url: str | None = None  # file:///folder or s3://bucket/prefix?endpoint=…&region=…
    storage_timeout_seconds: float = Field(30.0, gt=0)  # of one request to S3
    # Either URL may hold a password, so neither is shown.
    database_url: str | None = Field(
        None,
        validation_alias=AliasChoices("database_url", "DATABASE_URL", "CAPTURE_DATABASE_URL"),
        repr=False,
    )
    redis_url: str | None = Field(
        None, validation_alias=AliasChoices("redis_url", "REDIS_URL", "CAPTURE_REDIS_URL"), repr=False
    )

    # Secrets: made and kept in the data folder (0600) where not given
    api_key: SecretStr | None = None
    secret_key: SecretStr | None = None

    # S3, by the names that every tool of its kind reads; without keys the machine's own role is taken
    aws_access_key_id: str | None = Field(None, validation_alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr | None = Field(None, validation_alias="AWS_SECRET_ACCESS_KEY")
    aws_session_token: SecretStr | None = Field(None, validation_alias="AWS_SESSION_TOKEN")
    aws_region: str = Field(
        "us-east-1", validation_alias=AliasChoices("aws_region", "AWS_REGION", "AWS_DEFAULT_REGION")
    )
    aws_endpoint_url: str | None = Field(
        None, validation_alias=AliasChoices("aws_endpoint_url", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    )

    # Capture
    segment_seconds: float = Field(4.0, gt=0)
    start_timeout_seconds: float = 120.0  # the vendor's recorder polls for 200 s; ours connects within 3
    resume_seconds: float = 600.0
    stop_timeout_seconds: float = 10.0
    disk_reserve_bytes: int = Field(64 * 1024 * 1024, ge=0)  # recording leaves so much free for the database
    # Each part of a recording survives a power cut too, for 0.1 ms of CPU; a kill it survives anyway.
    disk_sync: bool = True
    media_silence_seconds: float = 10.0  # a publisher that sends nothing for so long is gone
    rtsps_port: int = Field(8554, ge=0, le=65535)  # the vendor's recorder publishes there; 0: nobody does
    rtsps_host: str | None = None  # what it is told to connect to; unset: the public URL's host
    ice_addresses: Annotated[tuple[str, ...], NoDecode] = ()  # empty: this host's own, and loopback
    # UDP. Unset: the number of `port`, which no second product on this machine has either. 0: any free one.
    webrtc_port: int | None = Field(None, ge=0, le=65535)
    ice_servers: tuple[IceServer, ...] = ()  # JSON; told to publishers, for networks that let no UDP out
    # Where publishers reach this process by HTTP, for WHIP; each of several ingest processes has its own.
    # Unset: the public URL.
    ingest_url: str | None = None
    max_publishers: int = Field(600, ge=1)  # at once in one process; one core carries twice as many tracks
    display_alias_rows: bool = True  # contract C1

    # Understanding
    speech_model: str | None = None  # name or folder; unset: the package that carries one
    speech_language: str | None = None  # ISO 639-1; unset: detected, by models that know several
    speech_device: Literal["auto", "cpu", "cuda"] = "auto"
    speech_compute_type: str = "auto"  # of CTranslate2: auto is int8 on the CPU, float16 on a GPU
    # What pictures show, by open_clip. The weights: a name, a file or a folder; unset: those named
    # laion2b_s34b_b79k, else what `capture models fetch` has built.
    image_text_model: str = "ViT-B-32"
    image_text_weights: str | None = None
    image_text_device: Literal["auto", "cpu", "cuda"] = "auto"
    sentence_model: Path | None = None  # a folder with model.onnx and tokenizer.json; unset: the packaged one
    visual_channels: Annotated[tuple[str, ...], NoDecode] = ("visual_index", "scene_index")  # contract C5
    # A language model behind an OpenAI-compatible URL: Ollama, llama-server, vLLM, a cloud. The administrator
    # names it, so it may lie on any network. Unset: records and alerts are made without one.
    language_url: str | None = Field(None, pattern=r"^https?://[^\s]+$", repr=False)  # it may hold a password
    language_key: SecretStr | None = None
    language_model: str = "default"
    language_pictures: bool = False  # whether the model takes pictures
    language_timeout_seconds: float = Field(30.0, gt=0, le=600)
    language_live_seconds: float = Field(6.0, gt=0, le=25)  # so long may a live record wait for it
    language_requests: int = Field(2, ge=1, le=64)  # at once, a worker process
    alert_cooldown_seconds: float = Field(30.0, ge=0)  # between two firings of one alert
    worker_threads: int = Field(4, ge=1)

    # Webhooks and housekeeping
    # Contract §2.5: a handler may start five pipelines inside.
    webhook_timeout_seconds: float = Field(60.0, gt=0, le=300)
    event_retention_days: float = Field(30.0, gt=0)  # how long events can be read again, and replayed
    housekeeping_seconds: float = 2.0
    export_lease_seconds: float = 20.0

    log_level: str = "INFO"

    @field_validator(
        "doors", "ice_addresses", "allowed_networks", "visual_channels", "cors_origins", mode="before"
    )
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("language_url", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None  # as a compose file passes on what is not set

    @property
    def base_url(self) -> str:
        """The URL under which clients reach this server, without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def ingest_base_url(self) -> str:
        """The URL under which publishers reach this process, without a trailing slash."""
        return (self.ingest_url or self.base_url).rstrip("/")

    @property
    def websocket_base_url(self) -> str:
        """`base_url` with the WebSocket scheme."""
        return "ws" + self.base_url.removeprefix("http")

    @property
    def effective_webrtc_port(self) -> int:
        """The UDP port for media in force; 0 means any free one."""
        return self.port if self.webrtc_port is None else self.webrtc_port

    @property
    def models_folder(self) -> Path:
        """Where models lie that `capture models fetch` brought or built."""
        return (self.data_dir / "models").resolve()

    @property
    def effective_storage_url(self) -> str:
        """The storage URL in force: the given one, else a folder inside the data folder."""
        return self.storage_url or f"file://{(self.data_dir / 'objects').resolve()}"


@cache
def get_settings() -> Settings:
    """The process's settings, read from the environment once."""
    return Settings()
