"""Names of HR and LR images: the words by which super-resolution projects tell them apart, in folders and in files.

DIV2K_train_HR, DIV2K_train_LR_bicubic/X4/0001x4.png    DIV2K, EDSR; LR_unknown, LR_mild, LR_difficult, LR_wild (x4w1)
Set5/GTmod12, Set5/LRbicx4; gt, lq; X4_sub              BasicSR, Real-ESRGAN
trainH, trainL                                          KAIR
HR/Set5/x4/baby_HR_x4.png, LR/LRBI/Set5/x4/..._LRBI_x4  RCAN
Set5, Set5_LR/x4; Set5_bicLRx4                          IMDN, ESRGAN
image_SRF_4/img_001_SRF_4_HR.png, ..._LR.png            SelfExSR
Canon_001_HR.png, Canon_001_LR4.png                     RealSR
train_sharp, train_sharp_bicubic/X4                     REDS
input, target; low, high; source, original ...          others
"""

import dataclasses
import functools
import pathlib
import re

HR, LR = "HR", "LR"
# Words that say what images are, and words that may say it, but name other things, too.
SURE = {"hr": HR, "gt": HR, "hq": HR, "lr": LR, "lq": LR}
LIKELY = {
    **dict.fromkeys(("h", "high", "target", "targets", "original", "originals", "orig", "truth"), HR),
    **dict.fromkeys(("label", "labels", "clean", "sharp", "large"), HR),
    **dict.fromkeys(("l", "low", "input", "inputs", "source", "src", "degraded", "small"), LR),
    **dict.fromkeys(("downsampled", "downscaled", "down", "ds", "bicubic", "bic", "bi"), LR),
}
BICUBIC = {"bicubic", "bic", "bi"}
# How LR images were made otherwise: in a folder's name beside the word for LR.
TRACKS = BICUBIC | {"unknown", "mild", "difficult", "wild", "real", "bd", "dn", "blur", "nearest", "bilinear"}
TRACKS |= {"lanczos", "jpeg", "noise", "noisy"}
SAME = (  # spellings of one word
    (r"(?<![a-z])low?[ _-]?res(olution)?(?![a-z])", "lr"),
    (r"(?<![a-z])hi(gh)?[ _-]?res(olution)?(?![a-z])", "hr"),
    (r"(?<![a-z])low[ _-]?quality(?![a-z])", "lq"),
    (r"(?<![a-z])high[ _-]?quality(?![a-z])", "hq"),
    (r"(?<![a-z])ground[ _-]?truths?(?![a-z])", "gt"),
    (r"(?<![a-z])srf[ _-]?(?=\d)", "x"),
)
_TRACK = "|".join(sorted(TRACKS, key=len, reverse=True))
_FACTOR = "[1-9]|16"  # 1: as large as HR, which RealSR's LR images are
_WORD = re.compile(rf"({_TRACK})?(hr|gt|hq|lr|lq)s?({_TRACK})?(?:mod\d+)?(?:x?({_FACTOR}))?")
_SCALE = re.compile(rf"x({_FACTOR})|({_FACTOR})x")
_MADE = re.compile(rf"(bicubic|bic|bi|down|ds)x?({_FACTOR})")
_WORDS = re.compile(r"[^\W_]+")
_SCALE_AT_END = re.compile(rf"(.+?)[ _.@-]?x({_FACTOR})(?:[bmd]|(w\d+))?")  # 0001x4, 0001x4m, 0001x4w1


@dataclasses.dataclass(frozen=True)
class ImageName:
    """What an image file's path within a folder says.

    role: HR, LR or None. sure: whether by one of the words of SURE in a folder's name. in_folder: whether a folder's
    name says it, not the file's. folder_scale, file_scale: of an LR image, as its folder's name and its own have it.
    tracks: how an LR image was made. variant: "w1" where an HR image has several LR images in one folder.
    group: words of the folders' names without those above; an HR image and its LR images share them. stem: the file's
    name. bare: that without those words. root: the folder whose name says the role.
    """

    path: pathlib.PurePath
    role: str | None
    sure: bool
    in_folder: bool
    folder_scale: int | None
    file_scale: int | None
    tracks: frozenset[str]
    variant: str | None
    group: tuple[str, ...]
    stem: str
    bare: str
    root: pathlib.PurePath

    def plain(self) -> "ImageName":
        """The same without a role: a name like any other."""
        words = tuple(word for part in self.path.parts[:-1] for word in _words(part))
        nothing = {"role": None, "sure": False, "folder_scale": None, "file_scale": None, "variant": None}
        return dataclasses.replace(self, **nothing, group=words, bare=self.stem, root=pathlib.PurePath())


