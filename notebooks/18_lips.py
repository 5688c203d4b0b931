# %% [markdown]
# # Lips and speech: sequences read from sequences
#
# Frames go in, symbols come out, and neither are as many as the other. Here a "sentence" is a few
# handwritten digits in a row: its "video" is blurred and noisy, its "sound" is clear. Set
# `GRAPHKIT_FAST=1` to shrink every run to seconds.

# %%
import os

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from graphkit.metrics import character_error_rate
from graphkit.train import TensorTask, Trainer, seed_everything
from graphkit.vision import AttentionSeq2Seq, Padded, SequenceEncoder, pad_symbols

fast = bool(os.environ.get("GRAPHKIT_FAST"))
seed_everything(0)
images, digit = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
images = images.float().view(-1, 8, 8) / 16
unseen = torch.arange(len(digit)) % 3 == 0


def sentences(count, rows):
    """Digits of each sentence, three clear frames of each one, and two blurred ones."""
    target, sound, video = [], [], []
    for length in torch.randint(2, 5, (count,)).tolist():
        word = torch.randint(10, (length,))
        shown = [rows[digit[rows] == d] for d in word]
        shown = torch.stack([some[torch.randint(len(some), (3,))] for some in shown])
        blurred = F.avg_pool2d(images[shown[:, :2]], 2)
        target.append(word.tolist())
        sound.append(images[shown].flatten(0, 1))
        video.append((blurred + 0.1 * torch.randn_like(blurred)).flatten(0, 1))
    return pad_symbols(target), Padded.of(sound), Padded.of(video)


def train(model, task, epochs, lr=0.005):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    Trainer(2 if fast else epochs, monitor=None, seed=0, progress=False).fit(model, optimizer, task)
    return model.eval()


def errors(model, source, target):
    truth = [[s for s in row if s >= 0] for row in target.tolist()]
    return round(character_error_rate(model.read(source, max_length=8).best(), truth), 3)


# %% [markdown]
# ## Attention over frames
#
# An encoder reads the frames that each sentence has, a decoder attends over them while it spells.

# %%
target, sound, video = sentences(200, (~unseen).nonzero()[:, 0])
truth, test_sound, test_video = sentences(100, unseen.nonzero()[:, 0])
listener = AttentionSeq2Seq(SequenceEncoder(64, 48), 10, 48)
task = TensorTask((*sound, target), lambda m, x, n, y: m.loss(Padded(x, n), y), 32)
train(listener, task, 25)
print("errors per digit by ear", errors(listener, test_sound, truth))
out = listener(test_sound, truth)
print("frames that the first digit attends to", out.attention[0][0, 0].round(decimals=2))

# %% [markdown]
# A beam keeps several readings, with the logarithms of their probabilities.

# %%
found = listener.read(test_sound, beam=3, max_length=8)
for symbols, score in zip(found.symbols[0], found.scores[0], strict=True):
    print(symbols.tolist(), round(float(score), 2))
