"""ICC profiles: which colour space they are of, and conversion of pixels to sRGB where a result can't carry them."""

import io

from PIL import Image, ImageCms

SPACES = {b"RGB ": "RGB", b"GRAY": "grey", b"CMYK": "CMYK", b"Lab ": "LAB", b"YCbr": "YCbCr"}
ERRORS = (ImageCms.PyCMSError, OSError, ValueError)


def space(profile: bytes) -> str | None:
    """Colour space of a profile ("RGB", "grey", "CMYK" ...), None for one that is damaged or none of an image."""
    kinds = (b"mntr", b"scnr", b"prtr", b"spac") + (b"abst",) * (profile[16:20] == b"Lab ")  # LittleCMS' own LAB
    if profile[36:40] != b"acsp" or profile[12:16] not in kinds:
        return None
    try:
        ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except ERRORS:
        return None
    return SPACES.get(profile[16:20], profile[16:20].decode("latin-1").strip())


def space_of_mode(mode: str) -> str:
    """Colour space of a Pillow mode, in the words of space."""
    if mode in ("CMYK", "LAB"):
        return mode
    return "grey" if mode.startswith(("1", "L", "I", "F")) else "RGB"


def is_srgb(profile: bytes) -> bool:
    """Whether a profile calls itself sRGB."""
    try:
        return "srgb" in ImageCms.getProfileDescription(io.BytesIO(profile)).lower()
    except ERRORS:
        return False


def conversion_profile(image: Image.Image) -> bytes:
    """Profile by which pixels become sRGB because a result can't be of their space; empty where Pillow's own way does.

    CMYK by a CMYK profile, LAB by its own or the standard one, grey by an RGB profile, which a grey file can't have.
    """
    profile = image.info.get("icc_profile") or b""
    found = space(profile)
    if image.mode == "LAB" and found != "LAB":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    wanted = {"LAB": "LAB", "CMYK": "CMYK", "L": "RGB", "LA": "RGB"}.get(image.mode)
    return profile if wanted is not None and found == wanted else b""


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Pixels of an 8-bit image converted from a profile's space to sRGB, perceptually, with black point compensation.

    Grey images of a grey or RGB profile stay grey; alpha stays as it is. Raises one of ERRORS where LittleCMS can't.
    """
    if image.mode == "P" or (image.mode in ("L", "RGB") and image.has_transparency_data):
        mode = "L" if image.mode == "L" else "RGB"
        image = image.convert(f"{mode}A" if image.has_transparency_data else mode)
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
