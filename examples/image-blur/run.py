import tempfile

from cog import BaseRunner, Input, Path
from PIL import Image, ImageFilter, ImageOps


class Runner(BaseRunner):
    def run(
        self,
        image: Path = Input(description="The image: a URL, an uploaded file or a data URI", accept="image/*"),
        radius: float = Input(description="Radius of the blur in pixels", default=5, ge=0, le=100),
    ) -> Path:
        with Image.open(image) as source:
            upright = ImageOps.exif_transpose(source).convert("RGB")
        self.record_metric("pixels", upright.width * upright.height)
        out = Path(tempfile.mkdtemp()) / "blurred.png"
        upright.filter(ImageFilter.GaussianBlur(radius)).save(out)
        return out
