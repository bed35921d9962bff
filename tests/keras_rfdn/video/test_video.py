"""Video: what of a file is kept, colours by numbers, resuming. Every clip is made here, tiny."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from absl import logging

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.video import video

av = pytest.importorskip("av")

from keras_rfdn.video import video_colours, video_encoding, video_parts  # noqa: E402

WIDTH, HEIGHT, FRAMES = 64, 48, 24
TIME_BASE = Fraction(1, 12800)
BARS = np.array([[6, 6, 6], [6, 6, 0], [0, 6, 6], [0, 6, 0], [6, 0, 6], [6, 0, 0], [0, 0, 6], [1, 1, 1]]) * 32


def times(count=FRAMES, start=0):
    """Variable frame times: every third frame is shown twice as long, every seventh a little longer."""
    durations = [512 * (2 if i % 3 == 0 else 1) + (i % 7 == 0) * 37 for i in range(count)]
    return [start + sum(durations[:i]) for i in range(count)]


def bars(number=0):
    """Colour bars uint8 [h, w, 3], with the number of the frame as grey levels in the lowest rows."""
    image = np.repeat(np.tile(BARS, (HEIGHT, 1, 1)), WIDTH // len(BARS), 1).astype(np.uint8)
    image[40:] = 10 * number
    return image


def upscale(lr):
    return np.repeat(np.repeat(lr, 2, 0), 2, 1)


def write(
    path, *, codec="libx264", pix_fmt="yuv444p", matrix=1, full=False, pts=None, aspect=None, rotation=0, options=None,
    audio=None, subtitle=False, chapters=(), metadata=None, image=bars, size=(WIDTH, HEIGHT), picture=None,
):  # fmt: skip
    """Write a clip. picture: function from a frame's number to the av.VideoFrame, in place of image."""
    pts = times() if pts is None else pts
    with av.open(str(path), "w") as file:
        file.metadata.update(metadata or {})
        stream = file.add_stream(codec, rate=25, options=options or {"qp": "0"})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = TIME_BASE
        stream.codec_context.colorspace = stream.codec_context.color_primaries = matrix
        stream.codec_context.color_trc = matrix
        stream.codec_context.color_range = 2 if full else 1
        stream.metadata["title"] = "Bild"
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        streams = [stream]
        if audio:
            streams.append(file.add_stream(audio, rate=16000))
            streams[-1].metadata.update({"language": "deu", "title": "Ton"})
        if subtitle:
            text = file.add_mux_stream("subrip")
            text.metadata["language"] = "fra"
            text.disposition = av.stream.Disposition.forced
        file.set_chapters(
            [
                {
                    "id": i,
                    "start": 1000 * i,
                    "end": 1000 * (i + 1),
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": t},
                }
                for i, t in enumerate(chapters)
            ]
        )
        if audio:
            tone = np.sin(np.arange(16000) / 6).astype(np.float32) / 2
            frame = av.AudioFrame.from_ndarray(tone[None], "fltp", "mono")
            frame.sample_rate, frame.time_base = 16000, Fraction(1, 16000)
            frame.pts = round(pts[0] * TIME_BASE * 16000) + 800  # 50 ms later than the first frame
            resampler = av.AudioResampler(streams[1].format, "mono", 16000, frame_size=streams[1].frame_size or 1024)
            for part in [*resampler.resample(frame), None]:
                file.mux(streams[1].encode(part))
        if subtitle:
            for number, line in enumerate((b"Guten Tag", b"Gr\xc3\xbc\xc3\x9fe")):
                packet = av.Packet(line)
                packet.stream, packet.time_base = text, Fraction(1, 1000)
                packet.pts = packet.dts = 100 + 500 * number
                packet.duration = 400
                file.mux(packet)
        for number, time in enumerate(pts):
            if picture:
                frame = picture(number)
            else:
                frame = av.VideoFrame.from_ndarray(image(number), "rgb24").reformat(
                    format=pix_fmt, dst_colorspace=matrix if matrix in (1, 9) else 5, dst_color_range=2 if full else 1,
                    src_color_range=2, interpolation=video_colours.FLAGS,
                )  # fmt: skip
            frame.pts, frame.time_base = time, TIME_BASE
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def fill(frame, *rows):
    """Fill the planes of a frame, each with a row that is repeated."""
    for plane, row in zip(frame.planes, rows, strict=True):
        samples = np.frombuffer(plane, np.uint8 if frame.format.components[0].bits == 8 else np.uint16)
        samples.reshape(plane.height, -1)[:, : plane.width] = row


