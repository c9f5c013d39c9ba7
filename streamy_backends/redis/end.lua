-- Ends a stream for good, and rings its bell. A state is described in append.lua.
-- KEYS  state
-- ARGV  settings, as for append; the epoch of a new stream, or ''; nonce
-- Gives "ended"; or "unknown", as append does.
local state = KEYS[1]
local stream_age, publish, secret = string.match(ARGV[1], '%d+ %d+ (%d+) %d+ (%u+) (%w+)')
local found = redis.call('MGET', state)[1] -- which takes a key of another kind for none
if not is_state(found) then
  if ARGV[2] == '' then
    return 'unknown'
  end
  found = ARGV[2] .. ' 0 000 0 000 0 - ' .. secret
end
local begin, ended, secret = string.match(found, '^(.+) (%S+) (%S+)$')
if ended ~= '-' then
  redis.call('PEXPIRE', state, stream_age) -- a write, so that WAIT has something to wait for
  return 'ended'
end
redis.call('SET', state, begin .. ' ' .. ARGV[3] .. ' ' .. secret, 'PX', stream_age)
redis.call(publish, string.gsub(state, 'state$', 'bell'), '')
return 'ended'
