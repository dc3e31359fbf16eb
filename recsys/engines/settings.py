"""Where long work runs."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class EngineSettings(BaseModel):
    """Where work is done that falls into parts; what comes of it is the same everywhere.

    Attributes
    ----------
    kind
        `"process"`, part after part in one process; `"ray"`, a task for each part on a Ray cluster, which takes the
        extra `ray`.
    address
        Of the head of a cluster to join, such as `"10.0.0.5:6379"`, from a machine that is one of its nodes; when
        empty, a cluster of this machine alone is started, and ends with the work.
    cpus
        Processors that a task takes.
    gpus
        GPUs that a task takes which reads texts.
    memory
        GiB of memory that a task takes at most, by which a node is given no more tasks than fit; not looked at when 0.
    retries
        How often a part is begun again, of which the worker or the node died.
    growers
        Workers that grow trees together in a training, each of which holds its own lists alone; one process grows them
        when 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["process", "ray"] = "process"
    address: str = ""
    cpus: float = Field(default=1, ge=0.01, le=10_000)
    gpus: float = Field(default=0, ge=0, le=10_000)
    memory: float = Field(default=0, ge=0, le=1_000_000)
    retries: int = Field(default=3, ge=0)
    growers: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _has_a_cluster(self) -> "EngineSettings":
        if self.kind == "process":
            for name, said in {"address": self.address, "growers": self.growers}.items():
                if said not in ("", 1):
                    raise ValueError(f'{name} = {said!r} speaks of a cluster; set kind = "ray", or leave it out')
        return self


ONE_PROCESS = EngineSettings()
"""Nothing but this process."""
