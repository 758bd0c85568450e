"""Commands `raysync emulator`: the Discord emulator as a program of its own."""

import typer

from raysync.cli.emulator import options
from raysync.cli.emulator.options import (
    BucketChoice,
    GlobalChoice,
    HeadersChoice,
    LimitsChoice,
    MissingChoice,
    Preset,
)
from raysync.cli.emulator.plan import EmulatorPlan, GuildSource, bot_tokens, fault_rules, quirks
from raysync.cli.emulator.server import run_emulator
from raysync.cli.output.streams import keep_exit_code

app = typer.Typer(
    help="Run an emulated Discord, for trials, tests and benchmarks.", no_args_is_help=True
)


@app.callback()
def emulator() -> None:
    """Keep `serve` a command of its own."""


@app.command()
def serve(
    host: options.Host = "127.0.0.1",
    port: options.Port = 8750,
    corpus: options.Corpus = None,
    preset: options.PresetOption = Preset.TINY,
    messages: options.Messages = None,
    channels: options.Channels = None,
    seed: options.Seed = 1,
    guilds: options.Guilds = 1,
    token: options.Tokens = None,
    guild_id: options.GuildIds = None,
    limits: options.LimitsOption = LimitsChoice.DISCORD,
    bucket: options.Bucket = BucketChoice.SLIDING,
    headers: options.HeadersOption = HeadersChoice.HONEST,
    global_limit: options.GlobalLimit = 50,
    global_form: options.GlobalForm = GlobalChoice.FIXED,
    latency_ms: options.LatencyMs = 0.0,
    faults: options.Faults = None,
    missing_route: options.MissingRoutes = None,
    missing_form: options.MissingForm = MissingChoice.DISCORD,
    speed: options.Speed = 1.0,
    ready_file: options.ReadyFile = None,
) -> None:
    """Serve guilds over HTTP until interrupted."""
    from raysync.emulator import Form, Headers, Latency, Limits

    is_leaky = global_form is GlobalChoice.LEAKY
    plan = EmulatorPlan(
        guilds=GuildSource(corpus, preset, messages, channels, seed).guilds(guilds, guild_id),
        tokens=bot_tokens(token, guilds),
        limits=Limits(
            enabled=limits is LimitsChoice.DISCORD,
            bucket_form=Form(bucket),
            headers=Headers(headers),
            global_limit=global_limit,
            global_form=Form.SLIDING if is_leaky else Form(global_form),
            speed=speed,
        ),
        quirks=quirks(missing_route or (), missing_form),
        faults=fault_rules(faults),
        latency=Latency(latency_ms / 1000) if latency_ms else None,
        host=host,
        port=port,
        ready_file=ready_file,
    )
    keep_exit_code()
    run_emulator(plan)
