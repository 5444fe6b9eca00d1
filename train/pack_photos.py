"""Photographs for prepare, from Debian packages: what training refuses to name or read. The evaluation has others."""
import glob, os, shutil, subprocess
from PIL import Image

LONGEST = 800  # pixels
# package: photographs in it (scikit-image's are in the public domain or CC0, scikit-learn's CC BY 2.0)
PHOTOS = {
    "python3-skimage": "astronaut.png chelsea.png coffee.png rocket.jpg camera.png hubble_deep_field.jpg".split(),
    "python3-sklearn": "china.jpg flower.jpg".split(),
}


def photos(debs, work, out):
    """Fill the folder `out` with JPEG files; debs: {package: path}."""
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    for package, names in PHOTOS.items():
        root = os.path.join(work, package)
        os.makedirs(root, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", debs[package], root], check=True)
        for name in names:
            (path,) = glob.glob(os.path.join(root, "**", name), recursive=True)
            image = Image.open(path).convert("RGB")
            image.thumbnail((LONGEST, LONGEST))
            image.save(os.path.join(out, os.path.splitext(name)[0] + ".jpg"), quality=88)
