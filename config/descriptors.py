"""Whether the process may open as many descriptors as its connections need."""

import resource

from config.settings import ConfigError, Settings

# Of one request: its caller's connection and its upstream's.
PER_CONNECTION = 2
# The database, Redis, the log, the listener, the loop, a file that is read now and then.
BESIDE_CONNECTIONS = 128


def claim_descriptors(settings: Settings) -> None:
    """Raise the process's own limit as far as it needs and may. Raises ConfigError where that is not enough."""
    needed = settings.server.connections_per_worker * PER_CONNECTION + BESIDE_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        connections = settings.server.connections_per_worker
        raise ConfigError(
            [
                f"[server] connections_per_worker = {connections} needs {needed} open files, and this process may have "
                f"{hard}: lower it to {max(0, (hard - BESIDE_CONNECTIONS) // PER_CONNECTION)}, or raise ulimit -n"
            ]
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
