"""Early stopping as it is usually written: an object that is told each epoch's number and counts."""


class EarlyStopping:
    """Counts epochs that were not better than the last one that counted by ``delta`` or more."""

    def __init__(self, patience, delta, higher):
        self.patience, self.delta, self.higher = patience, delta, higher
        self.counter, self.counted, self.best, self.best_epoch, self.epoch = 0, None, None, 0, 0
        self.stop = False

    def tell(self, number):
        self.epoch += 1
        score = number if self.higher else -number
        if self.best is None or score > self.best:
            self.best, self.best_epoch = score, self.epoch
        if self.counted is None:
            self.counted = score
        elif score < self.counted + self.delta or score == self.counted:
            self.counter += 1
            if self.counter >= self.patience:
                self.stop = True
        else:
            self.counted = score
            self.counter = 0
