"""Video metadata: what of a file's titles, times and marks goes into another file, and what of it got lost."""

import datetime
import math
import os
import struct

from av.stream import Disposition

STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
# Metadata that describe the source's file and coding, not its content; the writer makes its own.
OWN_KEYS = ("encoder", "major_brand", "minor_version", "compatible_brands", "duration", "vendor_id", "handler_name")
OWN_PREFIXES = ("bps", "number_of_", "_statistics_", "duration-")
# Metadata that MP4 has standard places for; any other goes into QuickTime's open list of keys, in place of them.
MP4_KEYS = set(
    """title artist album_artist album composer date genre comment copyright description synopsis grouping lyrics show
    episode_id network keywords track disc creation_time language location""".split()  # noqa: SIM905
)


def mp4_options(metadata, streams):
    """Options of the MP4 writer: exact starts (edit lists count in the whole file's time base) and all metadata."""
    rates = [stream.codec_context.sample_rate for stream in streams if stream.type == "audio" and stream.codec_context]
    scale = math.lcm(*(stream.time_base.denominator for stream in streams), *filter(None, rates))
    options = {"movie_timescale": str(scale)} if scale < 2**31 else {}
    if {key.lower() for key in content(metadata)} - MP4_KEYS:
        options["movflags"] = "use_metadata_tags"
    return options


def write_creation_time(path, text):
    """Write the time into the header of an MP4 file (mvhd); its writer would write it there and among other keys."""
    try:
        time = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return
    time = time if time.tzinfo else time.replace(tzinfo=datetime.timezone.utc)
    seconds = round((time - datetime.datetime(1904, 1, 1, tzinfo=datetime.timezone.utc)).total_seconds())
    if not 0 <= seconds < 2**32:
        return
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


def content(metadata):
    """Metadata that tell of the content, without those that tell how the source's file was made."""
    content = {}
    for key, value in metadata.items():
        own = key.lower() in OWN_KEYS or key.lower().startswith(OWN_PREFIXES)
        if not own and (key, value) != ("language", "und"):
            content["title" if key == "name" else key] = value  # MP4's name of a stream
    return content


def missing(source, result, numbers):
    """What a result lacks of source's metadata, chapters and dispositions; numbers: of the streams that it has."""
    lost = [f"metadata {key}" for key in _lost_keys(source, result)]
    if len(source.chapters()) != len(result.chapters()):
        lost.append(f"chapters ({len(source.chapters())}, now {len(result.chapters())})")
    for old, new in _pairs([source.streams[number] for number in numbers], result.streams):
        if new is None:
            lost.append(stream_name(old))
            continue
        keys = [key for key in _lost_keys(old, new) if key != "creation_time" or key not in result.metadata]
        lost += [f"metadata {key} of {stream_name(old)}" for key in keys]
        if gone := old.disposition & ~new.disposition & ~Disposition.default:
            lost.append(f"mark {gone.name} of {stream_name(old)}")
    return [f"not kept: {', '.join(lost)}"] if lost else []


def _pairs(old, new):
    """[(stream of a source, that of its result or None)]: the first of a type with the first, covers by themselves."""
    left = {}
    for stream in new:
        left.setdefault((stream.type, bool(stream.disposition & STILL)), []).append(stream)
    kinds = [(stream, left.get((stream.type, bool(stream.disposition & STILL)))) for stream in old]
    return [(stream, kind.pop(0) if kind else None) for stream, kind in kinds]


def _lost_keys(old, new):
    have = {key.lower() for key in content(new.metadata)}
    return [key for key in content(old.metadata) if key.lower() not in have]


def stream_name(stream):
    coding = stream.codec_context.name if stream.codec_context else stream.name
    return f"{stream.type} stream {stream.index}" + (f" ({coding})" if coding else "")
