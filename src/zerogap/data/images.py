"""Folders of images: one sub-folder for each class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zerogap.data.raw import RawData, reading
from zerogap.errors import DataFileError, MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", ".tif", ".tiff")

FORMATS = "PNG, JPG, BMP, PGM or TIFF"


def read_image_folder(folder: Path) -> RawData:
    """Read ``folder/class/image.png`` and so on.

    Sub-folders are the classes; those that begin with a dot, and files of other types, are left out. Pixels are
    divided by 255. An alpha channel is dropped if it is opaque everywhere.

    Returns
    -------
    RawData
        X of shape (n, h, w) for grey and (n, h, w, 3) for colour images; samples sorted by class and file name.

    Raises
    ------
    DataFileError
        No sub-folders, a sub-folder without images, an image that cannot be read, or images of different shapes.
    MissingExtraError
        Pillow is not installed.
    """
    with reading(folder, "a folder of images", "check the folder"):
        classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise DataFileError(
            f"image folder {folder}", "no sub-folders", "one sub-folder of images for each class",
            "sort the images into sub-folders that are named like the classes",
        )  # fmt: skip
    pixels: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    first = folder
    for each in classes:
        with reading(each, "a folder of images", "check the folder"):
            files = sorted(entry for entry in each.iterdir() if entry.suffix.lower() in SUFFIXES and entry.is_file())
        if not files:
            raise DataFileError(
                f"folder {each}", "no images", f"{FORMATS} files in each sub-folder", "add some, or remove the folder"
            )
        for file in files:
            pixels.append(_pixels(file))
            first = first if labels else file
            labels.append(each.name)
            if pixels[-1].shape != pixels[0].shape:
                raise DataFileError(
                    f"image {file}", _shape(pixels[-1]), f"{_shape(pixels[0])} as {first}", "make all images alike"
                )
    return RawData(folder.resolve().name, np.stack(pixels) / 255.0, np.array(labels))


def _pixels(file: Path) -> NDArray[np.uint8]:
    """The pixels of one image, (h, w) or (h, w, 3)."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("reading image folders", "PIL", "images") from error
    with reading(file, f"an image ({FORMATS})", "export it again, or delete it"), Image.open(file) as image:
        return np.asarray(_plain(file, image))


def _plain(file: Path, image: Image) -> Any:
    """The image as 8-bit grey or RGB."""
    if image.mode in ("L", "RGB"):
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "P" and "transparency" not in image.info:
        return image.convert("RGB")
    if image.mode not in ("P", "LA", "RGBA"):
        raise DataFileError(
            f"image {file}", f"mode {image.mode}", "8-bit grey or RGB", "convert it, for example to an 8-bit PNG"
        )
    whole = image.convert("RGBA" if image.mode == "P" else image.mode)
    if whole.getchannel("A").getextrema() != (255, 255):
        raise DataFileError(f"image {file}", "transparent pixels", "an opaque image", "flatten it onto a background")
    return whole.convert("L" if image.mode == "LA" else "RGB")


def _shape(pixels: NDArray[np.uint8]) -> str:
    height, width = pixels.shape[:2]
    return f"{width} x {height} pixels, {'grey' if pixels.ndim == 2 else 'colour'}"
