"""SVG picture of the timeline: workers from top to bottom, each with its lanes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from raysync.cli.job_report.drawing import AXIS_HEIGHT, svg, time_axis, time_lines
from raysync.cli.job_report.lanes import Block, Timeline
from raysync.cli.output import words
from raysync.models.history import ChannelHistory
from raysync.models.ids import ChannelId
from raysync.models.status import ChannelJobStatus

NAMED = 8
"""Number of largest channels with a colour of their own."""
_HEIGHT = 900
_LANE_HEIGHTS = (4, 18)
_WORKER_HEIGHT = 22
_LABELLED_SHARE, _LABELLED_HEIGHT = 0.09, 12  # share of the width; pixels
_SPARSE_SHARE = 0.75
_NAME_LENGTH = 40
_WIDE_SHARE = 0.3  # share of the width that fits a name on a phone
_LEAST_WIDTH = 0.12  # in percent
_HATCHING = Markup(
    '<defs><pattern id="hatching" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect class="hatch-ground" width="6" height="6"/>'
    '<line class="hatch" x1="0" y1="0" x2="0" y2="6"/></pattern></defs>'
)


def largest_first(channels: Iterable[ChannelHistory]) -> list[ChannelHistory]:
    """Sort the channels that were read by messages, in descending order."""
    read = [channel for channel in channels if channel.messages]
    return sorted(read, key=lambda channel: (-channel.messages, channel.channel_id))


def styles_of(channels: Sequence[ChannelHistory]) -> dict[ChannelId, str]:
    """Return the style class of each channel that has its own: the largest, and the failed."""
    named = enumerate(largest_first(channels)[:NAMED], start=1)
    styles = {channel.channel_id: f"c{number}" for number, channel in named}
    failed = (channel for channel in channels if channel.status is ChannelJobStatus.FAILED)
    return styles | {channel.channel_id: "failed" for channel in failed}


def timeline_picture(timeline: Timeline, channels: Sequence[ChannelHistory]) -> Markup:
    """Draw the timeline, with a bounded height and size."""
    by_id = {channel.channel_id: channel for channel in channels}
    styles = styles_of(channels)
    lanes = sum(len(worker.lanes) for worker in timeline.workers)
    room = _HEIGHT - _WORKER_HEIGHT * len(timeline.workers)
    lane_height = min(max(room // lanes, _LANE_HEIGHTS[0]), _LANE_HEIGHTS[1])
    bottom = AXIS_HEIGHT + len(timeline.workers) * _WORKER_HEIGHT + lanes * lane_height
    drawn = [
        _HATCHING,
        time_axis(timeline.length_s, AXIS_HEIGHT - 6),
        time_lines(timeline.length_s, AXIS_HEIGHT, bottom),
    ]
    y = AXIS_HEIGHT
    for worker in timeline.workers:
        label = words.printable(worker.worker_id)
        y += _WORKER_HEIGHT
        drawn.append(Markup('<text class="worker" x="0" y="{}">{}</text>').format(y - 5, label))
        for lane in worker.lanes:
            drawn += [
                _drawn(block, timeline.length_s, y, lane_height, by_id, styles) for block in lane
            ]
            y += lane_height
    drawn.append(time_axis(timeline.length_s, bottom + 15))
    title = "Channels by worker over time"
    return svg("timeline", title, _description(timeline), bottom + AXIS_HEIGHT, drawn)


def _drawn(
    block: Block,
    length_s: float,
    y: int,
    lane_height: int,
    channels: Mapping[ChannelId, ChannelHistory],
    styles: Mapping[ChannelId, str],
) -> Markup:
    share = (block.until_s - block.from_s) / length_s
    (first, *others) = block.channels
    style = "several" if others else styles.get(first, "other")
    if _is_sparse(block):
        style += " sparse"
    name = words.counted(len(block.channels), "channel") if others else _name(channels[first])
    rect = Markup(
        '<rect class="{}" x="{:.2f}%" y="{}" width="{:.2f}%" height="{}"><title>{}</title></rect>'
    ).format(
        style,
        100 * block.from_s / length_s,
        y,
        max(100 * share, _LEAST_WIDTH),
        lane_height - 1,
        _tooltip(block, name, None if others else channels[first]),
    )
    if others or share < _LABELLED_SHARE or lane_height < _LABELLED_HEIGHT:
        return rect
    return rect + Markup(
        '<svg x="{:.2f}%" y="{}" width="{:.2f}%" height="{}"><text class="on-{}{}" x="4" y="{}">'
        "{}</text></svg>"
    ).format(
        100 * block.from_s / length_s,
        y,
        100 * share,
        lane_height - 1,
        styles.get(first, "other"),
        "" if share >= _WIDE_SHARE else " narrow",
        lane_height // 2 + 4,
        name,
    )


def _is_sparse(block: Block) -> bool:
    return block.visits > 1 and block.read_s < _SPARSE_SHARE * (block.until_s - block.from_s)


def _name(channel: ChannelHistory) -> str:
    name = words.printable(channel.name)
    return f"#{name}" if len(name) <= _NAME_LENGTH else f"#{name[: _NAME_LENGTH - 1]}…"


def _tooltip(block: Block, name: str, channel: ChannelHistory | None) -> str:
    """Return the tooltip of a block."""
    when = f"{words.clock(block.from_s)} to {words.clock(block.until_s)}"
    visits = words.counted(block.visits, "visit")
    tooltip = f"{name}: {when}, {visits}, {words.seconds(block.read_s)} of reading"
    if channel is None:
        return tooltip
    return (
        f"{tooltip}; {words.counted(channel.messages, 'message')} in total, {channel.status.value}"
    )


def _description(timeline: Timeline) -> str:
    """Return the content of the picture in words, for screen readers."""
    workers = words.counted(len(timeline.workers), "worker")
    return " ".join([f"{workers} over {words.seconds(timeline.length_s)}.", *caption(timeline)])


def caption(timeline: Timeline) -> list[str]:
    """Return how the channels are drawn, and how many are omitted, in sentences."""
    sentences = [f"{words.counted(len(timeline.alone), 'channel')} drawn individually."]
    if any(
        _is_sparse(block) for worker in timeline.workers for lane in worker.lanes for block in lane
    ):
        sentences.append("A paler block shows several visits and the pauses between them.")
    if timeline.together:
        sentences.append(
            f"{words.counted(len(timeline.together), 'channel')} too short to draw "
            "individually, merged into hatched blocks."
        )
    if timeline.not_drawn:
        sentences.append(f"{words.counted(timeline.not_drawn, 'smaller channel')} not drawn.")
    if timeline.not_read:
        sentences.append(f"{words.counted(timeline.not_read, 'channel')} not read.")
    if timeline.workers_left_out:
        sentences.append(f"{words.counted(timeline.workers_left_out, 'more worker')} not drawn.")
    if not timeline.is_exact:
        sentences.append(
            "The version that ran the job stored no visits: a channel is drawn from its start to "
            "its end, as if its last worker had read it without a pause."
        )
    return sentences
