"""All faults by name."""

from relay.demo.faults.case import Fault
from relay.demo.faults.endings import ENDINGS
from relay.demo.faults.frames import FRAMES
from relay.demo.faults.heads import HEADS
from relay.demo.faults.statuses import STATUSES

FAULTS: dict[str, Fault] = STATUSES | HEADS | ENDINGS | FRAMES
