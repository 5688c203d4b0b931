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

from graphkit.adapters import AlignmentGraphAdapter, LatticeGraphAdapter, LexiconGraphAdapter
from graphkit.metrics import character_error_rate
from graphkit.train import TensorTask, Trainer, seed_everything
from graphkit.vision import (
    LIBS,
    AttentionSeq2Seq,
    CascadeSeq2Seq,
    Padded,
    SequenceEncoder,
    Stage,
    Taught,
    log_mel,
    mouth_centre,
    mouth_crops,
    pad_symbols,
)

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

# %% [markdown]
# ## LIBS: who sees learns from who hears
#
# The reader of the blurred frames has the same transcripts as before, and a teacher besides: its
# view of the whole sentence, what it attended to at each symbol that it got right, and each of its
# frames. Sound and video have different rates; the alignment between them is learned as well.

# %%
own = target[:100]
few = Padded(video.x[:100], video.lengths[:100])
plain = AttentionSeq2Seq(SequenceEncoder(16, 48), 10, 48)
pupil = LIBS(AttentionSeq2Seq(SequenceEncoder(16, 48), 10, 48), listener, weights=(3, 3, 3))
pupil.student.load_state_dict(plain.state_dict())
train(plain, TensorTask((*few, own), lambda m, x, n, y: m.loss(Padded(x, n), y), 32), 60)
taught = pupil.teach(Padded(sound.x[:100], sound.lengths[:100]), own)
right = taught.matched.sum() / (own >= 0).sum()
print("share of symbols that the teacher gets right", round(float(right), 3))


def study(model, x, lengths, target, *taught):
    return model.loss(Padded(x, lengths), target, Taught(*taught))


train(pupil, TensorTask((*few, own, *taught), study, 32), 60)
print("errors per digit, alone", errors(plain, test_video, truth))
print("errors per digit, taught", errors(pupil.student, test_video, truth))

# %% [markdown]
# The recipe `libs-digits` says how much each part is worth, over five seeds, and that a teacher who
# speaks of another sentence is worth nothing. What both networks make of a sentence is a graph.

# %%
adapter = AlignmentGraphAdapter(pupil)
print(adapter.schema)
n = 0
graph = adapter(
    test_video.x[n, : test_video.lengths[n]],
    test_sound.x[n, : test_sound.lengths[n]],
    truth[n][truth[n] >= 0],
)
graph

# %% [markdown]
# ## A cascade: syllables, then tones, then characters
#
# In a language of tones the same syllable is several words. Below a digit is the syllable, its
# movement over two frames the tone, and each syllable with a tone is a character of its own.

# %%
words = torch.tensor([[s, t, (7 * s + 10 * t) % 20] for s in range(10) for t in (0, 1)])
kinds = words[:, 2].view(10, 2)


def toned(count, rows):
    """Digits that move down or up, as syllables, tones and characters."""
    texts, video = {"syllable": [], "tone": [], "character": []}, []
    for length in torch.randint(2, 5, (count,)).tolist():
        word, tone = torch.randint(10, (length,)), torch.randint(2, (length,))
        shown = torch.stack([images[rows[digit[rows] == d]][torch.randint(40, (1,))] for d in word])
        both = torch.cat([shown, shown.roll(2, 2)], 1)
        frames = torch.where(tone.view(-1, 1, 1, 1) == 0, both, both.flip(1))
        video.append((frames + 0.05 * torch.randn_like(frames)).flatten(0, 1))
        for name, text in zip(texts, (word, tone, kinds[word, tone]), strict=True):
            texts[name].append(text.tolist())
    return {name: pad_symbols(text) for name, text in texts.items()}, Padded.of(video)


stages = [
    Stage("syllable", 10),
    Stage("tone", 2, ("input", "syllable")),
    Stage("character", 20, ("input", "syllable", "tone")),
]
cascade = CascadeSeq2Seq(SequenceEncoder(64, 48), stages, 48, max_length=8)
texts, frames = toned(400, (~unseen).nonzero()[:, 0])
for feed, epochs in (("truth", 40), ("prediction", 10)):

    def loss(model, x, lengths, *rows, feed=feed):
        return model.loss(Padded(x, lengths), dict(zip(texts, rows, strict=True)), feed)

    train(cascade.train(), TensorTask((*frames, *texts.values()), loss, 32), epochs)
test_texts, test_frames = toned(100, unseen.nonzero()[:, 0])
for name, found in cascade.read(test_frames).items():
    real = [[s for s in row if s >= 0] for row in test_texts[name].tolist()]
    print(name, "errors", round(character_error_rate(found.best(), real), 3))

# %% [markdown]
# What a stage could have read instead is a lattice. With a lexicon, symbols that some word has
# together are linked; the recipe `cssmcm-tonal-digits` rescores such lattices with a layer per kind
# of edge.

# %%
lattice = LatticeGraphAdapter(cascade, beam=3, lexicon=words)(
    test_frames.x[0, : test_frames.lengths[0]],
    {name: text[0][text[0] >= 0] for name, text in test_texts.items()},
)
store = lattice["character"]
for place, symbol, chance, right in zip(
    store.time, store.symbol, store.log_prob.exp(), store.y, strict=True
):
    print(int(place), int(symbol), round(float(chance), 3), "right" if right else "")
lattice

# %% [markdown]
# The lexicon is a graph by itself: homophones are two hops apart.

# %%
LexiconGraphAdapter(("syllable", "tone", "character"), (10, 2, 20))(words)

# %% [markdown]
# ## Real clips
#
# With the extra `speech` (PyAV), clips of the GRID corpus go from file to tensors; their names say
# what is spoken:
#
# ```python
# from graphkit.datasets import grid
#
# one = grid()[0]
# clip = one.read()
# clip.mouth(), clip.mel(), one.text  # [75, 50, 100], [298, 40], 'bin blue at f two now'
# ```
#
# The mouth is the place in the lower half that moves most; the sound becomes a hundred frames per
# second. Both work on tensors from elsewhere.

# %%
face = torch.rand(60, 90).repeat(25, 1, 1)
face[::2, 40:46, 40:52] = 0
tone = torch.sin(2 * torch.pi * 440 * torch.arange(16000) / 16000)
print("mouth around", mouth_centre(face), mouth_crops(face, (20, 40)).shape)
print("loudest band of a tone of 440 Hz", int(log_mel(tone, 16000)[50].argmax()))
