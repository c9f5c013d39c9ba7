-- Reads a page of a stream behind a cursor.
-- KEYS  state, log
-- ARGV  the cursor's epoch ('' for the oldest), place (-1 if it is none) and nonce; the most entries
-- Gives {'unknown'}, or {'page' | 'gap' | 'over', epoch, head, its nonce, the place before the oldest entry
-- left, its nonce, the end's nonce or '', the place that the page lies behind, then nonce, data, name and
-- retry of each entry}. 'over': the cursor is the end's own.
local state, log = KEYS[1], KEYS[2]
local epoch, head, head_nonce, before, before_nonce, ended =
  unpack(redis.call('HMGET', state, 'epoch', 'head', 'head_nonce', 'before', 'before_nonce', 'end'))
if not epoch then
  return {'unknown'}
end
head, before = tonumber(head), tonumber(before)
if head > before and redis.call('EXISTS', log) == 0 then -- expired or evicted
  before, before_nonce = head, head_nonce
end
local place, nonce = tonumber(ARGV[2]), ARGV[3]

local function is_known()
  if ARGV[1] ~= epoch or place < before or place > head then
    return false
  elseif place == head then
    return nonce == head_nonce
  elseif place == before then
    return nonce == before_nonce
  end
  local id = string.format('%.0f-0', place)
  local found = redis.call('XRANGE', log, id, id)[1]
  return found and found[2][2] == nonce
end

local kind = 'page'
if ARGV[1] == '' then
  place = before
elseif ended and ARGV[1] == epoch and place == head + 1 and nonce == ended then
  kind = 'over'
elseif not is_known() then
  kind, place = 'gap', before
end

local reply = {kind, epoch, head, head_nonce, before, before_nonce, ended or '', place}
if kind == 'page' and place < head and ARGV[4] ~= '0' then
  local entries = redis.call('XRANGE', log, string.format('%.0f-0', place + 1), '+', 'COUNT', ARGV[4])
  for _, entry in ipairs(entries) do
    local fields = entry[2]
    for i = 2, 10, 2 do
      if i ~= 4 then
        reply[#reply + 1] = fields[i]
      end
    end
  end
end
return reply
