from ..support.workers import Workers as Workers
