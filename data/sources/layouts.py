"""Layouts: which files of a folder are HR images, and which are their LR images, found by names (image_names).

No image of a folder of LR images is taken for an HR image, and no such folder is passed over in silence: where names do
not tell, sizes do, and then a UserError names the folder.
"""

import collections
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Iterable

from PIL import Image

from keras_rfdn.data.images import image_files
from keras_rfdn.data.sources import image_names
from keras_rfdn.data.sources.image_names import BICUBIC, HR, LR, ImageName
from keras_rfdn.data.system.errors import UserError

RATIOS = 2, 3, 4, 8
SAMPLES = 3  # images of a folder whose sizes are looked at
HINT = "a folder of HR images is best named HR, and its LR images LR_bicubic/X{scale} beside it"


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """HR images of one folder.

    lr_folder: where their LR images are, None where these are to be made. files: (HR file, LR file or None) each; an HR
    file of several LR images comes once with each.
    """

    hr_folder: pathlib.Path
    lr_folder: pathlib.Path | None
    files: tuple[tuple[pathlib.Path, pathlib.Path | None], ...]

    def missing_lr(self) -> list[pathlib.Path]:
        """HR files without their LR file, where there is a folder of LR files."""
        return [hr_path for hr_path, lr_path in self.files if self.lr_folder and lr_path is None]


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a folder holds. notes: what was decided that is not obvious, a sentence each."""

    sets: tuple[ImageSet, ...]
    notes: tuple[str, ...]


def find(folder: str | os.PathLike, scale: int) -> Layout:
    """Layout of a folder's images for one scale.

    Raises UserError when there is no image, when a folder of LR images has no HR images or is of another scale, and
    when it is not clear which images belong together.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name one that holds HR images")
    _refuse_lr_folder(folder)
    paths = [path.relative_to(folder) for path in image_files.find(folder)]
    seen = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
    names = [image_names.parse(path) for path in seen or paths]
    _refuse_empty_folders(folder, names, scale)
    return _Finder(folder, scale, _without_guesses(folder, names)).layout()


