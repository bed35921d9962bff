"""Remuxing: upscaled video joined with all that its source holds besides, copied as it is."""

import contextlib
import datetime
import heapq
import io
import math
import os
import pathlib
import struct

import av
from av.stream import Discard, Disposition

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError, UserError

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
COVERS = {"mjpeg": "jpg", "png": "png"}  # {coding: suffix} of cover pictures in Matroska
# Metadata that describe the source's file and coding, not its content; the writer makes its own.
OWN_KEYS = ("encoder", "major_brand", "minor_version", "compatible_brands", "duration", "vendor_id", "handler_name")
OWN_PREFIXES = ("bps", "number_of_", "_statistics_", "duration-")
# Metadata that MP4 has standard places for; any other goes into QuickTime's open list of keys, in place of them.
MP4_KEYS = set(
    """title artist album_artist album composer date genre comment copyright description synopsis grouping lyrics show
    episode_id network keywords track disc creation_time language location""".split()  # noqa: SIM905
)


def open_source(path: str | os.PathLike) -> av.container.InputContainer:
    """Open a video file. Raises UserError where it cannot be read."""
    # FFmpeg takes what stands before a colon for a protocol, but not in an absolute path; so everywhere here.
    try:
        return av.open(os.path.abspath(path), metadata_errors="replace")
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from error
    except av.FFmpegError as error:
        log = f" ({error.log[2].strip()})" if error.log else ""
        raise UserError(f"{path} is no video, or damaged or unfinished{log}") from error


def main_stream(container: av.container.InputContainer, source: pathlib.Path) -> av.VideoStream:
    """The video stream to upscale: the default one, or the first that is no still picture. Raises UserError."""
    videos = [stream for stream in container.streams.video if not stream.disposition & STILL]
    if not videos:
        raise UserError(f"{source} has no video stream; name an image or a video")
    stream = max(videos, key=lambda stream: bool(stream.disposition & Disposition.default))
    if stream.codec_context is None:
        raise UserError(f"{source}: this PyAV cannot decode its video")
    return stream


def copied_streams(container, video: av.VideoStream, target: pathlib.Path) -> tuple[list[int], list[str]]:
    """(numbers of the streams besides video that target can hold, what it cannot hold in words for the log)."""
    numbers, lost = [], []
    for stream in container.streams:
        if stream.index == video.index or _is_told(stream):
            continue
        if target.suffix.lower() == ".mov" and stream.disposition & Disposition.attached_pic:
            lost.append(_refused(stream, target))  # which its writer would pass over without a word
            continue
        try:
            with av.open(io.BytesIO(), "w", format=FORMATS[target.suffix.lower()]) as trial:
                if not _add_cover(trial, stream, b"trial"):
                    _add(trial, stream, stream)
                trial.start_encoding()
        except (av.FFmpegError, ValueError):
            lost.append(_refused(stream, target))
        else:
            numbers.append(stream.index)
            if stream.type == "video" and not stream.disposition & STILL:
                lost.append(f"video stream {stream.index} is copied at its size")
    return numbers, lost


def join(source: pathlib.Path, target: pathlib.Path, parts, frames, copied: list[int]) -> list[str]:
    """Write target: the parts' video in place of the source's main stream, and the streams of numbers `copied`.

    parts: Parts that hold all of frames. Returns what target does not hold of the source, in words for the log.
    """
    chain, copied, lost = parts.chain(), list(copied), []
    if sum(count for _, count in chain) != len(frames.times):
        raise StoppedError(f"{parts.folder} has changed while this ran; is another run at work there? Start again")
    with files.atomic_write(target) as path:
        while True:
            with open_source(source) as container:
                try:
                    _remux(container, path, chain, frames, copied)
                except _RefusedError as refused:
                    copied.remove(refused.stream.index)
                    lost.append(_refused(refused.stream, target))
                    continue
                if path.suffix.lower() in (".mp4", ".m4v", ".mov"):
                    _write_creation_time(path, container.metadata.get("creation_time", ""))
                with av.open(os.path.abspath(path), metadata_errors="replace") as result:
                    return lost + _missing(container, result, sorted([*copied, frames.index]))


class _RefusedError(Exception):
    """A format takes a stream, and then not its packets."""

    def __init__(self, stream):
        self.stream = stream


