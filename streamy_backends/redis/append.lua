-- Appends events to a stream, all or none, and rings its bell.
-- KEYS  state, log, idempotency key
-- ARGV  settings ("history history_age stream_age key_age PUBLISH", times in ms); the epoch of a new stream, or
--       ''; then meta and data of each event
-- Gives "stored epoch sequence nonce count": the sequence before the first, and how many; or "known" and that of
-- the first time, for a key that was used before. Or "ended"; or "unknown" if there is no stream and no epoch was
-- given. Only "stored" has stored anything.
-- The state is "epoch head head_nonce before before_nonce oldest end": the newest sequence and its nonce, the
-- sequence before the oldest entry left and its nonce, the time of that oldest, and the end's nonce or '-'.
-- An entry's id is its sequence and its time; its meta is "nonce\nretry\nname".
local state, log, key = KEYS[1], KEYS[2], KEYS[3]
local history, history_age, stream_age, key_age, publish =
  string.match(ARGV[1], '(%d+) (%d+) (%d+) (%d+) (%u+)')

local found = redis.call('MGET', state, key)
if found[2] then
  redis.call('PEXPIRE', key, key_age) -- a write, so that WAIT has something to wait for
  return 'known ' .. found[2]
end

local epoch, head, head_nonce, before, before_nonce, oldest, ended = ARGV[2], 0, '000', 0, '000', 0, '-'
if found[1] then
  epoch, head, head_nonce, before, before_nonce, oldest, ended =
    string.match(found[1], '(%S+) (%d+) (%S+) (%d+) (%S+) (%d+) (%S+)')
  head, before, oldest = tonumber(head), tonumber(before), tonumber(oldest)
elseif epoch == '' then
  return 'unknown'
end
if ended ~= '-' then
  return 'ended'
end
-- The first write has to be one that is refused when memory is full: what follows one that isn't, is not refused.
if not found[1] then
  redis.call('SET', state, epoch .. ' 0 000 0 000 0 -', 'PX', stream_age)
  local lost = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if lost then -- of a history whose state is lost: whoever was in it, or before it, is to be told
    head = tonumber(string.match(lost[1], '^%d+'))
    before = head
    redis.call('DEL', log)
  end
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local is_new = redis.call('EXISTS', log) == 0 -- or has expired, or was evicted
if is_new then
  before, before_nonce, oldest = head, head_nonce, now
end

local sequence = head
for i = 3, #ARGV, 2 do
  head = head + 1
  redis.call('XADD', log, string.format('%d-%d', head, now), 'm', ARGV[i], 'd', ARGV[i + 1])
end
local nonce_before = head_nonce
head_nonce = string.match(ARGV[3], '^[^\n]+')
redis.call('PEXPIRE', log, history_age)

-- What is beyond the count goes in batches; what is too old goes at once, a thousand at most each time.
local first, young = before + 1, now - history_age
if head - before > history + math.floor(history / 8) then
  first, oldest = head - history + 1, 0
end
for _ = 1, 10 do
  if oldest >= young then
    break
  end
  for _, entry in ipairs(redis.call('XRANGE', log, string.format('%d', first), '+', 'COUNT', 100)) do
    local at, time = string.match(entry[1], '(%d+)-(%d+)')
    first, oldest = tonumber(at), tonumber(time)
    if oldest >= young or first == head then
      break
    end
    first = first + 1
  end
  if first == head then
    break
  end
end
if first > before + 1 then
  before = first - 1
  local last_dropped = redis.call('XRANGE', log, string.format('%d', before), string.format('%d', before))[1]
  before_nonce = last_dropped and string.match(last_dropped[2][2], '^[^\n]+') or '000'
  redis.call('XTRIM', log, 'MINID', string.format('%d', first))
end

local stored = string.format('%s %d %s %d', epoch, sequence, head_nonce, head - sequence)
redis.call('SET', state, string.format('%s %d %s %d %s %d -',
  epoch, head, head_nonce, before, before_nonce, oldest), 'PX', stream_age)
redis.call('SET', key, stored, 'PX', key_age)
-- The bell brings the entries along: 'epoch sequence nonce', what they come after, and then theirs. NUL is in none.
local message = epoch .. ' ' .. sequence .. ' ' .. nonce_before .. '\0' .. table.concat(ARGV, '\0', 3)
redis.call(publish, string.gsub(state, 'state$', 'bell'), #message <= 8192 and message or '')
return 'stored ' .. stored
