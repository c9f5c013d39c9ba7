-- Appends events to a stream, all or none, and rings its bell.
-- KEYS  state, log, idempotency key
-- ARGV  new epoch or '', nonce, history, history age, stream age, key age (ms), bell command, bell channel,
--       then data, name, retry of each event
-- Gives {'stored' | 'known', epoch, place before the first, nonce, count}, or {'ended'}, or {'unknown'} if
-- the stream isn't there and no epoch was given: nothing is stored then.
local state, log, key = KEYS[1], KEYS[2], KEYS[3]
local new_epoch, nonce, history, history_age = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local stream_age, key_age = ARGV[5], ARGV[6]

local known = redis.call('GET', key)
if known then
  redis.call('PEXPIRE', key, key_age) -- a write, so that WAIT has something to wait for
  local epoch, place, its_nonce, count = string.match(known, '(%S+) (%S+) (%S+) (%S+)')
  return {'known', epoch, tonumber(place), its_nonce, tonumber(count)}
end

local epoch, head, head_nonce, before, before_nonce, ended =
  unpack(redis.call('HMGET', state, 'epoch', 'head', 'head_nonce', 'before', 'before_nonce', 'end'))
if ended then
  return {'ended'}
end
if not epoch then
  if new_epoch == '' then
    return {'unknown'}
  end
  epoch, head, head_nonce, before, before_nonce = new_epoch, 0, '000', 0, '000'
  redis.call('HSET', state, 'epoch', epoch, 'head', 0, 'head_nonce', '000', 'before', 0, 'before_nonce', '000')
  redis.call('DEL', log) -- of a history whose state is lost
else
  head, before = tonumber(head), tonumber(before)
end
if head > before and redis.call('EXISTS', log) == 0 then -- expired or evicted
  before, before_nonce = head, head_nonce
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local place = head
for i = 9, #ARGV, 3 do
  head = head + 1
  redis.call('XADD', log, string.format('%.0f-0', head),
    'n', nonce, 't', string.format('%.0f', now), 'd', ARGV[i], 'e', ARGV[i + 1], 'r', ARGV[i + 2])
end

local function oldest_to_keep()
  local first = before + 1
  if head - before > history + math.floor(history / 8) then
    first = head - history + 1
  end
  for _ = 1, 10 do -- bounded: what is left is for the next append
    local old = redis.call('XRANGE', log, string.format('%.0f-0', first), '+', 'COUNT', first > before + 1 and 100 or 1)
    for _, entry in ipairs(old) do
      if first >= head or tonumber(entry[2][4]) >= now - history_age then
        return first
      end
      first = first + 1
    end
  end
  return first
end

local first = oldest_to_keep()
if first > before + 1 then
  local last_dropped = string.format('%.0f-0', first - 1)
  before, before_nonce = first - 1, redis.call('XRANGE', log, last_dropped, last_dropped)[1][2][2]
  redis.call('XTRIM', log, 'MINID', string.format('%.0f-0', first))
end

redis.call('HSET', state, 'head', string.format('%.0f', head), 'head_nonce', nonce,
  'before', string.format('%.0f', before), 'before_nonce', before_nonce)
redis.call('PEXPIRE', state, stream_age)
redis.call('PEXPIRE', log, history_age)
redis.call('SET', key, string.format('%s %.0f %s %.0f', epoch, place, nonce, head - place), 'PX', key_age)
redis.call(ARGV[7], ARGV[8], '')
return {'stored', epoch, place, nonce, head - place}