def _remux(container, path, chain, frames, copied):
    streams = [stream for stream in container.streams if stream.index in (*copied, frames.index)]
    shift = 0
    if container.format.flags & av.format.Flags.ts_discont.value:  # a clock that begins anywhere
        shift = min(stream.start_time * stream.time_base for stream in streams if stream.start_time is not None)
    covers = {stream.index: _first_packet(container, stream) for stream in streams if stream.disposition & STILL}
    name = FORMATS[path.suffix.lower()]
    options = _mov_options(container.metadata, streams) if name in ("mp4", "mov") else {}
    with (
        _blamed(streams),
        av.open(os.path.abspath(chain[0][0])) as part,
        av.open(os.path.abspath(path), "w", format=name, container_options=options) as out,
    ):
        out.metadata.update(_content(container.metadata))
        if "movflags" in options:
            out.metadata.pop("creation_time", None)  # _write_creation_time
        out.set_chapters(container.chapters())
        new = {}
        for stream in streams:
            if stream.index in covers and _add_cover(out, stream, covers[stream.index]):
                continue
            if stream.index != frames.index:
                new[stream.index] = _add(out, stream, stream)
                continue
            new[stream.index] = video = _add(out, part.streams.video[0], stream)
            for other in container.streams:
                if "timecode" in other.metadata:
                    video.metadata.setdefault("timecode", other.metadata["timecode"])
            video.codec_context.framerate = stream.average_rate or stream.guessed_rate or 25
            if frames.display_matrix is not None:
                video.set_display_matrix(frames.display_matrix)
        packets = heapq.merge(
            _video_packets(chain, frames, shift),
            _copied_packets(container, [container.streams[index] for index in new if index != frames.index], shift),
            key=lambda pair: pair[0].dts * pair[0].time_base,
        )
        for packet, index in packets:
            packet.stream = new[index]
            try:
                out.mux(packet)
            except av.FFmpegError as error:
                if index == frames.index or isinstance(error, OSError):
                    raise
                raise _RefusedError(container.streams[index]) from error


def _first_packet(container, stream):
    with open_source(container.name) as again:
        return bytes(next(again.demux(stream.index)))


@contextlib.contextmanager
def _blamed(streams):
    """Raise _RefusedError for the last data stream, where the format takes all packets, and then not the whole file."""
    try:
        yield
    except av.FFmpegError as error:
        data = [stream for stream in streams if stream.type == "data"]
        if isinstance(error, OSError) or not data:
            raise
        raise _RefusedError(data[-1]) from error


def _add_cover(out, stream, data):
    """Add a cover picture as Matroska has them, a file in it, and say whether it is one and Matroska it is."""
    kind = COVERS.get(stream.name) if stream.type == "video" else None
    if out.format.name != "matroska" or kind is None or not stream.disposition & Disposition.attached_pic:
        return False
    out.add_attachment(stream.metadata.get("filename", f"cover.{kind}"), f"image/{kind}".replace("jpg", "jpeg"), data)
    return True


def _add(out, template, source):
    """Add a stream of template's coding, with source's metadata and dispositions."""
    stream = out.add_stream_from_template(template, opaque=True)
    stream.metadata.clear()
    stream.metadata.update(_content(source.metadata))
    stream.disposition = source.disposition
    return stream


def _video_packets(chain, frames, shift):
    """(packet, number of its stream) of the parts in the order of decoding, with the frames' times and durations.

    Packets are decoded in their own order. The time of decoding of packet n is that of the frame that is shown `delay`
    frames before frame n, so that it rises across parts and lies before its own frame's time.
    """
    start = round(shift / frames.time_base)
    times = [time - start for time in frames.times]
    ends = [*times[1:], times[-1] + frames.last_duration]
    ranks = {time: rank for rank, time in enumerate(times)}
    delay, number = 0, 0
    for path, _ in chain:
        with av.open(os.path.abspath(path)) as part:
            delay = max(delay, part.streams.video[0].codec_context.reorder_depth)
    for path, _ in chain:
        first = times[number]
        with av.open(os.path.abspath(path)) as part:
            for packet in part.demux(video=0):
                if packet.size:
                    time = first + round(packet.pts * packet.time_base / frames.time_base)
                    packet.time_base, packet.pts, packet.duration = frames.time_base, time, ends[ranks[time]] - time
                    packet.dts = times[number - delay] if number >= delay else times[0] - (delay - number) * frames.step
                    number += 1
                    yield packet, frames.index