@dataclasses.dataclass(frozen=True)
class Marks:
    """What a name says, and its other words."""

    role: str | None = None
    sure: bool = False
    scale: int | None = None
    tracks: frozenset[str] = frozenset()
    rest: tuple[str, ...] = ()


def parse(path: pathlib.PurePath) -> ImageName:
    """Path of an image file, relative to the folder that is looked at -> ImageName."""
    marks = [folder_marks(part) for part in path.parts[:-1]]
    with_role = [i for i, mark in enumerate(marks) if mark.role]
    with_role = [i for i in with_role if marks[i].sure] or with_role
    scales = [mark.scale for mark in marks if mark.scale]
    role, sure, depth = None, False, 0
    if with_role:
        depth = with_role[-1] + 1
        role, sure = marks[depth - 1].role, marks[depth - 1].sure
    stem = _spelled(path.stem)
    of_file, bare, variant = _file_marks(stem, role)
    in_folder = bool(role) or (bool(scales) and not of_file.role)
    if not role:
        role = of_file.role or (LR if scales or of_file.scale else None)
    return ImageName(
        path, role, sure, in_folder,
        scales[-1] if scales else None,
        of_file.scale,
        frozenset().union(*(mark.tracks for mark in marks), of_file.tracks),
        variant,
        tuple(word for mark in marks for word in mark.rest),
        stem,
        bare,
        pathlib.PurePath(*path.parts[:depth]),
    )  # fmt: skip


def is_scale(name: str) -> bool:
    """Whether a folder's name says a scale and nothing else (X4)."""
    return all(_SCALE.fullmatch(word) for word in _words(name))


@functools.lru_cache(10_000)
def folder_marks(name) -> Marks:
    """Marks anywhere in a folder's name."""
    return _marks(_words(name))


def _file_marks(stem, folder_role):
    """(marks at the ends of a file's name, the name without them, variant).

    Words for the role that its folder has not are no marks.
    """
    marks, variant, start, end = [], None, 0, len(stem)
    if folder_role != HR and (found := _SCALE_AT_END.fullmatch(stem)):
        marks, variant, end = [f"x{found[2]}"], found[3], found.end(1)
    words = list(_WORDS.finditer(stem, 0, end))
    while len(words) > 1 and _is_mark(words[-1][0], folder_role):
        marks.append(words.pop()[0])
        end = words[-1].end()
    while len(words) > 1 and _is_mark(words[0][0], folder_role):
        marks.append(words.pop(0)[0])
        start = words[0].start()
    return _marks(marks), stem[start:end], variant


def _is_mark(word, folder_role):
    found = _marks([word])
    return not found.rest and (folder_role is None or found.role in (None, folder_role))


def _marks(words) -> Marks:
    role, sure, scale, tracks, rest = None, False, None, set(), []
    for word in words:
        if found := _WORD.fullmatch(word):
            role, sure = SURE[found[2]], True
            tracks |= {found[1], found[3]} - {None}
            scale = int(found[4]) if found[4] else scale
        elif found := _SCALE.fullmatch(word):
            scale = int(found[1] or found[2])
        elif found := _MADE.fullmatch(word):
            rest.append(found[1])
            scale = int(found[2])
        else:
            rest.append(word)
    likely = [word for word in rest if word in LIKELY]
    if likely and not sure:
        role = LIKELY[likely[-1]]
    if role:
        rest = [word for word in rest if word not in LIKELY]
        tracks |= BICUBIC & set(likely)
    if role == LR:
        tracks |= TRACKS & set(rest)
        rest = [word for word in rest if word not in TRACKS]
    return Marks(role, sure, scale, frozenset(tracks), tuple(rest))


def _words(name) -> list[str]:
    return _WORDS.findall(_spelled(name))


def _spelled(name) -> str:
    """Name in lower case, parted at inner capitals (trainHR), with one spelling for each of SAME."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    for pattern, word in SAME:
        name = re.sub(pattern, word, name)
    return name
