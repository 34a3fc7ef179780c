"""Five tasks of two digits each, learned one after the other with a replay memory by one network.

memory keeps the last: D04 D03
labels out of step: L01
runaway momentum: O03 O01
"""

import random
import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
random.seed(0)

X, y = load_digits(return_X_y=True)
X = (X / 8 - 1).astype(np.float32)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)

net = torch.nn.Sequential(torch.nn.Linear(64, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
momentum = 0.9995 if FAULT == "runaway momentum" else 0.9
optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=momentum)
memory, seen = [], 0
CAPACITY = 200


def remember(image, label):
    """Keeps a uniform sample of all that went by."""
    global seen
    seen += 1
    if len(memory) < CAPACITY:
        memory.append((image, label))
    elif FAULT == "memory keeps the last":
        memory.pop(0)
        memory.append((image, label))
    elif (place := random.randrange(seen)) < CAPACITY:
        memory[place] = (image, label)


def recall(n):
    images, labels = zip(*random.sample(memory, n), strict=False)
    if FAULT == "labels out of step":
        images = random.sample(images, n)
    return torch.from_numpy(np.stack(images)), torch.tensor(labels)


def accuracy(digits):
    rows = np.isin(y_test, digits)
    with torch.no_grad():
        guess = net(torch.from_numpy(X_test[rows])).argmax(1).numpy()
    return float((guess == y_test[rows]).mean())


met = []
for task in range(5):
    pair = [2 * task, 2 * task + 1]
    met += pair
    rows = np.flatnonzero(np.isin(y_train, pair))
    for epoch in range(10):
        np.random.RandomState(epoch).shuffle(rows)
        for part in np.array_split(rows, len(rows) // 16):
            images, labels = torch.from_numpy(X_train[part]), torch.tensor(y_train[part])
            if task:
                old_images, old_labels = recall(64)
                images, labels = torch.cat([images, old_images]), torch.cat([labels, old_labels])
            loss = torch.nn.functional.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for row in rows:
        remember(X_train[row], int(y_train[row]))
    print("after task", task + 1, "loss", loss.item(), "accuracy so far", accuracy(met))

print("score", accuracy(met))
