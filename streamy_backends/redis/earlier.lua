-- Finds an earlier cursor of a stream. A state is described in append.lua.
-- KEYS  state, log
-- ARGV  "back", how many entries, and the cursor's epoch ('' for the newest entry's), sequence and nonce; or "since"
--       and how many milliseconds
-- Gives "epoch sequence nonce" of the entry that it is the id of; '' for the oldest entry, also if there is no
-- stream; '?' if the cursor can't be placed.
local state, log = KEYS[1], KEYS[2]
local epoch, head, head_nonce, before, before_nonce, _, ended = parts_of(redis.pcall('GET', state))
if not epoch then
  return ''
end

-- Sequence, nonce and time of the newest entry at or below: others may have made a hole.
local function entry_at(sequence)
  local found = redis.pcall('XREVRANGE', log, string.format('%d', sequence), '-', 'COUNT', 1)
  if found.err or not found[1] then
    return
  end
  local at = string.match(found[1][1], '^%d+')
  local entry = redis.call('XRANGE', log, at, at, 'COUNT', 1)[1] -- of those with one number, the first is ours
  return tonumber(at), nonce_of((texts_of(entry))), tonumber(string.match(entry[1], '%d+$'))
end

local target
if ARGV[1] == 'back' then
  local sequence = head
  if ARGV[3] ~= '' then
    sequence = tonumber(ARGV[4])
    local nonce
    if ARGV[3] ~= epoch or sequence < before or sequence > head + 1 then
      return '?'
    elseif sequence == head then
      nonce = head_nonce
    elseif sequence == before then
      nonce = before_nonce
    elseif sequence > head then
      nonce = ended ~= '-' and ended
    else
      local at, found = entry_at(sequence)
      nonce = at == sequence and found
    end
    if nonce ~= ARGV[5] then
      return '?'
    end
    sequence = math.min(sequence, head)
  end
  target = sequence - tonumber(ARGV[2])
else
  local clock = redis.call('TIME')
  local began = clock[1] * 1000 + math.floor(clock[2] / 1000) - tonumber(ARGV[2])
  -- The newest that came before lies from the one to the other.
  target = before
  local last = head
  while target < last do
    local middle = math.ceil((target + last) / 2)
    local _, _, time = entry_at(middle)
    if time and time >= began then
      last = middle - 1
    else
      target = middle
    end
  end
end
if target == head then
  return string.format('%s %d %s', epoch, head, head_nonce)
end
local found, nonce = entry_at(target)
if not found or found <= before then
  return ''
end
return string.format('%s %d %s', epoch, found, nonce)