class _Finder:
    def __init__(self, folder, scale, names):
        self.folder, self.scale, self.names, self.notes = folder, scale, names, []

    def layout(self):
        lr, hr = collections.defaultdict(list), collections.defaultdict(list)
        for name in self.names:
            (lr if name.role == LR else hr)[name.group].append(name)
        for group, images in lr.items():
            if group not in hr:
                raise UserError(
                    f"{self._shown(images)} holds LR images, but no name tells where their HR images are; "
                    + HINT.format(scale=self.scale)
                )
        chosen = {group: self._hr_images(images) for group, images in hr.items()}
        if any(name.role == HR for images in chosen.values() for name in images):
            chosen = {g: images for g, images in chosen.items() if g in lr or images[0].role == HR}
        taken = {name.path for images in chosen.values() for name in images}
        others = [name for images in hr.values() for name in images if name.path not in taken]
        unread = [n for n in others if n.role != HR or (n.folder_scale or n.file_scale) in (None, self.scale)]
        sets, made = collections.defaultdict(list), []
        for group, images in chosen.items():
            partners = self._partners(images, lr[group]) if group in lr else None
            made += images if partners is None else []
            for n in images:
                key = n.root if n.in_folder else pathlib.PurePath(), partners is not None
                sets[key] += [(n, other) for other in (partners or {}).get(n, [None])]
        self._look_at_sizes(made, unread)
        if unread:
            self.notes.append(f"nothing is read from {self._shown(unread)}, which no name tells to be HR or LR images")
        return Layout(
            tuple(self._set(root, sorted(pairs, key=lambda p: p[0].path)) for (root, _), pairs in sorted(sets.items())),
            tuple(self.notes),
        )

    def _hr_images(self, images):
        """Of the images of a group that are no LR images, those that its HR images are."""
        named = [n for n in images if n.role == HR]
        named = [n for n in named if n.in_folder] or named or images
        of_scale = [n for n in named if (n.folder_scale or n.file_scale) == self.scale]
        return [n for n in named if (n.folder_scale or n.file_scale) in (None, self.scale)] if of_scale else named

    def _partners(self, images, lr):
        """{HR name: [LR names]}; None when the LR images are to be made."""
        candidates = [n for n in lr if n.folder_scale in (None, self.scale)]
        fitting = [n for n in candidates if n.file_scale in (None, self.scale)]
        if not candidates or not (fitting or self._pair(images, candidates, "stem", "stem")):
            others = sorted({n.folder_scale or n.file_scale for n in lr})
            text = f"{self._shown(lr)} holds LR images of x{', x'.join(map(str, others))} only"
            if not all(BICUBIC & n.tracks for n in lr):
                raise UserError(f"{text}; for x{self.scale} add theirs, or move it away to have them made by bicubic")
            self.notes.append(f"{text}; those of x{self.scale} are made by bicubic")
            return None
        ways = [
            self._pair(images, candidates, "stem", "stem"),
            self._pair(images, fitting, "stem", "bare"),
            self._pair(images, fitting, "bare", "bare"),
        ]
        best = max(map(len, ways))
        found, *others = [way for way in ways if len(way) == best]
        for image, other in ((image, way[image]) for way in others for image in found if image in way):
            if other != found[image]:
                self._ambiguous(image, [*found[image], *other])
        unused = {n.path for n in fitting} - {n.path for partners in found.values() for n in partners}
        unused = [n for n in fitting if n.path in unused]
        if found and unused:
            self.notes.append(
                f"{self.folder}: {len(unused)} LR images are left out ({self._names(unused)}): they have no HR image, "
                f"or bicubic LR images are beside them"
            )
        return found

    def _pair(self, images, lr, hr_key, lr_key):
        """{HR name: its LR names} by one way of comparing names."""
        by_name = collections.defaultdict(list)
        for name in lr:
            by_name[getattr(name, lr_key)].append(name)
        keys = collections.Counter(getattr(image, hr_key) for image in images)
        pairs = {}
        for image in images:
            key = getattr(image, hr_key)
            found = by_name.get(key, [])
            if keys[key] > 1:  # a.png and a.jpg
                found = [n for n in found if n.path.suffix.lower() == image.path.suffix.lower()]
            if len(found) > 1:
                found = self._preferred(image, found)
            if found:
                pairs[image] = found
        return pairs

    def _preferred(self, image, found):
        """Of several LR images of an HR image: all those of a wild track, and bicubic before others."""
        if len({n.path.parent for n in found}) == 1 and all(n.variant for n in found):
            return found
        bicubic = [n for n in found if n.tracks & BICUBIC and not n.tracks - BICUBIC]
        if len(bicubic) == 1 and all(n.tracks - BICUBIC for n in found if n not in bicubic):
            return bicubic
        return self._ambiguous(image, found)

    def _ambiguous(self, image, found):
        paths = " and ".join(sorted({str(n.path) for n in found}))
        raise UserError(f"{self.folder}: {image.path} may have its LR image in {paths}; move one of them away")

    def _set(self, root, pairs):
        lr_files = [self.folder / other.path for _, other in pairs if other]
        lr_folder = pathlib.Path(os.path.commonpath([path.parent for path in lr_files])) if lr_files else None
        files = tuple((self.folder / n.path, other and self.folder / other.path) for n, other in pairs)
        return ImageSet(self.folder / root, lr_folder, files)

    def _look_at_sizes(self, made, unread):
        """Raise UserError when one folder's images have another's names and an exact part of their size."""
        by_folder = collections.defaultdict(dict)
        for name in (*made, *unread):
            by_folder[name.path.parent].setdefault(name.bare if name.role else name.stem, name)
        by_stem = collections.defaultdict(list)
        for images in by_folder.values():
            for stem, name in itertools.islice(images.items(), SAMPLES):
                by_stem[stem].append(name)
        for names in by_stem.values():
            for small, large in itertools.permutations(names, 2) if len(names) < 20 else ():
                both = by_folder[small.path.parent].keys() & by_folder[large.path.parent].keys()
                samples = [(by_folder[n.path.parent][s] for n in (small, large)) for s in sorted(both)[:SAMPLES]]
                if all(_is_part(*(_size(self.folder / n.path) for n in sample)) for sample in samples):
                    raise UserError(
                        f"{self.folder / small.path.parent} seems to hold the LR images of "
                        f"{self.folder / large.path.parent}: the same names, smaller by a whole factor; "
                        f"{HINT.format(scale=self.scale)}; move away what is not to be read"
                    )

    def _shown(self, names):
        """The folders, or files, that names are in, for a message."""
        roots = {n.root if n.root.parts else pathlib.PurePath(*n.path.parts[:1]) for n in names}
        shown = sorted(str(root) for root in roots)
        return f"{self.folder}: {', '.join(shown[:5])}{' ...' if len(shown) > 5 else ''}"

    def _names(self, names):
        return ", ".join(str(n.path) for n in names[:3]) + (" ..." if len(names) > 3 else "")


