"""Cases of a benchmark: the options varied, the repetitions, the baseline."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from raysync.emulator import Form, GuildSpec, Limits
from tests.bench.discord_process import Offer, discord_limits, discord_process
from tests.bench.figures import (
    DENSEST,
    MESSAGES,
    REFUSALS,
    REQUESTS,
    SECONDS,
    TOLD,
    WALL,
    Run,
    efficiency_at,
    machine,
    table,
)
from tests.bench.harness import laboratory


@dataclass(frozen=True, slots=True)
class Options:
    """Options that the command line varies; every combination is a case."""

    workers: tuple[int, ...] = (10,)
    latencies_ms: tuple[float, ...] = (0.0,)
    forms: tuple[Form, ...] = (Form.FIXED,)
    budget: float = 48.0  #: requests a second
    repeat: int = 1  #: runs of each case; medians are printed
    baseline: bool = True
    by_second: bool = False  #: also tell how many requests came in each second


@dataclass(frozen=True, slots=True)
class Case:
    """Guild, and the options of reading it."""

    spec: GuildSpec
    channels: int  #: text channels of it
    baseline_channels: int  #: as many as the baseline reads
    limits: Callable[[Form], Limits] = lambda form: discord_limits(global_form=form)
    channel_pages_per_s: float = 1.0  #: what *limits* allow a channel


@dataclass(frozen=True, slots=True)
class Measured:
    """Runs of every case, by name, and of the baseline."""

    case: Case
    runs: Mapping[str, Sequence[Run]]
    baseline: Run | None

    def compared(self) -> str:
        """Compare the baseline's time for the whole guild with the cases' times."""
        if self.baseline is None:
            return ""
        share = self.case.channels / self.case.baseline_channels
        whole_s = self.baseline.took_s * share
        every = [run.took_s for runs in self.runs.values() for run in runs]
        return (
            f"\nOne discord.py client, channel after channel: {self.baseline.took_s:.1f} s for "
            f"{self.case.baseline_channels} channels, {whole_s:,.0f} s for {self.case.channels} "
            f"({self.baseline.messages_per_s:,.0f} messages/s, {self.baseline.refused} x 429).\n"
            f"raysync is {whole_s / max(every):.1f} to {whole_s / min(every):.1f} times faster."
        )


def print_cases(title: str, case: Case, chosen: Options) -> None:
    """Measure, and print a table and the comparison with the baseline."""
    print(f"{title}, budget {chosen.budget:g}/s; {machine()}", flush=True)
    measured = measure_cases(case, chosen)
    efficiency = efficiency_at(chosen.budget, case.channel_pages_per_s)
    columns = (SECONDS, efficiency, TOLD, MESSAGES, REQUESTS, REFUSALS, DENSEST, WALL)
    print(table("global limit, latency, workers", measured.runs, *columns))
    print(measured.compared())


def measure_cases(case: Case, chosen: Options) -> Measured:
    """Run the baseline, then every combination of *chosen*; print each run as it ends."""
    runs: dict[str, list[Run]] = {}
    walked = None
    settings = {
        "SYNC_GLOBAL_REQUESTS_PER_SECOND": str(chosen.budget),
        "SYNC_CHANNEL_PAGES_PER_SECOND": str(case.channel_pages_per_s),
    }
    with laboratory() as lab:
        for form in chosen.forms:
            for latency_ms in chosen.latencies_ms:
                offer = Offer(case.spec, case.limits(form), latency_ms / 1000)
                with discord_process(offer) as discord:
                    if chosen.baseline and walked is None:
                        walked = lab.walk(discord, case.baseline_channels)
                        _tell("baseline", walked)
                    for workers in chosen.workers:
                        name = f"{form}, {latency_ms:g} ms, {workers}"
                        runs[name] = []
                        for _ in range(chosen.repeat):
                            runs[name].append(lab.sync(discord, workers, settings))
                            _tell(name, runs[name][-1], by_second=chosen.by_second)
    return Measured(case, runs, walked)


def _tell(name: str, run: Run, *, by_second: bool = False) -> None:
    print(
        f"  {name}: {run.took_s:.2f} s, {run.messages:,} messages, {run.refused} x 429", flush=True
    )
    if by_second:
        print(f"    requests by second: {' '.join(map(str, run.by_second()))}", flush=True)


def options(description: str | None, defaults: Options) -> Options:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--workers", type=_integers, default=defaults.workers)
    parser.add_argument("--latency-ms", type=_numbers, default=defaults.latencies_ms)
    parser.add_argument("--form", type=_forms, default=defaults.forms, help="of the global limit")
    parser.add_argument("--budget", type=float, default=defaults.budget, help="requests a second")
    parser.add_argument("--repeat", type=int, default=defaults.repeat)
    parser.add_argument("--no-baseline", dest="baseline", action="store_false")
    parser.add_argument("--by-second", action="store_true", help="tell where a run idles")
    given = parser.parse_args()
    varied = given.workers, given.latency_ms, given.form
    return Options(*varied, given.budget, given.repeat, given.baseline, given.by_second)


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(each) for each in text.split(","))


def _forms(text: str) -> tuple[Form, ...]:
    return tuple(Form(each) for each in text.split(","))
