"""ICC profiles: which colour space they are of, and conversion of pixels to sRGB where a result can't carry them."""

import io

from PIL import Image, ImageCms

SPACES = {b"RGB ": "RGB", b"GRAY": "grey", b"CMYK": "CMYK", b"Lab ": "LAB", b"YCbr": "YCbCr"}
ERRORS = (ImageCms.PyCMSError, OSError, ValueError)


def space(profile: bytes) -> str | None:
    """Colour space of a profile ("RGB", "grey", "CMYK" ...), None for one that is damaged or none of an image."""
    if profile[36:40] != b"acsp" or profile[12:16] not in (b"mntr", b"scnr", b"prtr", b"spac"):
        return None
    try:
        ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except ERRORS:
        return None
    return SPACES.get(profile[16:20], profile[16:20].decode("latin-1").strip())


def space_of_mode(mode: str) -> str:
    """Colour space of a Pillow mode, in the words of space."""
    if mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        return mode
    return "grey" if mode.startswith(("1", "L", "I", "F")) else "RGB"


def space_of_image(image: Image.Image) -> str:
    """Colour space of an image's pixels: that of its mode, RGB for a palette."""
    return space_of_mode(image.mode)


def is_srgb(profile: bytes) -> bool:
    """Whether a profile calls itself sRGB."""
    try:
        return "srgb" in ImageCms.getProfileDescription(io.BytesIO(profile)).lower()
    except ERRORS:
        return False


def needs_conversion(image: Image.Image) -> bool:
    """Whether pixels are neither RGB nor grey, or are grey with an RGB profile, which a grey file can't have."""
    if image.mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        return True
    return image.mode in ("L", "LA") and space(image.info.get("icc_profile") or b"") == "RGB"


def to_rgb(image: Image.Image, *, sample: bool = False) -> Image.Image:
    """Image that needs_conversion, in sRGB: by its own profile where that is of its space, else by Pillow's own way.

    sample: convert one pixel of its mode instead, to see whether it can be done. Raises one of ERRORS where it can't.
    """
    profile = image.info.get("icc_profile") or b""
    if sample:
        image = Image.new(image.mode, (1, 1))
    if image.mode == "LAB" and space(profile) != "LAB":
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    if image.mode in ("YCbCr", "HSV") or (image.mode == "CMYK" and space(profile) != "CMYK"):
        return image.convert("RGB")
    return to_srgb(image, profile)


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Pixels of an 8-bit image converted from a profile's space to sRGB, perceptually, with black point compensation.

    Grey images of a grey or RGB profile stay grey; alpha stays as it is. Raises one of ERRORS where LittleCMS can't.
    """
    if image.mode == "P":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK", "LAB"):
        raise ValueError(f"no conversion of mode {image.mode}")
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    grey = image.mode in ("L", "LA")
    wanted = {"grey": "L", "CMYK": "CMYK", "LAB": "LAB"}.get(space(profile), "RGB")
    result = ImageCms.profileToProfile(
        image if image.mode == wanted else image.convert(wanted),
        io.BytesIO(profile),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.PERCEPTUAL,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    result = result.convert("L") if grey else result
    if alpha is not None:
        result.putalpha(alpha)
    result.info = {key: value for key, value in image.info.items() if key != "icc_profile"}
    return result
