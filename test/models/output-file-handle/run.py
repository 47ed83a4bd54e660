import io

from cog import BaseModel, BaseRunner, File


class Output(BaseModel):
    text: File
    data: File


class Runner(BaseRunner):
    def run(self) -> Output:
        return Output(text=io.StringIO("hello"), data=File(io.BytesIO(b"bytes")))