def _without_guesses(folder, names) -> list[ImageName]:
    """Names where an unsure word for LR counts only if there is a larger image of the same name."""
    others = collections.defaultdict(list)
    for name in names:
        if name.role != LR or not name.sure:
            for group, stem in {(name.group, name.stem), (name.group, name.bare), (name.plain().group, name.stem)}:
                others[group, stem].append(name)
    guesses = collections.defaultdict(list)
    for name in names:
        if name.role == LR and not name.sure:
            guesses[name.path.parent, name.in_folder].append(name)
    wrong = {name.path for images in guesses.values() if not _has_larger(folder, images, others) for name in images}
    certain = {name.group for name in names if name.role == LR and name.path not in wrong}
    return [
        name.plain()
        if name.path in wrong or (name.role == HR and not name.sure and name.group not in certain)
        else name
        for name in names
    ]


def _has_larger(folder, images, others):
    matched = 0
    for image in images:
        for other in others[image.group, image.bare] + others[image.group, image.stem]:
            if other.path.parent == image.path.parent and image.in_folder:
                continue
            if other.path != image.path:
                small, large = _size(folder / image.path), _size(folder / other.path)
                if small and large and small[0] < large[0] and small[1] < large[1]:
                    return True
                matched += 1
        if matched >= SAMPLES:
            break
    return False


def _refuse_lr_folder(folder):
    """Raise UserError for LR_bicubic, LR_bicubic/X4 or lq themselves, beside a folder of HR images."""
    path = folder.resolve()
    here = path.parent if image_names.is_scale(path.name) else path
    marks = image_names.folder_marks(here.name)
    if (marks.role, marks.sure) != (LR, True):
        return
    for beside in sorted(_folders(here.parent)):
        other = image_names.folder_marks(beside.name)
        if (other.role, other.rest) == (HR, marks.rest):
            raise UserError(f"{folder} holds the LR images of {beside}; name the folder above both")


def _refuse_empty_folders(folder, names, scale):
    """Raise UserError when a folder of HR images, or of LR images of this scale, has none."""
    used = {parent for name in names for parent in name.path.parents}
    for path in itertools.chain.from_iterable((p, *_folders(p)) for p in _folders(folder)):
        relative = path.relative_to(folder)
        if relative in used or path.name.startswith("."):
            continue
        found, own = image_names.parse(relative / "image"), image_names.folder_marks(path.name)
        if found.sure and (own.sure or own.scale) and (found.role == HR or found.folder_scale in (None, scale)):
            ask = "add its LR images, or move it away to have them made by bicubic" if found.role == LR else "add some"
            raise UserError(f"no image in {path}; {ask}")


def _folders(folder) -> Iterable[pathlib.Path]:
    return (path for path in folder.iterdir() if path.is_dir())


def _size(path):
    """(width, height) by a file's header; None where it can't be read, which is told when it is."""
    try:
        with Image.open(path) as image:
            return image.size
    except Exception:
        return None


def _is_part(small, large):
    return bool(small and large) and any(small == (large[0] // r, large[1] // r) for r in RATIOS)
