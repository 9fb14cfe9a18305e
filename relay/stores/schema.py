"""The tables. Times are UTC epoch seconds."""

from sqlalchemy import JSON, Column, Double, ForeignKey, Integer, MetaData, String, Table

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
