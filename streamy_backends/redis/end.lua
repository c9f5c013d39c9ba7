-- Ends a stream for good, and rings its bell. A state is described in append.lua.
-- KEYS  state
-- ARGV  settings, as for append; the epoch of a new stream, or ''; nonce
-- Gives "ended"; or "unknown" or "mute", as append does.
local state = KEYS[1]
local said, publish, secret = string.match(ARGV[1], '(%d+ %d+ %d+) %d+ (%u+) (%w+)')
local found = redis.call('MGET', state)[1] -- which takes a key of another kind for none
local bell = string.gsub(state, 'state$', 'bell')
if not may_ring(publish, bell) then
  return 'mute'
end
local epoch, _, _, _, _, _, _, _, kept_before = parts_of(found)
local kept, _, _, stream_age = kept_of(said, kept_before)
if not epoch then
  if ARGV[2] == '' then
    return 'unknown'
  end
  found = ARGV[2] .. ' 0 000 0 000 0 - ' .. secret .. ' ' .. kept
end
local begin, ended, after = string.match(found, '^(%S+ %d+ %S+ %d+ %S+ %d+) (%S+) (%w+ %d+ %d+ %d+)$')
if ended ~= '-' then
  redis.call('PEXPIRE', state, string.format('%d', stream_age)) -- a write, so that WAIT has something to wait for
  return 'ended'
end
redis.call('SET', state, begin .. ' ' .. ARGV[3] .. ' ' .. after, 'PX', string.format('%d', stream_age))
redis.call(publish, bell, '')
return 'ended'
