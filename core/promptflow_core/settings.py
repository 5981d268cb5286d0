"""What a server or worker process reads from its environment, once, in `main`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

PREFIX = "PROMPTFLOW_"


class Settings(BaseModel):
    """Each field is the environment variable PROMPTFLOW_<FIELD>, upper case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    redis_url: str = Field("redis://127.0.0.1:6379/0", description="`redis://`, `rediss://` or `unix://`")
    data_dir: Path = Field(Path(".promptflow"), description="files, logs and the embedded Redis")
    models_dir: Path | None = Field(None, description="extra folder of models; the shipped ones are always there")
    cache_dir: Path = Field(Path("~/.cache/promptflow"), description="downloaded weights, by hash")
    executors: tuple[str, ...] = Field((), description="extra executors, `module:Class`, comma-separated")
    offline: bool = Field(False, description="never fetch weights")
    max_file_bytes: int = Field(32 << 20, gt=0, description="largest file that a request may carry")
    keep_finished_s: int = Field(7 * 24 * 3600, gt=0, description="how long a run and its files stay after its end")
    intra_op_threads: int = Field(1, gt=0, description="threads inside one model run")
    publish_token: str = Field(
        "", repr=False, description="who may publish from beyond this machine, as a bearer token"
    )
    log_level: str = "INFO"

    @field_validator("redis_url")
    @classmethod
    def _is_redis_url(cls, url: str) -> str:
        if not _is_redis_url(url):
            raise ValueError("write `redis://HOST:PORT/0`, `rediss://HOST:PORT/0` or `unix:///PATH`")
        return url

    @property
    def files_dir(self) -> Path:
        """The file store that server and workers share."""
        return self.data_dir / "files"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read PROMPTFLOW_*; variables that are no setting are left alone.

        Raises:
            pydantic.ValidationError: a value does not fit.
        """
        values: dict[str, object] = {}
        for name in cls.model_fields:
            text = environment.get(PREFIX + name.upper())
            if text is not None:
                values[name] = tuple(filter(None, text.split(","))) if name == "executors" else text
        settings = cls.model_validate(values)
        return settings.model_copy(
            update={"cache_dir": settings.cache_dir.expanduser(), "data_dir": settings.data_dir.resolve()}
        )


def _is_redis_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return bool(parts.path)
        return parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
