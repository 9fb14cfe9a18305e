"""What a month costs on one model and on another: calls x tokens x price per million, nothing else."""

from dataclasses import dataclass

MONTHS = 12


@dataclass(frozen=True, slots=True)
class Savings:
    """US dollars for `calls` a month on the first model and on the second; negative: the second costs more."""

    calls: int
    first_usd: float
    second_usd: float

    @property
    def month_usd(self) -> float:
        return self.first_usd - self.second_usd

    @property
    def year_usd(self) -> float:
        return self.month_usd * MONTHS

    @property
    def share(self) -> float | None:
        """Of the first model's cost; None where that is nothing."""
        return self.month_usd / self.first_usd if self.first_usd else None


def savings(first_call_usd: float | None, second_call_usd: float | None, calls: int) -> Savings | None:
    """None: a price or a usage is not known."""
    if first_call_usd is None or second_call_usd is None:
        return None
    return Savings(calls, first_call_usd * calls, second_call_usd * calls)
