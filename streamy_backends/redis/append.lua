-- Appends events to a stream, all or none, and rings its bell.
-- KEYS  state, log, idempotency key
-- ARGV  settings ("history history_age forget_after key_age PUBLISH secret", times in ms, 0 for what the publisher
--       doesn't say, the secret that of a new stream); the epoch of a new stream, or ''; then meta and data of each
--       event
-- Gives "stored epoch sequence nonce count history": the sequence before the first, how many, and what others have
-- said is kept; or "known" and all but the last of the first time, for a key that was used before. Or "ended"; "unknown" if there is no stream and no epoch was given;
-- "mute" if the bell can't be rung. Only "stored" has stored anything.
-- The state is "epoch head head_nonce before before_nonce oldest end secret kept": the newest sequence and its nonce,
-- the sequence before the oldest entry left and its nonce, the time of that oldest, the end's nonce or '-', what
-- the bells are signed with, and what is kept. A state that is none of ours counts as none.
-- An entry's id is its sequence and its time; its meta is "nonce\nretry\nname".
local state, log, key = KEYS[1], KEYS[2], KEYS[3]
local said, key_age, publish, secret = string.match(ARGV[1], '(%d+ %d+ %d+) (%d+) (%u+) (%w+)')

local found = redis.call('MGET', state, key)
if found[2] and string.match(found[2], '^[%w_-]+ %d+ [%w_-]+ %d+$') then
  redis.call('PEXPIRE', key, key_age) -- a write, so that WAIT has something to wait for
  return 'known ' .. found[2]
end

local epoch, head, head_nonce, before, before_nonce, oldest, ended, known_secret, kept_before = parts_of(found[1])
local kept, history, history_age, stream_age = kept_of(said, kept_before)
local is_known = epoch ~= nil
if is_known then
  secret = known_secret
elseif ARGV[2] == '' then
  return 'unknown'
else
  epoch, head, head_nonce, before, before_nonce, oldest, ended = ARGV[2], 0, '000', 0, '000', 0, '-'
end
if ended ~= '-' then
  return 'ended'
end
local bell = string.gsub(state, 'state$', 'bell')
if not may_ring(publish, bell) then
  return 'mute'
end
-- The first write has to be one that is refused when memory is full: what follows one that isn't, is not refused.
if not is_known then
  redis.call('SET', state, epoch .. ' 0 000 0 000 0 - ' .. secret .. ' ' .. kept, 'PX', string.format('%d', stream_age))
  local lost = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)
  if lost[1] then -- of a history whose state is lost: whoever was in it, or before it, is to be told
    head = tonumber(string.match(lost[1][1], '^%d+'))
    head = head < 2 ^ 52 and head or 0
    before = head
  end
  if lost[1] or lost.err then
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

-- Makes the log anew without what others have put beyond the head, or in its place: nothing could be added.
local function clear()
  local own = redis.pcall('XRANGE', log, '-', string.format('%d', sequence))
  redis.call('DEL', log)
  for _, entry in ipairs(own) do
    local meta, data = entry[2][2], entry[2][4]
    if #entry[2] ~= 4 then
      meta, data = '', ''
    end
    redis.call('XADD', log, entry[1], 'm', meta, 'd', data)
  end
  if #own == 0 then
    before, before_nonce, oldest = sequence, head_nonce, now
  end
end

local beyond = redis.pcall('XRANGE', log, string.format('%d', head + 1), '+', 'COUNT', 1)
if beyond.err or beyond[1] then
  clear()
end
for i = 3, #ARGV, 2 do
  head = head + 1
  local id = string.format('%d-%d', head, now)
  local added = redis.pcall('XADD', log, id, 'm', ARGV[i], 'd', ARGV[i + 1])
  if added.err then
    if string.find(added.err, 'smaller') then -- than one that is gone
      clear()
    end
    redis.call('XADD', log, id, 'm', ARGV[i], 'd', ARGV[i + 1])
  end
end
local nonce_before = head_nonce
head_nonce = nonce_of(ARGV[#ARGV - 1])
redis.call('PEXPIRE', log, string.format('%d', history_age))

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
  before_nonce = last_dropped and nonce_of(last_dropped[2][2]) or '000'
  redis.call('XTRIM', log, 'MINID', string.format('%d', first))
end

local stored = string.format('%s %d %s %d', epoch, sequence, head_nonce, head - sequence)
redis.call('SET', state, string.format('%s %d %s %d %s %d - %s %s',
  epoch, head, head_nonce, before, before_nonce, oldest, secret, kept), 'PX', string.format('%d', stream_age))
redis.call('SET', key, stored, 'PX', key_age)
-- The bell brings the entries along: a signature, 'epoch sequence nonce count', what they come after and how many
-- they are, and then theirs. NUL is in none of ours. It is signed, twice so that nothing can be added to it, since
-- others may publish here who may not read the log.
local message = string.format('%s %d %s %d\0', epoch, sequence, nonce_before, head - sequence)
  .. table.concat(ARGV, '\0', 3)
if #message <= 8192 then
  message = redis.sha1hex(secret .. redis.sha1hex(secret .. state .. '\0' .. message)) .. ' ' .. message
else
  message = ''
end
redis.call(publish, bell, message)
return 'stored ' .. stored .. ' ' .. string.match(kept_before or '0', '%d+')
