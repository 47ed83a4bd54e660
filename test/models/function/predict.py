from cog import Input


def predict(prompt: str = Input(description="Text")) -> str:
    return prompt.upper()
