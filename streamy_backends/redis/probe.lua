-- Sees whether the server takes writes, and rings a bell that nobody but its caller listens to.
-- KEYS  the bell's channel, as a key that is never there
-- ARGV  PUBLISH or SPUBLISH
redis.call('DEL', KEYS[1]) -- a write that changes nothing
redis.call(ARGV[1], KEYS[1], '')
return 'rung'
