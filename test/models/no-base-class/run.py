class Model:
    def setup(self):
        self.count = 0

    def run(self) -> int:
        self.count += 1
        return self.count
