"""Commands for a Kubernetes cluster that is there to be tried."""

import typer

from waybill.cli.common import run, screen
from waybill.cluster import deploying, trial

commands = typer.Typer(help="A Kubernetes cluster to try Waybill on, by the current context.", no_args_is_help=True)


@commands.command()
def up() -> None:
    """Deploy overlays/local and wait until all of it is ready."""
    run(deploying.up(screen.say))
    screen.say("ready: kubectl --namespace waybill-tryout port-forward service/orchestrator 8001:8080")


@commands.command()
def test() -> None:
    """Let orders flow while pods are replaced, multiplied, deleted and killed; then audit."""
    run(trial.test(screen.say))


@commands.command()
def down() -> None:
    """Delete the namespace, with all orders."""
    run(deploying.down(screen.say))
