"""Remuxing: upscaled video joined with all that its source holds besides, copied as it is."""

import contextlib
import heapq
import io
import os
import pathlib

import av
from av.stream import Discard, Disposition

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.video import video_metadata

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
COVERS = {"mjpeg": "jpg", "png": "png"}  # {coding: suffix} of cover pictures in Matroska


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
    videos = [stream for stream in container.streams.video if not stream.disposition & video_metadata.STILL]
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
            if stream.type == "video" and not stream.disposition & video_metadata.STILL:
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
                    video_metadata.write_creation_time(path, container.metadata.get("creation_time", ""))
                with av.open(os.path.abspath(path), metadata_errors="replace") as result:
                    return lost + video_metadata.missing(container, result, sorted([*copied, frames.index]))


class _RefusedError(Exception):
    """A format takes a stream, and then not its packets."""

    def __init__(self, stream):
        self.stream = stream


def _remux(container, path, chain, frames, copied):
    streams = [stream for stream in container.streams if stream.index in (*copied, frames.index)]
    shift = 0
    if container.format.flags & av.format.Flags.ts_discont.value:  # a clock that begins anywhere
        shift = min(stream.start_time * stream.time_base for stream in streams if stream.start_time is not None)
    covers = {
        stream.index: _first_packet(container, stream)
        for stream in streams
        if stream.disposition & video_metadata.STILL
    }
    name = FORMATS[path.suffix.lower()]
    options = video_metadata.mp4_options(container.metadata, streams) if name in ("mp4", "mov") else {}
    with (
        _blamed(streams),
        av.open(os.path.abspath(chain[0][0])) as part,
        av.open(os.path.abspath(path), "w", format=name, container_options=options) as out,
    ):
        out.metadata.update(video_metadata.content(container.metadata))
        if "movflags" in options:
            out.metadata.pop("creation_time", None)  # video_metadata.write_creation_time
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
    stream.metadata.update(video_metadata.content(source.metadata))
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


def _is_told(stream):
    """Whether a stream repeats what is told elsewhere, as QuickTime does with titles of chapters and the time code."""
    titles = stream.name == "bin_data" and bool(stream.container.chapters())
    return stream.type == "data" and (titles or "timecode" in stream.metadata)


def _refused(stream, target):
    return f"{video_metadata.stream_name(stream)} is left out, which {target.suffix} can't hold"
