"""Video upscaling: frames decoded, upscaled and encoded at once; sound, subtitles, times and tags kept; resumes.

This module is light. PyAV (the extra `video`) is imported only when a video is upscaled.
"""

import collections
import concurrent.futures
import contextlib
import errno
import os
import pathlib
from collections.abc import Callable

import numpy as np
from absl import logging

from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.data.system.progress import track
from keras_rfdn.imaging import pixels

TARGETS = (".mp4", ".mkv", ".mov", ".m4v", ".webm")  # what can be written
SUFFIXES = {
    *TARGETS,
    *".3gp .asf .avi .divx .flv .m2ts .m2v .mpeg .mpg .mts .mxf .ogv .vob .wmv .y4m".split(),  # noqa: SIM905
}
# The first bytes of Matroska, MPEG, FLV and ASF; and the kinds of MP4 that are images.
SIGNATURES = (b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"FLV\x01", b"\x30\x26\xb2\x75")
IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"jxl ")
TS_PACKET = 188  # bytes of a packet of an MPEG transport stream, each of which begins with 0x47


def is_video(path: str | os.PathLike) -> bool:
    """Whether a path is a video's: by its suffix, and for another suffix by the first bytes of the file there.

    Animated images (GIF, WebP, APNG, AVIF) are images.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() in SUFFIXES:
        return True
    if not path.is_file():
        return False
    with contextlib.suppress(OSError), open(path, "rb") as file:
        head = file.read(2 * TS_PACKET + 1)
        return (
            head.startswith(SIGNATURES)
            or (head[:4], head[8:12]) == (b"RIFF", b"AVI ")
            or (head[4:8] == b"ftyp" and head[8:12] not in IMAGE_BRANDS)
            or (len(head) > 2 * TS_PACKET and set(head[::TS_PACKET]) == {0x47})
        )
    return False


def upscale_video(
    source: str | os.PathLike,
    target: str | os.PathLike,
    upscale: Callable[[np.ndarray], np.ndarray],
    scale: int,
    *,
    identity: str,
) -> None:
    """Video super-resolution of a file, frame by frame, into target (.mp4, .m4v, .mov, .mkv: H.264; .webm: VP9).

    upscale: uint8 RGB [h, w, 3] -> uint8 RGB [h * scale, w * scale, 3]; it is called by another thread.
    identity: names the network. The parts of a killed run (the folder `target.parts`) are taken up when source,
    identity, scale and way of encoding are the same, and replaced otherwise; they are removed at the end.

    Every frame keeps its time, and the video its shape of pixels, colour tags, rotation and bits (8 or 10, where the
    codec can). All other streams are copied as they are. What target cannot hold is named in the log. A damaged or
    truncated video gives what can be decoded, and a warning.

    Raises UserError where av is missing, source cannot be read, or the result cannot be written to target; StoppedError
    for a full disk.
    """
    source, target = pathlib.Path(source), pathlib.Path(target)
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise UserError(
            f'video needs PyAV ({error}): pip install "keras-rfdn[video]", with Python 3.11 or later'
        ) from error
    from keras_rfdn.video import video_container, video_encoding, video_frames
    from keras_rfdn.video.video_parts import Parts

    if target.suffix.lower() not in TARGETS:
        raise UserError(f"no video is written to {target.name}; name it {', '.join(TARGETS[:-1])} or {TARGETS[-1]}")
    if target.exists() and target.samefile(source):
        raise UserError(f"{target} is the video to read; name another file")

    with video_container.open_source(source) as container:
        stream = video_container.main_stream(container, source)
        frames = video_frames.Frames(container, stream)
        encoding = video_encoding.choose(target.suffix.lower(), stream, frames.first(source), scale)
        copied, lost = video_container.copied_streams(container, stream, target)
        _say(target, [*encoding.notes, *lost])
        with Parts(target, source, encoding, identity) as parts:
            notes = _upscale_parts(source, target, parts, frames, upscale, scale, encoding, copied)
        if frames.captions and not encoding.captions:
            notes.append(f"closed captions within the video are dropped, which {encoding.codec} can't hold")
        _say(target, [*notes, *frames.faults()])


def _upscale_parts(source, target, parts, frames, upscale, scale, encoding, copied):
    """Make the parts that are missing, join them, and remove them. Returns what the result lacks, in words."""
    from keras_rfdn.video import video_container

    try:
        bar = track(
            None, f"upscaling {source.name}", total=frames.expected or None, unit="frames", initial=parts.frames
        )
        results = _upscaled(frames, upscale, scale, encoding, skip=parts.frames)
        with bar, contextlib.closing(results):
            parts.write_missing(results, bar.update)
        notes = video_container.join(source, target, parts, frames, copied)
    except BaseException as error:
        kept = "nothing is kept"
        if parts.frames:
            kept = f"{parts.frames} frames are kept in {parts.folder}; the same command goes on from there"
        else:
            parts.remove()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoppedError(f"no space left for {target}; {kept}") from error
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT):
            raise UserError(f"{target} can't be written ({error.strerror}); {kept}") from error
        logging.info("stopped: %s", kept)
        raise
    parts.remove()
    return notes


def _upscaled(frames, upscale, scale, encoding, *, skip):
    """Iterator of (av.VideoFrame, its time, result for the encoder): one thread decodes, another one upscales."""

    def decoded():
        for index, (frame, time) in enumerate(frames):
            if index >= skip:
                yield frame, time, encoding.colours.to_rgb(frame)

    def results():
        with contextlib.closing(_read_ahead(decoded(), 4)) as images:
            for frame, time, lr in images:
                sr = upscale(lr) if lr.dtype == np.uint8 else _upscale_deep(lr, upscale, scale)
                if sr.shape != (lr.shape[0] * scale, lr.shape[1] * scale, 3):
                    raise UserError(f"upscale made {list(sr.shape)} of {list(lr.shape)}, which is not x{scale}")
                yield frame, time, sr

    return _read_ahead(results(), 2)


def _upscale_deep(lr, upscale, scale):
    """uint16 RGB [h, w, 3] -> the same, enlarged, as images of 16 bits are."""
    sr = np.empty((lr.shape[0] * scale, lr.shape[1] * scale, 3), np.uint16)
    for top, left, part in pixels.enlarge(pixels.of_deep(lr), upscale, scale, "RGB", np.uint16):
        sr[top : top + part.shape[0], left : left + part.shape[1]] = part
    return sr


def _read_ahead(items, count):
    """Prefetch: the items of a generator, of which a thread makes the next `count` while one is used."""
    end = object()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        ahead = collections.deque(pool.submit(next, items, end) for _ in range(count))
        try:
            while (item := ahead.popleft().result()) is not end:
                ahead.append(pool.submit(next, items, end))
                yield item
        finally:
            pool.shutdown(cancel_futures=True)
            items.close()


def _say(target, notes):
    if notes:
        logging.warning("%s: %s", target.name, "; ".join(notes))
