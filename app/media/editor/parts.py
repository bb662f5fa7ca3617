"""What every part of an editor's timeline is made of: objects that take null for absent, and numbers."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_SECONDS = 6 * 3600
MAX_SIDE_PIXELS = 4096

# Strict: a number in quotes, or true, is a mistake that its sender wants to hear of.
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Seconds = Annotated[Number, Field(ge=0, le=MAX_SECONDS)]
Share = Annotated[Number, Field(ge=0, le=1)]
Pixels = Annotated[Number, Field(ge=0, le=MAX_SIDE_PIXELS)]
Flag = Annotated[bool, Field(strict=True)]


class Part(BaseModel):
    """An object of a timeline; null means absent, and fields nobody knows are passed over (contract §1.6)."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_alias=True, validate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: field for name, field in value.items() if field is not None}
        return value
