-- Ends a stream for good, and rings its bell. A state is described in append.lua.
-- KEYS  state
-- ARGV  settings, as for append; the epoch of a new stream, or ''; nonce
-- Gives "ended"; or "unknown", as append does.
local state = KEYS[1]
local stream_age, publish = string.match(ARGV[1], '%d+ %d+ (%d+) %d+ (%u+)')
local found = redis.call('GET', state)
if not found then
  if ARGV[2] == '' then
    return 'unknown'
  end
  found = ARGV[2] .. ' 0 000 0 000 0 -'
end
local begin, ended = string.match(found, '^(.+) (%S+)$')
if ended ~= '-' then
  redis.call('PEXPIRE', state, stream_age) -- a write, so that WAIT has something to wait for
  return 'ended'
end
redis.call('SET', state, begin .. ' ' .. ARGV[3], 'PX', stream_age)
redis.call(publish, string.gsub(state, 'state$', 'bell'), '')
return 'ended'
