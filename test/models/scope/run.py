import threading

from cog import BaseRunner, current_scope

OUTSIDE = current_scope()
OUTSIDE.record_metric("ignored", 1)


class Runner(BaseRunner):
    def run(self) -> str:
        seen = []
        thread = threading.Thread(target=lambda: seen.append(current_scope().context.get("region")))
        thread.start()
        thread.join()
        context = current_scope().context
        return ", ".join("{}:{}".format(key, value) for key, value in sorted(context.items())) + " " + str(seen[0])
