"""The tables. Times are UTC epoch seconds."""

from sqlalchemy import JSON, BigInteger, Column, Double, ForeignKey, Index, Integer, MetaData, String, Table

metadata = MetaData()

keys = Table(
    "keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("epoch", Integer, nullable=False),
    Column("policy", JSON, nullable=False),
)

# A rotated key keeps its row above; here it has two rows for a while. The current one is the one that does not expire.
key_secrets = Table(
    "key_secrets",
    metadata,
    Column("digest", String, primary_key=True),
    Column("key_id", String, ForeignKey("keys.id"), nullable=False, index=True),
    Column("prefix", String, nullable=False),
    Column("last4", String, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
)

# One row per request of a known key. The caller may choose its request's id, so the id alone is not unique: whoever
# always sent the same would be billed once. No foreign key: a row must not wait for ever for a key that is gone.
usage = Table(
    "usage",
    metadata,
    Column("key_id", String, primary_key=True),
    Column("begun_at", Double, primary_key=True, index=True),
    Column("request_id", String, primary_key=True),
    Column("route", String, nullable=False),
    Column("model", String),
    Column("upstream", String),
    Column("status", Integer, nullable=False),
    Column("end", String, nullable=False),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cost_usd", Double),
    Column("duration_ms", Double, nullable=False),
    Column("ttft_ms", Double),
    Column("bytes_out", BigInteger, nullable=False),
    Column("frames_out", BigInteger, nullable=False),
)

# A client token is not stored, but its end is, until it would have expired anyhow.
revoked_tokens = Table(
    "revoked_tokens",
    metadata,
    Column("key_id", String, primary_key=True),
    Column("token_id", String, primary_key=True),
    Column("kept_until", Double, nullable=False, index=True),
)

# What a key has spent of its budget in one day or month, in whole nanodollars, so that sums are exact. A row for each
# period; `estimated`: the part of `spent` that no upstream told.
budgets = Table(
    "budgets",
    metadata,
    Column("key_id", String, primary_key=True),
    Column("period", String, primary_key=True),
    Column("spent", BigInteger, nullable=False),
    Column("estimated", BigInteger, nullable=False),
)

# What running requests may still spend, in nanodollars; a killed process leaves its own until they expire.
reservations = Table(
    "reservations",
    metadata,
    Column("id", String, primary_key=True),
    Column("key_id", String, nullable=False),
    Column("period", String, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index("reservations_of", "key_id", "period"),
)