def _copied_packets(container, streams, shift):
    """(packet, number of its stream) of streams to copy, in the order of the file, with rising times of decoding."""
    for stream in container.streams:
        if stream not in streams:
            stream.discard = Discard.all
    last = {}
    for packet in container.demux(streams) if streams else ():
        if not packet.size and packet.pts is None:  # the end
            continue
        stream = packet.stream
        start = round(shift / stream.time_base)
        dts = packet.dts if packet.dts is not None else packet.pts
        dts = start if dts is None else dts
        if stream.index in last and dts <= last[stream.index] - (stream.type == "subtitle"):
            if packet.is_discard:  # cut off by an edit list
                continue
            dts = last[stream.index] + 1
        last[stream.index] = dts
        packet.pts, packet.dts = max(dts, packet.pts if packet.pts is not None else dts) - start, dts - start
        yield packet, stream.index


def _mov_options(metadata, streams):
    """Options of the MP4 writer: exact starts (edit lists count in the whole file's time base) and all metadata."""
    rates = [stream.codec_context.sample_rate for stream in streams if stream.type == "audio" and stream.codec_context]
    scale = math.lcm(*(stream.time_base.denominator for stream in streams), *filter(None, rates))
    options = {"movie_timescale": str(scale)} if scale < 2**31 else {}
    if {key.lower() for key in _content(metadata)} - MP4_KEYS:
        options["movflags"] = "use_metadata_tags"
    return options


def _write_creation_time(path, text):
    """Write the time into the header of an MP4 file (mvhd); its writer would write it there and among other keys."""
    try:
        time = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return
    time = time if time.tzinfo else time.replace(tzinfo=datetime.timezone.utc)
    seconds = round((time - datetime.datetime(1904, 1, 1, tzinfo=datetime.timezone.utc)).total_seconds())
    with open(path, "r+b") as file:
        while header := file.read(8):  # size and kind of a box
            size, kind = struct.unpack(">I4s", header)
            if kind == b"moov":
                version = file.read(9)[8]  # of the first box in it, mvhd
                file.seek(3, os.SEEK_CUR)
                file.write(struct.pack(">QQ" if version else ">II", seconds, seconds))
                return
            extra = 8 if size == 1 else 0
            size = struct.unpack(">Q", file.read(8))[0] if extra else size
            file.seek(size - 8 - extra, os.SEEK_CUR)


def _content(metadata):
    """Metadata that tell of the content, without those that tell how the source's file was made."""
    content = {}
    for key, value in metadata.items():
        own = key.lower() in OWN_KEYS or key.lower().startswith(OWN_PREFIXES)
        if not own and (key, value) != ("language", "und"):
            content["title" if key == "name" else key] = value  # MP4's name of a stream
    return content


def _missing(source, result, numbers):
    """What a result lacks of source's metadata, chapters and dispositions; numbers: of the streams that it has."""
    missing = [f"metadata {key}" for key in _lost_keys(source, result)]
    if len(source.chapters()) != len(result.chapters()):
        missing.append(f"chapters ({len(source.chapters())}, now {len(result.chapters())})")
    for old, new in _pairs([source.streams[number] for number in numbers], result.streams):
        if new is None:
            missing.append(_name(old))
            continue
        keys = [key for key in _lost_keys(old, new) if key != "creation_time" or key not in result.metadata]
        missing += [f"metadata {key} of {_name(old)}" for key in keys]
        if gone := old.disposition & ~new.disposition & ~Disposition.default:
            missing.append(f"mark {gone.name} of {_name(old)}")
    return [f"not kept: {', '.join(missing)}"] if missing else []


def _pairs(old, new):
    """[(stream of a source, that of its result or None)]: the first of a type with the first, covers by themselves."""
    left = {}
    for stream in new:
        left.setdefault((stream.type, bool(stream.disposition & STILL)), []).append(stream)
    kinds = [(stream, left.get((stream.type, bool(stream.disposition & STILL)))) for stream in old]
    return [(stream, kind.pop(0) if kind else None) for stream, kind in kinds]


def _lost_keys(old, new):
    have = {key.lower() for key in _content(new.metadata)}
    return [key for key in _content(old.metadata) if key.lower() not in have]


def _is_told(stream):
    """Whether a stream repeats what is told elsewhere, as QuickTime does with titles of chapters and the time code."""
    titles = stream.name == "bin_data" and bool(stream.container.chapters())
    return stream.type == "data" and (titles or "timecode" in stream.metadata)


def _name(stream):
    coding = stream.codec_context.name if stream.codec_context else stream.name
    return f"{stream.type} stream {stream.index}" + (f" ({coding})" if coding else "")


def _refused(stream, target):
    return f"{_name(stream)} is left out, which {target.suffix} can't hold"
