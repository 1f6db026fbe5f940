"""Video: clips in and out with their colours and rates kept, magnified frame by frame in bounded memory."""