def frames(path):
    with av.open(str(path)) as file:
        return list(file.decode(video=0))


def seconds(path):
    """Times of the frames."""
    return [frame.pts * frame.time_base for frame in frames(path)]


def rgb(frame, *, matrix, full):
    """RGB of a frame by the definition of its matrix, without swscale: float [h, w, 3]."""
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    bits = frame.format.components[0].bits
    planes = []
    for plane in frame.planes:
        samples = np.frombuffer(plane, np.uint8 if bits == 8 else np.uint16).reshape(plane.height, -1)
        samples = samples[:, : plane.width] / 2 ** (bits - 8)
        planes.append(samples.repeat(frame.height // plane.height, 0).repeat(frame.width // plane.width, 1))
    y, u, v = planes
    y, u, v = (
        (y / 255, (u - 128) / 255, (v - 128) / 255) if full else ((y - 16) / 219, (u - 128) / 224, (v - 128) / 224)
    )
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    return 255 * np.stack([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue], -1)


def packets(path, kind):
    """[(seconds, bytes)] of the first stream of a kind."""
    with av.open(str(path)) as file:
        stream = next(stream for stream in file.streams if stream.type == kind)
        return [(p.pts * p.time_base, bytes(p)) for p in file.demux(stream) if p.size]


@pytest.fixture
def said(monkeypatch):
    """Lines that were logged as warnings."""
    lines = []
    monkeypatch.setattr(logging, "warning", lambda line, *args: lines.append(line % args))
    return lines


@pytest.fixture
def short_parts(monkeypatch):
    monkeypatch.setattr(video_parts, "SECONDS", 0)
    monkeypatch.setattr(video_parts, "FRAMES", 5)


def run(source, target, upscale=upscale, scale=2, identity="repeat"):
    video.upscale_video(source, target, upscale, scale, identity=identity)


@pytest.mark.usefixtures("short_parts")
def test_all_of_an_mp4_is_kept(tmp_path, said):
    source = write(
        tmp_path / "in.mp4", pix_fmt="yuv420p", pts=times(start=640), aspect=Fraction(4, 3), audio="aac", rotation=90,
        chapters=("Eins", "Zwei"), metadata={"title": "Film", "artist": "Wir", "creation_time": "2024-01-02T03:04:05Z"},
    )  # fmt: skip
    run(source, target := tmp_path / "out.mp4")
    assert not said
    assert seconds(target) == seconds(source) == [time * TIME_BASE for time in times(start=640)]
    assert packets(target, "audio") == packets(source, "audio")
    with av.open(str(target)) as file, av.open(str(source)) as before:
        stream = file.streams.video[0]
        assert (stream.width, stream.height, stream.sample_aspect_ratio) == (128, 96, Fraction(4, 3))
        context = stream.codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        assert (context.name, stream.format.name) == ("h264", "yuv420p")
        assert [(c["start"] * c["time_base"], c["metadata"]) for c in file.chapters()] == [
            (0, {"title": "Eins"}), (1, {"title": "Zwei"}),
        ]  # fmt: skip
        for key in ("title", "artist", "creation_time"):
            assert file.metadata[key] == before.metadata[key]
        assert (file.streams.audio[0].language, file.streams.audio[0].metadata["name"]) == ("deu", "Ton")
    assert frames(target)[0].rotation == 90
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


@pytest.mark.usefixtures("short_parts")
def test_all_of_a_matroska_file_is_kept(tmp_path, said):
    source = write(
        tmp_path / "in.mkv", audio="flac", subtitle=True, chapters=("Eins",), aspect=Fraction(4, 3),
        metadata={"title": "Film", "PLACE": "Köln"},
    )  # fmt: skip
    run(source, target := tmp_path / "out.mkv")
    assert not said
    assert seconds(target) == seconds(source)
    assert len(seconds(target)) == FRAMES
    for kind in ("audio", "subtitle"):
        assert packets(target, kind) == packets(source, kind)
    assert [text.decode() for _, text in packets(target, "subtitle")] == ["Guten Tag", "Grüße"]
    with av.open(str(target)) as file, av.open(str(source)) as before:
        # The last frame's duration too: Matroska notes where each stream ends.
        assert file.streams.video[0].metadata["DURATION"] == before.streams.video[0].metadata["DURATION"]
        assert [file.metadata["title"], file.metadata["PLACE"]] == ["Film", "Köln"]
        assert len(file.chapters()) == 1
        subtitle = file.streams.subtitles[0]
        assert (subtitle.language, bool(subtitle.disposition & av.stream.Disposition.forced)) == ("fra", True)
        assert file.streams.video[0].metadata["title"] == "Bild"
        assert file.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
        assert file.streams.video[0].format.name == "yuv444p"


def test_what_the_target_cannot_hold_is_named(tmp_path, said):
    source = write(tmp_path / "in.mkv", audio="flac", subtitle=True, pts=[0, 512], aspect=Fraction(4, 3))
    with av.open(str(source)) as file, av.open(str(tmp_path / "font.mkv"), "w") as more:
        more.add_attachment("font.ttf", "font/ttf", b"letters")
        new = {stream.index: more.add_stream_from_template(stream, opaque=True) for stream in file.streams}
        for packet in file.demux():
            if packet.size:
                packet.stream = new[packet.stream.index]
                more.mux(packet)
    run(tmp_path / "font.mkv", tmp_path / "out.mp4")
    assert len(said) == 1
    assert "subtitle stream 2 (srt) is left out, which .mp4 can't hold" in said[0]
    assert "attachment stream 3 (font.ttf)" in said[0]
    run(tmp_path / "font.mkv", tmp_path / "out.mkv")
    assert len(said) == 1
    with av.open(str(tmp_path / "out.mkv")) as file:
        assert [stream.data for stream in file.streams if stream.type == "attachment"] == [b"letters"]
    run(tmp_path / "font.mkv", tmp_path / "out.webm")
    assert "pixels of 4:3 become square" in said[1]
    assert "audio stream 1 (flac)" in said[1]
    with av.open(str(tmp_path / "out.webm")) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["vp9"]


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p"])
@pytest.mark.parametrize(("matrix", "full"), [(1, False), (6, False), (1, True), (6, True), (9, False)])
def test_colours_go_by_matrix_and_range(tmp_path, matrix, full, pix_fmt):
    seen = []

    def upscale_seen(lr):
        seen.append(lr)
        return upscale(lr)

    source = write(tmp_path / "in.mp4", matrix=matrix, full=full, pix_fmt=pix_fmt, pts=[0])
    run(source, target := tmp_path / "out.mp4", upscale_seen)
    assert np.abs(seen[0][20, 4::8].astype(int) - BARS).max() <= 4
    result = frames(target)[0]
    assert result.format.name.replace("yuvj", "yuv") == pix_fmt
    assert (result.colorspace, result.color_range) == (matrix, 2 if full else 1)
    error = rgb(result, matrix=matrix, full=full)[40, 8::16] - BARS
    assert np.abs(error).mean() < 1.5
    assert np.abs(error).max() < 5


def test_full_range_of_vp9(tmp_path):
    # Unlike H.264's decoder, VP9's tells the range by the tag alone.
    source = write(
        tmp_path / "in.webm", codec="libvpx-vp9", matrix=6, full=True, pts=[0], options={"lossless": "1"},
    )  # fmt: skip
    run(source, target := tmp_path / "out.webm")
    assert np.abs(rgb(frames(target)[0], matrix=6, full=True)[40, 8::16] - BARS).max() < 5


def test_an_interlaced_frame_has_no_fields_once_upscaled(tmp_path):
    # Pairs of rows of two colours: chroma of a field by itself would be a mixture of them.
    rows = np.repeat(np.tile(BARS[[1, 6]], (HEIGHT // 2, 1)), 2, 0).astype(np.uint8)
    results = []
    for name, options in (("fields", {"x264-params": "interlaced=1"}), ("frames", {"crf": "1"})):
        source = write(tmp_path / f"{name}.mp4", pix_fmt="yuv420p", pts=[0], options=options)
        run(source, target := tmp_path / f"{name}2.mp4", lambda lr: np.repeat(rows[:, None], 128, 1))
        results.append(rgb(frames(target)[0], matrix=1, full=False)[:, 64])
    assert np.ptp(results[1], axis=0).min() > 100
    assert np.abs(results[0] - results[1]).max() < 6


def test_the_encoder_chooses_its_key_frames(tmp_path):
    source = write(tmp_path / "in.mp4", options={"qp": "0", "g": "1"})
    run(source, target := tmp_path / "out.mp4")
    assert [sum(frame.key_frame for frame in frames(path)) for path in (source, target)] == [FRAMES, 1]


def test_untagged_colours_stay_those_of_the_smaller_video(tmp_path):
    # Players take BT.601 for 48 rows and BT.709 for 1440: the result must say what the source meant.
    source = write(tmp_path / "in.mp4", matrix=2, pts=[0], image=lambda _: bars()[:, :32], size=(32, 48))
    run(source, target := tmp_path / "out.mp4", lambda lr: np.repeat(np.repeat(lr, 30, 0), 30, 1), 30)
    result = frames(target)[0]
    assert result.colorspace == 6
    assert np.abs(rgb(result, matrix=6, full=False)[600, 120::240] - BARS[:4]).max() < 5


def test_chroma_stays_in_its_place(tmp_path):
    # H.264's chroma of 4:2:0 lies on the left one of two columns: a ramp of chroma enlarged must be the same ramp.
    def ramp(_):
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        fill(frame, np.full(64, 128), 64 + 4 * np.arange(32), np.full(32, 128))
        return frame

    source = write(tmp_path / "in.mp4", pix_fmt="yuv420p", pts=[0], picture=ramp)
    run(source, target := tmp_path / "out.mp4", lambda lr: lr, 1)
    plane = frames(target)[0].planes[1]
    row = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[12, 8:24].astype(int)
    assert np.abs(row - (64 + 4 * np.arange(8, 24))).max() <= 1  # a quarter of a pixel off would be 2


def test_frames_without_colour_stay_grey(tmp_path):
    def tinted(lr):
        return upscale(lr) + np.array([0, 20, 0], np.uint8)

    def grey(number):
        return np.full((HEIGHT, WIDTH, 3), 100, np.uint8) if number else bars()

    source = write(tmp_path / "in.mp4", pts=[0, 512], image=grey)
    run(source, target := tmp_path / "out.mp4", tinted)
    coloured, grey = (rgb(frame, matrix=1, full=False) for frame in frames(target))
    assert np.ptp(coloured[40, 8]) > 10
    assert np.ptp(grey, axis=-1).max() < 1e-6
    assert grey.mean() == pytest.approx(100 + 0.7152 * 20, abs=1)


def test_10_bits_stay_10(tmp_path):
    # A ramp of one level of 10 bits per column, which 8 bits would make stairs of four.
    def ramp(_):
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv444p10le")
        fill(frame, 400 + np.arange(64), np.full(64, 512), np.full(64, 512))
        return frame

    source = write(tmp_path / "in.mp4", pix_fmt="yuv444p10le", matrix=9, pts=[0], picture=ramp)
    run(source, target := tmp_path / "out.mp4")
    result = frames(target)[0]
    assert result.format.name == "yuv444p10le"
    plane = result.planes[0]
    row = np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[40, :128].astype(int)
    assert np.abs(row - np.repeat(400 + np.arange(64), 2)).max() <= 2
    assert len(np.unique(row)) > 50


def test_light_levels_of_hdr_are_kept(tmp_path):
    light = "mastering-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):cll=1000,400"
    source = write(
        tmp_path / "in.mp4", pix_fmt="yuv420p10le", matrix=9, pts=[0], options={"crf": "10", "x264-params": light}
    )
    run(source, target := tmp_path / "out.mp4")
    before, after = ({data.type: bytes(data) for data in frames(path)[0].side_data} for path in (source, target))
    kinds = [av.sidedata.sidedata.Type[name] for name in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")]
    assert [after[kind] for kind in kinds] == [before[kind] for kind in kinds]


def with_captions(source, path):
    """Copy an H.264 video without B-frames, with closed captions (an SEI message of ATSC A/53) put into each frame."""
    with av.open(str(source)) as file, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(file.streams.video[0], opaque=True)
        for number, packet in enumerate(p for p in file.demux(video=0) if p.size):
            data = b"\xb5\x001GA94\x03\x41\xff\xfc" + bytes([0x20 + number, 0x94, 0xFF])
            message = b"\x06\x04" + bytes([len(data)]) + data + b"\x80"
            new = av.Packet(len(message).to_bytes(4, "big") + message + bytes(packet))
            new.stream, new.time_base, new.pts, new.dts = stream, packet.time_base, packet.pts, packet.dts
            new.is_keyframe = packet.is_keyframe
            out.mux(new)
    return path


@pytest.mark.parametrize("interlaced", [False, True])
def test_closed_captions_are_kept(tmp_path, said, interlaced):
    def captions(path):
        return [bytes(frame.side_data.get("A53_CC") or b"") for frame in frames(path)]

    options = {"qp": "0", "bf": "0"} | ({"x264-params": "interlaced=1"} if interlaced else {})
    source = write(tmp_path / "plain.mp4", pix_fmt="yuv420p", pts=[0, 512, 1024], options=options)
    source = with_captions(source, tmp_path / "in.mp4")
    assert captions(source) == [bytes([0xFC, 0x20 + number, 0x94]) for number in range(3)]
    run(source, target := tmp_path / "out.mp4")
    assert captions(target) == captions(source)
    assert ["interlaced" in line for line in said] == [True] * interlaced
    assert np.abs(rgb(frames(target)[0], matrix=1, full=False)[40, 8::16] - BARS).max() < 7
    run(source, target := tmp_path / "out.webm")
    assert "closed captions" in said[-1]


def test_cover_pictures_are_kept(tmp_path, said):
    picture = write(
        tmp_path / "cover.png",
        codec="png",
        pix_fmt="rgb24",
        pts=[0],
        picture=lambda _: av.VideoFrame.from_ndarray(bars()),
        options={},
    )
    source = write(tmp_path / "in.mp4", pts=[0, 512])
    with av.open(str(source)) as file, av.open(str(picture)) as image, av.open(str(tmp_path / "a.mp4"), "w") as out:
        streams = [out.add_stream_from_template(f.streams.video[0], opaque=True) for f in (file, image)]
        streams[1].disposition = av.stream.Disposition.attached_pic
        for stream, container in zip(streams, (file, image), strict=True):
            for packet in container.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
    for before, after in (("a.mp4", "b.mp4"), ("b.mp4", "c.mkv"), ("c.mkv", "d.mkv"), ("d.mkv", "e.m4v")):
        run(tmp_path / before, tmp_path / after, lambda lr: lr, 1)
        with av.open(str(tmp_path / after)) as file:
            cover = file.streams.video[1]
            assert cover.disposition & av.stream.Disposition.attached_pic
            assert bytes(next(file.demux(cover))) == picture.read_bytes()
    assert not [line for line in said if "left out" in line]
    run(tmp_path / "b.mp4", tmp_path / "f.mov", lambda lr: lr, 1)
    assert "video stream 1 (png) is left out, which .mov can't hold" in said[-1]


def test_a_running_clock_starts_anew(tmp_path, said):
    # Times of a transport stream begin anywhere; sound and picture stay together.
    source = write(tmp_path / "in.ts", pix_fmt="yuv420p", audio="aac", pts=times(start=128000))
    run(source, target := tmp_path / "out.mp4")
    assert not said
    shift = seconds(source)[0] - seconds(target)[0]
    assert 9 < shift < 13
    assert seconds(target) == [time - shift for time in seconds(source)]
    assert packets(target, "audio")[0][0] == pytest.approx(packets(source, "audio")[0][0] - shift, abs=1e-4)


def test_metadata_without_a_place_in_mp4_are_kept(tmp_path, said):
    metadata = {"title": "Film", "com.apple.quicktime.model": "Phone", "creation_time": "2024-01-02T03:04:05Z"}
    source = write(tmp_path / "in.mkv", pts=[0], metadata=metadata)
    run(source, target := tmp_path / "out.mp4")
    assert not said
    with av.open(str(target)) as file:
        found = {key.lower(): value for key, value in file.metadata.items()}
    assert b"creation_time" not in target.read_bytes()  # it has a place of its own, and is repeated otherwise
    assert [found[key] for key in metadata] == ["Film", "Phone", "2024-01-02T03:04:05.000000Z"]


def test_an_odd_size_gets_its_edge_twice(tmp_path, said):
    source = write(tmp_path / "in.webm", codec="libvpx-vp9", pix_fmt="yuv420p", size=(33, 25), pts=[0], options={},
                   image=lambda _: bars()[:25, :33])  # fmt: skip
    run(source, target := tmp_path / "out.mp4", lambda lr: np.repeat(np.repeat(lr, 3, 0), 3, 1), 3)
    assert "99x75 gets its last row or column twice" in said[0]
    assert (frames(target)[0].width, frames(target)[0].height) == (100, 76)
    run(source, target := tmp_path / "out.webm", lambda lr: np.repeat(np.repeat(lr, 3, 0), 3, 1), 3)
    assert (frames(target)[0].width, frames(target)[0].height) == (99, 75)


CHILD = """
import os, signal, sys
import numpy as np
from keras_rfdn.video import video, video_parts

video_parts.SECONDS, video_parts.FRAMES = 0, 5
count = 0

def upscale(lr):
    global count
    count += 1
    if count == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return np.repeat(np.repeat(lr, 2, 0), 2, 1)

video.upscale_video(sys.argv[1], sys.argv[2], upscale, 2, identity="repeat")
"""


def test_two_runs_on_one_target(tmp_path):
    source, target = write(tmp_path / "in.mp4", pix_fmt="yuv420p"), tmp_path / "out.mp4"
    (folder := tmp_path / "out.mp4.parts").mkdir()
    with (
        files.locked(folder / video_parts.LOCK, ""),
        pytest.raises(UserError, match="another run is at work on"),
    ):
        run(source, target)
    assert [path.name for path in folder.iterdir()] == [video_parts.LOCK]
    run(source, target)
    assert target.exists()
    assert not folder.exists()


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    source = write(tmp_path / "in.mp4", pix_fmt="yuv420p")
    monkeypatch.setattr(os, "replace", lambda a, b: refused() if b.name == "out.mp4" else os.rename(a, b))
    with pytest.raises(UserError, match=r"can't be written \(Read-only file system\); \d+ frames are kept in"):
        run(source, tmp_path / "out.mp4")


@pytest.mark.usefixtures("short_parts")
def test_a_killed_run_goes_on(tmp_path):
    source = write(tmp_path / "in.mp4", pix_fmt="yuv420p", audio="aac")
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    run(source, whole)
    for _ in range(2):  # 9 frames begun: one part of 5 is there, and no second one
        child = subprocess.run([sys.executable, "-c", CHILD, str(source), str(target), "9"], check=False)
        assert child.returncode == -signal.SIGKILL
        assert not target.exists()
    upscaled = []

    def counted(lr):
        upscaled.append(lr)
        return upscale(lr)

    run(source, target, counted)
    assert len(upscaled) == FRAMES - 10
    assert seconds(target) == seconds(whole) == seconds(source)
    assert packets(target, "audio") == packets(source, "audio")
    assert all((a.to_ndarray() == b.to_ndarray()).all() for a, b in zip(frames(target), frames(whole), strict=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "whole.mp4"]


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("changed", ["nothing", "source", "network", "scale"])
def test_parts_of_something_else_are_not_taken(tmp_path, changed):
    source, target = write(tmp_path / "in.mp4"), tmp_path / "out.mp4"

    def failing(lr):
        if lr[44, 0, 0] > 115:  # the twelfth frame
            raise KeyboardInterrupt
        return upscale(lr)

    with pytest.raises(KeyboardInterrupt):
        run(source, target, failing)
    assert not target.exists()
    assert (tmp_path / "out.mp4.parts").is_dir()
    if changed == "source":
        write(source, image=lambda number: 255 - bars(number))
    upscaled = []

    def counted(lr):
        upscaled.append(lr)
        return upscale(lr) if changed != "scale" else lr

    run(source, target, counted, 1 if changed == "scale" else 2, "other" if changed == "network" else "repeat")
    # 12 frames were kept: the interruption closes the part that it comes in.
    assert len(upscaled) == (FRAMES - 12 if changed == "nothing" else FRAMES)
    assert seconds(target) == seconds(source)
    first = rgb(frames(target)[0], matrix=1, full=False)
    assert np.abs(first[20, 4] - (255 - BARS[0] if changed == "source" else BARS[0])).max() < 5
    assert not (tmp_path / "out.mp4.parts").exists()


def test_nothing_is_left_of_a_run_without_a_frame(tmp_path):
    source = write(tmp_path / "in.mp4", pts=[0])
    with pytest.raises(UserError, match="which is not x2"):
        run(source, tmp_path / "out.mp4", lambda lr: lr)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_name_with_a_colon_is_no_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.rename(write(tmp_path / "in.mp4", pts=[0]), "http:in.mp4")
    run("http:in.mp4", "data:out.mp4")
    assert seconds(tmp_path / "data:out.mp4") == [0]


def test_a_folder_of_others_is_left_alone(tmp_path):
    source = write(tmp_path / "in.mp4", pts=[0])
    (folder := tmp_path / "out.mp4.parts").mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not a folder of parts"):
        run(source, tmp_path / "out.mp4")
    assert (folder / "mine.txt").read_text() == "mine"


def test_a_full_disk_says_what_is_kept(tmp_path, monkeypatch, short_parts):
    source = write(tmp_path / "in.mp4")
    encode, count = video_encoding.PartEncoder.encode, []

    def full(self, *args):
        count.append(1)
        if len(count) > 12:
            raise OSError(28, "No space left on device")
        encode(self, *args)

    monkeypatch.setattr(video_encoding.PartEncoder, "encode", full)
    with pytest.raises(StoppedError, match=r"12 frames are kept in .*out\.mp4\.parts"):
        run(source, tmp_path / "out.mp4")


def test_damaged_and_truncated_videos_give_what_there_is(tmp_path, said):
    source = write(tmp_path / "in.mkv", options={"crf": "1", "g": "4", "bf": "0"}, metadata={"title": "x"})
    data = source.read_bytes()
    (tmp_path / "short.mkv").write_bytes(data[: len(data) * 2 // 3])
    run(tmp_path / "short.mkv", target := tmp_path / "short.mp4")
    count = len(frames(target))
    assert 8 < count < FRAMES
    assert seconds(target) == seconds(source)[:count]
    broken = write(tmp_path / "broken.mp4", options={"crf": "1", "g": "4", "bf": "0"})
    with av.open(str(broken)) as file:
        positions = [(p.pos, p.size) for p in file.demux(video=0) if p.size]
    data = bytearray(broken.read_bytes())
    start, size = positions[12]  # a key frame
    data[start : start + size] = bytes(size)
    broken.write_bytes(data)
    said.clear()
    run(broken, tmp_path / "mended.mp4")
    assert "damaged" in said[-1]
    assert len(frames(tmp_path / "mended.mp4")) >= 12


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "text.mp4").write_text("text")
    with pytest.raises(UserError, match="no video, or damaged"):
        run(tmp_path / "text.mp4", tmp_path / "out.mp4")
    with pytest.raises(UserError, match=r"can't be read: No such file"):
        run(tmp_path / "none.mp4", tmp_path / "out.mp4")
    source = write(tmp_path / "in.mp4", pts=[0])
    with pytest.raises(UserError, match=r"name it \.mp4"):
        run(source, tmp_path / "out.avi")
    with pytest.raises(UserError, match="is the video to read"):
        run(source, source)
    with pytest.raises(UserError, match="16384 a side at most"):
        run(source, tmp_path / "out.mp4", scale=300)
    with av.open(str(tmp_path / "tone.mp4"), "w") as file:
        stream = file.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        file.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(UserError, match="no video stream"):
        run(tmp_path / "tone.mp4", tmp_path / "out.mp4")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("out")]


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r'pip install "keras-rfdn\[video\]"'):
        run(tmp_path / "in.mp4", tmp_path / "out.mp4")


def test_this_module_is_light():
    code = "import sys, keras_rfdn.video.video; assert not {'av', 'tensorflow', 'tf_keras'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_videos_are_known_by_suffix_or_content(tmp_path):
    assert video.is_video("a.MP4")
    assert video.is_video(pathlib.Path("film.webm"))
    assert not video.is_video("a.png")
    assert not video.is_video("folder")
    for name in ("mp4", "mkv", "avi", "ts"):
        codec = "mpeg4" if name == "avi" else "libx264"
        path = write(tmp_path / f"a.{name}", codec=codec, pix_fmt="yuv420p", pts=[0, 512, 1024], options={})
        os.rename(path, tmp_path / "unnamed")
        assert video.is_video(tmp_path / "unnamed")
    for content in (b"\0\0\0\x1cftypavif", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"", b"G" * 20):
        (tmp_path / "unnamed").write_bytes(content)
        assert not video.is_video(tmp_path / "unnamed")
