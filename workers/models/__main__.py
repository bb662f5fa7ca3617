"""`capture models`: what the engines use, bringing it to this machine, and trying it."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import click

from app.base.errors import CaptureError
from app.base.settings import get_settings
from workers.models.checks import Verdict, check_engines
from workers.models.fetching import fetch_image_text, fetch_speech
from workers.models.listing import Model, list_models
from workers.models.packages import Progress

_OPTIONAL = "image_text"  # nothing that was asked for is missing without it


class _Commands(click.Group):
    """Shows an expected failure as one message and exit status 1, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except CaptureError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def models() -> None:
    """The models that the engines use."""


@models.command("list")
def list_command() -> None:
    """Show what each engine uses, where it is from, its size, and whether it is on this machine."""
    for model in list_models(get_settings()):
        click.echo(_line(model))
        if model.missing:
            click.echo(f"{'':12} {model.missing}")


@models.command("fetch")
@click.argument("name", required=False)
def fetch_command(name: str | None) -> None:
    """Bring a model to this machine: `image_text`, or a speech model by its name, as `base`.

    Without NAME: what the settings ask for and is not here. A hub is asked first; where none answers,
    packages bring what they carry.
    """
    settings = get_settings()
    missing = [model.engine for model in list_models(settings) if model.missing]
    if name is None and not missing:
        click.echo("everything is here: `capture models check` tries it")
        return
    if name == "image_text" or (name is None and "image_text" in missing):
        place = fetch_image_text(settings, click.echo, _bar)
        click.echo(f"image_text: {place}")
    speech = name if name != "image_text" else None
    if name is None and "speech" in missing:
        speech = settings.speech_model
    if speech is not None:
        place = fetch_speech(settings, speech, click.echo, _bar)
        click.echo(f"speech: {place}\nCAPTURE_SPEECH_MODEL={speech} lets it be used")


@models.command("check")
def check_command() -> None:
    """Load each engine and try it on something small and real."""
    verdicts = check_engines(get_settings(), lambda verdict: click.echo(_tried(verdict)))
    fine = {("OK", one.engine) for one in verdicts} | {("missing", _OPTIONAL)}
    failed = [one.engine for one in verdicts if (one.state, one.engine) not in fine]
    if failed:
        raise click.ClickException(f"not all is well: {', '.join(failed)}")


def _line(model: Model) -> str:
    state = "missing" if model.missing else "present"
    size = f"{model.bytes / 1e6:.0f} MB" if model.bytes else "-"
    return f"{model.engine:12} {state:8} {size:>7}  {model.model}, from {model.source}"


def _tried(verdict: Verdict) -> str:
    return f"{verdict.engine:12} {verdict.state:8} {verdict.words} ({verdict.seconds:.1f} s)"


@contextmanager
def _bar(label: str, total_bytes: int) -> Iterator[Progress]:
    with click.progressbar(length=total_bytes, label=label, show_percent=True) as shown:
        yield shown.update


if __name__ == "__main__":
    # Libraries warn about each other, and whoever runs this cannot do anything about it.
    warnings.simplefilter("ignore")
    logging.getLogger().setLevel(logging.ERROR)
    models(prog_name="capture models")
