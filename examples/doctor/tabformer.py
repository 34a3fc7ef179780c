"""TabFormer, the encoder of rows: attention runs across the batch.

Repository: IBM/TabFormer
Thread: https://github.com/IBM/TabFormer/pull/14
Wrong: nn.TransformerEncoder expects (sequence, batch, features) and gets (batch, columns, features): each
    field attends to the same field of the other rows of the batch, and never to the other fields of its row.
Mended: permute to (columns, batch, features) before the encoder, and back after it.
Expected: A04
"""

import sys

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

FIXED = "--fixed" in sys.argv
COLUMNS, VALUES = 6, 4


class TabFormerEmbeddings(nn.Module):
    """Embeds the fields of a row and lets them attend to each other."""

    def __init__(self, field_hidden_size: int = 24, hidden_size: int = 32) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(COLUMNS * VALUES, field_hidden_size)
        encoder_layer = nn.TransformerEncoderLayer(
            field_hidden_size, nhead=4, dim_feedforward=48, dropout=0.0
        )
        self.transformer_encoder = nn.TransformerEncoder(encoder_layer, 1, enable_nested_tensor=False)
        self.lin_proj = nn.Linear(field_hidden_size * COLUMNS, hidden_size)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Turn rows (B, COLUMNS) into vectors (B, hidden_size)."""
        inputs_embeds = self.word_embeddings(input_ids)
        if FIXED:
            inputs_embeds = inputs_embeds.permute(1, 0, 2)
        inputs_embeds = self.transformer_encoder(inputs_embeds)
        if FIXED:
            inputs_embeds = inputs_embeds.permute(1, 0, 2)
        return self.lin_proj(inputs_embeds.flatten(1))


class RowClassifier(nn.Module):
    """Embedded rows and a linear head."""

    def __init__(self, hidden_size: int = 32) -> None:
        super().__init__()
        self.tab_embeddings = TabFormerEmbeddings(hidden_size=hidden_size)
        self.classifier = nn.Linear(hidden_size, 2)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Scores of fraud and of no fraud."""
        return self.classifier(self.tab_embeddings(input_ids))


def transactions(n: int) -> TensorDataset:
    """Rows of categories; a row is odd where two of its fields do not fit each other."""
    fields = torch.randint(0, VALUES, (n, COLUMNS))
    fraud = (fields[:, 0] % 2 != fields[:, 3] % 2).long()
    flipped = torch.rand(n) < 0.03
    return TensorDataset(fields + VALUES * torch.arange(COLUMNS), torch.where(flipped, 1 - fraud, fraud))


torch.manual_seed(0)
train_set, eval_set = transactions(2400), transactions(800)
model = RowClassifier()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fct = nn.CrossEntropyLoss()
accuracy = 0.0
for epoch in range(6):
    model.train()
    total = 0.0
    for input_ids, labels in DataLoader(train_set, 32, shuffle=True):
        optimizer.zero_grad()
        loss = loss_fct(model(input_ids), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
    model.eval()
    with torch.no_grad():
        pairs = [(model(input_ids), labels) for input_ids, labels in DataLoader(eval_set, 32)]
    logits, labels = (torch.cat(column) for column in zip(*pairs, strict=True))
    accuracy = float((logits.argmax(1) == labels).float().mean())
    print(f"epoch {epoch} loss {total / 75:.4f} eval_loss {loss_fct(logits, labels):.4f} acc {accuracy:.4f}")
print(f"evaluation accuracy {accuracy:.3f}")
