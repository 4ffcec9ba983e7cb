"""Folders of images: one sub-folder for each class, or images alone."""

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

SORTED = "one sub-folder of images for each class"

FORMATS = "PNG, JPG, BMP, PGM or TIFF"


def read_image_folder(folder: Path) -> RawData:
    """Read ``folder/class/image.png`` and so on, or ``folder/image.png`` where there are no sub-folders.

    Sub-folders are the classes; those that begin with a dot, and files of other types, are left out. Without
    sub-folders there are no labels. Pixels are divided by 255. An alpha channel is dropped if it is opaque everywhere.

    Returns
    -------
    RawData
        X of shape (n, h, w) for grey and (n, h, w, 3) for colour images; samples sorted by class and file name.

    Raises
    ------
    DataFileError
        Neither images nor sub-folders, a sub-folder without images, an image that cannot be read, or images of
        different shapes.
    MissingExtraError
        Pillow is not installed.
    """
    with reading(folder, "a folder of images", "check the folder"):
        classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    alone = [] if classes else _files(folder)
    if not classes and not alone:
        raise DataFileError(
            f"image folder {folder}", "no sub-folders and no images", SORTED,
            "sort the images into sub-folders that are named like the classes",
        )  # fmt: skip
    files, labels = list(alone), []
    for each in classes:
        if not _utf8(each.name):
            raise DataFileError(f"folder {each.name!a}", "a name that is not UTF-8", "names of classes", "rename it")
        found = _files(each)
        if not found:
            raise DataFileError(
                f"folder {each}", "no images", f"{FORMATS} files in each sub-folder", "add some, or remove the folder"
            )
        files += found
        labels += [each.name] * len(found)
    pixels: list[NDArray[np.uint8]] = []
    for file in files:
        pixels.append(_pixels(file))
        if pixels[-1].shape != pixels[0].shape:
            raise DataFileError(
                f"image {file}", _shape(pixels[-1]), f"{_shape(pixels[0])} as {files[0]}", "make all images alike"
            )
    return RawData(
        folder.resolve().name, np.stack(pixels) / 255.0, np.array(labels) if labels else None, missing=SORTED
    )


def _utf8(name: str) -> bool:
    """Whether a file name is text: bytes that are no UTF-8 come as halves of surrogate pairs."""
    return not any("\ud800" <= mark <= "\udfff" for mark in name)


def _files(folder: Path) -> list[Path]:
    """The images of a folder, sorted by name."""
    with reading(folder, "a folder of images", "check the folder"):
        return sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES and entry.is_file())


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
