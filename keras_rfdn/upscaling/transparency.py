"""Transparent pixels get the colours of their visible neighbours, so that nothing bleeds into visible edges."""

from PIL import Image


def fill(image: Image.Image) -> Image.Image:
    """Pillow image RGBA or LA -> RGB or L, fully transparent pixels filled from the nearest visible colours.

    Games and drawing programs leave black or anything under alpha 0, which the network would smear over the edges. The
    fill is push-pull: averages of the visible pixels on ever coarser grids, each shown through the holes of the finer
    one. Unchanged where all is visible, or nothing.
    """
    alpha = image.getchannel("A")
    visible = alpha.point(lambda a: 255 if a else 0)
    if not visible.getbbox() or visible.getextrema()[0] == 255:
        return image.convert(image.mode[:-1])
    rgba = image.convert("RGBA")
    rgba.putalpha(visible)
    return _filled(rgba).convert(image.mode[:-1])


def _filled(image):
    """RGBA whose alpha is 0 or 255 -> RGB without holes."""
    visible = image.getchannel("A")
    if visible.getextrema()[0] == 255:
        return image.convert("RGB")
    # Premultiplied, an average over a grid's cell weighs its visible pixels alone.
    coarse = image.convert("RGBa").reduce(2).convert("RGBA")
    coarse.putalpha(coarse.getchannel("A").point(lambda a: 255 if a else 0))
    behind = _filled(coarse).resize(image.size, Image.Resampling.BILINEAR)
    behind.paste(image, mask=visible)
    return behind
