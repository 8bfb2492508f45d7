"""A paper's part in one's own PyTorch code: Hopfield pooling of sets of different sizes."""

import torch

from replica.memory import HopfieldPooling, ModernHopfield

sets = torch.randn(8, 20, 32)  # 8 sets of up to 20 members of 32 features
padding = torch.arange(20) >= torch.randint(5, 21, (8, 1))  # True where a set has no member

model = torch.nn.Linear(32, 1)
pool = HopfieldPooling(32)
print("one number a set:", model(pool(sets, key_padding_mask=padding)).shape)

# Or the memory itself: store patterns, damage them, have them back after one update.
patterns = torch.randn(1000, 64)
memory = ModernHopfield(patterns)
recalled = memory.retrieve(patterns + 0.3 * torch.randn_like(patterns), beta=1.0)
print("worst error after one update:", float((recalled.state - patterns).abs().max()))
