import multiprocessing

from cog import BaseRunner


def pong(connection):
    while True:
        text = connection.recv()
        print("worker got", text, flush=True)
        connection.send(text + " pong")


class Runner(BaseRunner):
    def setup(self) -> None:
        self.workers = []
        for method in ("fork", "spawn"):
            context = multiprocessing.get_context(method)
            ours, theirs = context.Pipe()
            context.Process(target=pong, args=(theirs,)).start()
            self.workers.append(ours)

    def run(self, text: str) -> str:
        answers = []
        for worker in self.workers:
            worker.send(text)
            answers.append(worker.recv())
        return ", ".join(answers)
