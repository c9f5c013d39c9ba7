-- Appends the same events to streams, to each all or none, and rings their bells.
-- KEYS  state, log, idempotency key of each stream
-- ARGV  settings ("history history_age forget_after key_age PUBLISH secret", times in ms, 0 for what the publisher
--       doesn't say, the secret that of a new stream), and, for what is to be a stream's last, the nonce of its end; the
--       epoch of a new stream, or ''; then meta and data of each event
-- Gives "stored epoch sequence nonce count history": the sequence before the first, how many, and what others have
-- said is kept; or "known" and all but the last of the first time, for a key that was used before. Or "ended";
-- "unknown" if there is no stream and no epoch was given; "mute" if the bell can't be rung. Only "stored" has stored
-- anything. For several streams a list of that, with "failed error" for one that it couldn't be done for.
-- The state is "epoch head head_nonce before before_nonce oldest end secret kept": the newest sequence and its nonce,
-- the sequence before the oldest entry left and its nonce, the time of that oldest, the end's nonce or '-', what
-- the bells are signed with, and what is kept. A state that is none of ours counts as none.
-- An entry's id is its sequence and its time; its meta is "nonce\nretry\nname", and then, if the event
-- has a meta of its own, "\n" and that.
local said, key_age, publish, new_secret, end_nonce =
  string.match(ARGV[1], '(%d+ %d+ %d+) (%d+) (%u+) (%w+) ?([%w_-]*)')
local is_last = end_nonce ~= ''
local count, nonce, texts = (#ARGV - 2) / 2, nonce_of(ARGV[#ARGV - 1]), table.concat(ARGV, '\0', 3)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local known_kept, used_again = {}, {}

-- Makes a log anew without what others have put beyond the head, or in its place: nothing could be added. Whether
-- anything is left.
local function clear(log, head)
  local own = redis.pcall('XRANGE', log, '-', string.format('%d', head))
  redis.call('DEL', log)
  for _, entry in ipairs(own) do
    local meta, data = entry[2][2], entry[2][4]
    if #entry[2] ~= 4 then
      meta, data = '', ''
    end
    redis.call('XADD', log, entry[1], 'm', meta, 'd', data)
  end
  return #own > 0
end

-- What is beyond the count goes in batches; what is too old goes at once, a thousand at most each time, and a hundred
-- of each of several streams. Gives the sequence before the oldest that is left, its nonce, and the time of that oldest.
local looked_at = #KEYS == 3 and 100 or 10
local function trim(log, head, before, before_nonce, oldest, history, history_age)
  local first, young = before + 1, now - history_age
  if head - before > history + math.floor(history / 8) then
    first, oldest = head - history + 1, 0
  end
  for _ = 1, 10 do
    if oldest >= young then
      break
    end
    for _, entry in ipairs(redis.call('XRANGE', log, string.format('%d', first), '+', 'COUNT', looked_at)) do
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
  return before, before_nonce, oldest
end

-- As `kept_of`, with both times of expiry as texts: for most streams it is the same.
local function kept_by(kept_before)
  local known = known_kept[kept_before or '']
  if not known then
    local kept, history, history_age, stream_age = kept_of(said, kept_before)
    local others = string.match(kept_before or '0', '%d+')
    known = {kept, history, history_age, string.format('%d', history_age), string.format('%d', stream_age), others}
    known_kept[kept_before or ''] = known
  end
  return unpack(known)
end

-- The bell brings the entries along: a signature, 'epoch sequence nonce count', what they come after and how many
-- they are, and then theirs. NUL is in none of ours. It is signed, twice so that nothing can be added to it, since
-- others may publish here who may not read the log.
local function message_of(state, secret, epoch, sequence, nonce_before)
  local message = string.format('%s %d %s %d\0', epoch, sequence, nonce_before, count) .. texts
  if #message > 8192 then
    return ''
  end
  return redis.sha1hex(secret .. redis.sha1hex(secret .. state .. '\0' .. message)) .. ' ' .. message
end

local function append(state, log, key, found, first_time, has_listeners)
  if first_time and string.match(first_time, '^[%w_-]+ %d+ [%w_-]+ %d+$') then
    used_again[#used_again + 1] = key
    return 'known ' .. first_time
  end
  local epoch, head, head_nonce, before, before_nonce, oldest, ended, secret, kept_before = parts_of(found)
  local kept, history, history_age, log_expires, state_expires, others = kept_by(kept_before)
  local is_known = epoch ~= nil
  if not is_known then
    if ARGV[2] == '' then
      return 'unknown'
    end
    epoch, head, head_nonce, before, before_nonce, oldest, ended = ARGV[2], 0, '000', 0, '000', 0, '-'
    secret = new_secret
  end
  if ended ~= '-' then
    return 'ended'
  end
  local bell = string.sub(state, 1, -6) .. 'bell'
  if has_listeners then
    if not may_ring(publish, bell) then
      return 'mute'
    end
  else -- here; but a replica may have some, to whom all of this happens at once
    local rung = redis.pcall(publish, bell, '')
    if type(rung) == 'table' and rung.err then
      return 'mute'
    end
  end
  -- The first write has to be one that is refused when memory is full: what follows one that isn't, is not refused.
  if not is_known then
    redis.call('SET', state, epoch .. ' 0 000 0 000 0 - ' .. secret .. ' ' .. kept, 'PX', state_expires)
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

  local sequence = head
  local beyond = redis.pcall('XRANGE', log, string.format('%d', head + 1), '+', 'COUNT', 1)
  local is_new = (beyond.err or beyond[1]) and not clear(log, sequence)
  for i = 3, #ARGV, 2 do
    head = head + 1
    local id = string.format('%d-%d', head, now)
    local added = redis.pcall('XADD', log, 'NOMKSTREAM', id, 'm', ARGV[i], 'd', ARGV[i + 1])
    if not added then -- it is new, or has expired, or was evicted
      is_new = true
    elseif added.err and string.find(added.err, 'smaller') then -- than one that is gone
      is_new = not clear(log, head - 1)
    end
    if not added or added.err then
      redis.call('XADD', log, id, 'm', ARGV[i], 'd', ARGV[i + 1])
    end
  end
  if is_new then
    before, before_nonce, oldest = sequence, head_nonce, now
  end
  redis.call('PEXPIRE', log, log_expires)
  if head - before > history or oldest < now - history_age then
    before, before_nonce, oldest = trim(log, head, before, before_nonce, oldest, history, history_age)
  end

  local stored = string.format('%s %d %s %d', epoch, sequence, nonce, count)
  redis.call('SET', state, string.format('%s %d %s %d %s %d %s %s %s',
    epoch, head, nonce, before, before_nonce, oldest, is_last and end_nonce or '-', secret, kept), 'PX', state_expires)
  redis.call('SET', key, stored, 'PX', key_age)
  if has_listeners then
    redis.call(publish, bell, is_last and '' or message_of(state, secret, epoch, sequence, head_nonce))
  end
  return 'stored ' .. stored .. ' ' .. others
end

-- The bells, each followed by how many listen to it at this server; nothing if the user may not know.
local function listeners()
  local bells = {}
  for i = 1, #KEYS, 3 do
    bells[#bells + 1] = string.sub(KEYS[i], 1, -6) .. 'bell'
  end
  if redis.acl_check_cmd then -- since Redis 7.0: without a line in the log of what was refused
    local is_there, may = pcall(redis.acl_check_cmd, 'PUBSUB', 'NUMSUB', bells[1])
    if not is_there or not may then
      return
    end
  end
  local found = redis.pcall('PUBSUB', 'NUMSUB', unpack(bells))
  return not found.err and found
end

local found = redis.call('MGET', unpack(KEYS))
local outcomes = {}
if #KEYS == 3 then
  outcomes = append(KEYS[1], KEYS[2], KEYS[3], found[1], found[3], true)
else
  local listening = listeners()
  for i = 1, #KEYS, 3 do
    local n = (i + 2) / 3
    local has_listeners = not listening or listening[2 * n] > 0
    local is_done, outcome = pcall(append, KEYS[i], KEYS[i + 1], KEYS[i + 2], found[i], found[i + 2], has_listeners)
    if not is_done then
      local fault = type(outcome) == 'table' and outcome.err or tostring(outcome)
      if string.find(fault, 'READONLY') then -- so is all of it
        return redis.error_reply(fault)
      end
      outcome = 'failed ' .. fault
    end
    outcomes[n] = outcome
  end
end
for _, key in ipairs(used_again) do
  redis.call('PEXPIRE', key, key_age) -- a write, so that WAIT has something to wait for
end
return outcomes
