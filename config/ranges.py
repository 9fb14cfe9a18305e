"""What one value may be. The description is what an operator reads after "must be"."""

from typing import Annotated, Literal

from msgspec import Meta

Flag = Annotated[bool, Meta(description="true or false")]
Text = Annotated[str, Meta(description="a string")]
Texts = Annotated[tuple[str, ...], Meta(description="a list of strings")]
Visible = Annotated[str, Meta(pattern=r"^[!-~]*\Z", description="a string of visible ASCII characters, without spaces")]
Label = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z", description="1 to 64 letters, digits, dots, dashes or underscores")
]
VariableName = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?\Z",
        description="the name of an environment variable, or empty (the key itself never stands in the file)",
    ),
]
PathPrefix = Annotated[
    str,
    Meta(
        pattern=r"^(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._~-]+)*\Z",
        description='empty, or a plain path like "/sse" that begins with "/" and does not end with one',
    ),
]
UrlPath = Annotated[str, Meta(pattern=r"^/[!-~]*\Z", description='a path that begins with "/", without spaces')]

WEEK = 604_800
Seconds = Annotated[float, Meta(gt=0, le=WEEK, description=f"a number above 0 and at most {WEEK}")]
SecondsOrZero = Annotated[float, Meta(ge=0, le=WEEK, description=f"a number from 0 to {WEEK}")]
# gunicorn takes whole seconds here and 0 would be no limit at all, so less than one is refused
KeepaliveSeconds = Annotated[float, Meta(ge=1, le=3600, description="a number from 1 to 3600")]
TokenSeconds = Annotated[float, Meta(ge=10, le=86_400, description="a number from 10 to 86400")]
Workers = Annotated[int, Meta(ge=1, le=256, description="a whole number from 1 to 256")]
# admission sheds 64 below it: with 64 or fewer nobody would be let in
Connections = Annotated[int, Meta(ge=65, le=100_000, description="a whole number from 65 to 100000")]
Proxies = Annotated[int, Meta(ge=0, le=16, description="a whole number from 0 to 16")]
Count = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")]
Tokens = Annotated[int, Meta(ge=0, le=10**12, description="a whole number from 0 (no limit) to 1000000000000")]
Bytes = Annotated[int, Meta(ge=256, le=2**40, description=f"a whole number from 256 to {2**40}")]
BytesOrZero = Annotated[int, Meta(ge=0, le=2**50, description=f"a whole number from 0 (no limit) to {2**50}")]
Dollars = Annotated[float, Meta(ge=0, le=10**9, description="a number from 0 to 1000000000")]
SelftestFrames = Annotated[int, Meta(ge=1, le=200, description="a whole number from 1 to 200")]
SelftestMs = Annotated[int, Meta(ge=10, le=5000, description="a whole number from 10 to 5000")]

Period = Annotated[Literal["day", "month"], Meta(description='"day" or "month"')]
OnStoreError = Annotated[Literal["local", "deny"], Meta(description='"local" or "deny"')]
AuthStyle = Annotated[Literal["bearer", "x-api-key"], Meta(description='"bearer" or "x-api-key"')]
