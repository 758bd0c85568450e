"""The timeline as a picture: workers one below the other, what each read side by side in lanes."""

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
"""So many of the largest channels have a colour of their own."""
_HEIGHT = 900
_LANE_HEIGHTS = (4, 18)
_WORKER_HEIGHT = 22
_LABELLED_SHARE, _LABELLED_HEIGHT = 0.09, 12  # of the width; in pixels
_SPARSE_SHARE = 0.75
_NAME_LENGTH = 40
_WIDE_SHARE = 0.3  # enough for a name on a phone
_LEAST_WIDTH = 0.12  # in percent
_HATCHING = Markup(
    '<defs><pattern id="hatching" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect class="hatch-ground" width="6" height="6"/>'
    '<line class="hatch" x1="0" y1="0" x2="0" y2="6"/></pattern></defs>'
)


def largest_first(channels: Iterable[ChannelHistory]) -> list[ChannelHistory]:
    """The channels that were read, those with the most messages first."""
    read = [each for each in channels if each.messages]
    return sorted(read, key=lambda each: (-each.messages, each.channel_id))


def styles_of(channels: Sequence[ChannelHistory]) -> dict[ChannelId, str]:
    """The classes of those channels that are not like all others."""
    named = enumerate(largest_first(channels)[:NAMED], start=1)
    styles = {each.channel_id: f"c{number}" for number, each in named}
    failed = (each for each in channels if each.status is ChannelJobStatus.FAILED)
    return styles | {each.channel_id: "failed" for each in failed}


def timeline_picture(timeline: Timeline, channels: Sequence[ChannelHistory]) -> Markup:
    """The picture, of bounded height and size."""
    names = {each.channel_id: each for each in channels}
    styles = styles_of(channels)
    lanes = sum(len(each.lanes) for each in timeline.workers)
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
                _drawn(each, timeline.length_s, y, lane_height, names, styles) for each in lane
            ]
            y += lane_height
    drawn.append(time_axis(timeline.length_s, bottom + 15))
    title = "Which worker read which channel when"
    return svg("timeline", title, _in_words(timeline), bottom + AXIS_HEIGHT, drawn)


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
        _told(block, name, None if others else channels[first]),
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


def _told(block: Block, name: str, channel: ChannelHistory | None) -> str:
    """What a pointer that rests on the block is told."""
    when = f"{words.clock(block.from_s)} to {words.clock(block.until_s)}"
    visits = words.counted(block.visits, "visit")
    told = f"{name}: {when}, {visits}, {words.seconds(block.read_s)} of reading"
    if channel is None:
        return told
    return f"{told}; {words.counted(channel.messages, 'message')} in all, {channel.status.value}"


def _in_words(timeline: Timeline) -> str:
    """What the picture shows, for those who do not see it, and below it for all."""
    workers = words.counted(len(timeline.workers), "worker")
    return " ".join([f"{workers} over {words.seconds(timeline.length_s)}.", *caption(timeline)])


def caption(timeline: Timeline) -> list[str]:
    """How many channels are drawn how, and what is left out."""
    told = [f"{words.counted(len(timeline.alone), 'channel')} drawn one by one."]
    if any(
        _is_sparse(each) for worker in timeline.workers for lane in worker.lanes for each in lane
    ):
        told.append("A paler block stands for several visits and the pauses between them.")
    if timeline.together:
        told.append(
            f"{words.counted(len(timeline.together), 'channel')} read too briefly to be seen "
            "alone, drawn together in hatched blocks."
        )
    if timeline.not_drawn:
        told.append(f"{words.counted(timeline.not_drawn, 'smaller channel')} not drawn.")
    if timeline.not_read:
        told.append(f"{words.counted(timeline.not_read, 'channel')} not read.")
    if timeline.workers_left_out:
        told.append(f"{words.counted(timeline.workers_left_out, 'more worker')} not drawn.")
    if not timeline.is_exact:
        told.append(
            "The version that ran the job kept no visits: a channel is drawn from when it was "
            "begun to its end, as if one worker had read it all the while."
        )
    return told
