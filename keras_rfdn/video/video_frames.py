"""Video decoding: the frames of a stream with strictly increasing times, as far as they can be decoded."""

from collections.abc import Iterator

import av

from keras_rfdn.data.system.errors import UserError


class Frames:
    """Video frames of a stream, to iterate over once: pairs of av.VideoFrame and its time in units of time_base.

    The first frame's size is every frame's: a later one of another size is resized. Errors in the data are passed over.

    times: of the frames so far. last_duration: of the last of them, in units of time_base. step: of a usual frame.
    expected: how many frames the file says that it has, or about; 0 where it does not. index: of the stream.
    display_matrix: 9 integers by which players turn the video, or None; known with the first frame.
    captions: whether there have been closed captions (CEA-608 or 708) in the frames.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream):
        self.index, self.time_base = stream.index, stream.time_base
        rate = stream.average_rate or stream.guessed_rate or 25
        self.step = max(1, round(1 / (rate * self.time_base)))
        self.times = []
        self.last_duration = self.step
        self.display_matrix = None
        self.captions = False
        self._container, self._stream = container, stream
        stream.thread_type = "AUTO"
        # Without a count of frames, what FFmpeg gives as the stream's times may be those of another stream.
        if stream.frames and stream.duration:
            self._end = float((stream.duration + (stream.start_time or 0)) * stream.time_base)
        else:
            self._end = _tagged_end(stream)
        self.expected = stream.frames or round((self._end or (container.duration or 0) / 1e6) * rate)
        self._errors = []  # seconds near which the data is broken
        self._corrupt, self._retimed, self._resized, self._interlaced = 0, 0, 0, False
        self._frames = self._decode()
        self._first = None

    def first(self, source) -> av.VideoFrame:
        """The first frame, which is iterated over all the same. Raises UserError where there is none in source."""
        self._first = self._first or next(self._frames, None)
        if self._first is None:
            raise UserError(f"no frame of {source} can be decoded: is it damaged or encrypted?")
        if turned := self._first.side_data.get("DISPLAYMATRIX"):
            self.display_matrix = list(memoryview(bytes(turned)).cast("i"))
        return self._first

    def __iter__(self) -> Iterator[tuple[av.VideoFrame, int]]:
        size = None
        if self._first is not None:
            yield self._checked(self._first)
            size = self._first.width, self._first.height
        for frame in self._frames:
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                self._resized += 1
                frame = frame.reformat(width=size[0], height=size[1])
            yield self._checked(frame)

    def _checked(self, frame):
        time, last = frame.pts, self.times[-1] if self.times else None
        if time is None or (last is not None and time <= last):
            self._retimed += self.times != [] or time is not None
            time = 0 if last is None else last + self.step
        self.times.append(time)
        self.last_duration = frame.duration or self.step
        self._corrupt += frame.is_corrupt
        self._interlaced |= frame.interlaced_frame
        self.captions |= frame.side_data.get("A53_CC") is not None
        return frame, time

    def _decode(self):
        packets = self._container.demux(self._stream)
        packet = True
        while packet is not None:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                self._errors.append(self.seconds())
                packet = None
            try:
                frames = packet.decode() if packet else self._stream.decode(None)
            except av.EOFError:  # all that the decoder held is out
                continue
            except av.FFmpegError:
                self._errors.append(self.seconds())
                continue
            yield from frames

    def seconds(self) -> float:
        """Time at which the last frame ends, in seconds."""
        return float((self.times[-1] + self.last_duration) * self.time_base) if self.times else 0.0

    def faults(self) -> list[str]:
        """What was wrong with the video, in words for the log, once all frames are read."""
        faults = []
        if self._errors:
            at = f"the first near {self._errors[0]:.1f} s"
            faults.append(f"damaged: {len(self._errors)} packets can't be decoded, {at}; what they hold is missing")
        if self._corrupt:
            faults.append(f"damaged: {self._corrupt} frames are shown as far as they can be decoded")
        if self._end - self.seconds() > max(3 * self.step * self.time_base, 0.01 * self._end):
            faults.append(f"truncated: ends at {self.seconds():.1f} s of {self._end:.1f} s")
        if self._retimed:
            faults.append(f"{self._retimed} frames had no time, or one before the last frame's; they follow it")
        if self._resized:
            faults.append(f"{self._resized} frames of another size are resized to the first one's before upscaling")
        if self._interlaced:
            faults.append("interlaced: fields are upscaled as they are, woven; deinterlace before upscaling")
        return faults


def _tagged_end(stream):
    """Seconds at which a stream ends, as Matroska's writers note them ("00:01:02.500000000"), or 0."""
    tags = {key.upper(): value for key, value in stream.metadata.items()}
    parts = tags.get("DURATION", "").split(":")
    try:
        return sum(float(part) * unit for part, unit in zip(parts, (3600, 60, 1), strict=True))
    except ValueError:
        return 0
