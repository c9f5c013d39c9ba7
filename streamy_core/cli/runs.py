"""`flask streamy runs`: those that go on, stopping one, and ending those that are lost."""

from __future__ import annotations

import click

from ..binding import Binding
from .bound import with_binding
from .shell import say, say_table


@click.command()
@click.option("--stop", "to_stop", metavar="STREAM", help="Have the run of this stream stopped.")
@click.option(
    "--sweep",
    is_flag=True,
    help="End the runs that nobody holds any more, as lost. Takes as long as the longest lease.",
)
@with_binding
def runs(binding: Binding, to_stop: str | None, sweep: bool) -> None:
    """List the runs that go on: stream, key, lease in seconds, and whether a process tells of it.

    A process that has clients sweeps by itself.
    """
    if to_stop is not None and sweep:
        raise click.UsageError("give one of --stop and --sweep")
    if to_stop is not None:
        binding.runs.stop(to_stop)
    elif sweep:
        lost = binding.runs.sweeper().sweep()
        for stream_id in lost:
            say(stream_id)
        click.echo(f"Ended as lost: {len(lost)} {'run' if len(lost) == 1 else 'runs'}.", err=True)
    else:
        found = binding.runs.sweeper().running()
        rows = [
            (run.stream_id, run.key or "-", f"{run.lease:g}", "yes" if run.told else "no") for run in found
        ]
        say_table(("STREAM", "KEY", "LEASE", "TOLD"), rows)
