import there_is_no_such_module


class Runner:
    def run(self) -> str:
        return "never"
