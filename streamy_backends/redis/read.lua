-- Reads a page of a stream behind a cursor. A state is described in append.lua.
-- KEYS  state, log
-- ARGV  the cursor's epoch ('' for the oldest), place (-1 if it is none) and nonce; the most entries
-- Gives {"unknown"}, or {"kind epoch head head_nonce before before_nonce end place"}, and behind that meta and
-- data of each entry. The kind is "page", "gap", or "over" if the cursor is the end's own; the page lies behind
-- the place; the end is its nonce or '-'.
local state, log = KEYS[1], KEYS[2]
local found = redis.call('GET', state)
if not found then
  return {'unknown'}
end
local epoch, head, head_nonce, before, before_nonce, ended =
  string.match(found, '(%S+) (%d+) (%S+) (%d+) (%S+) %d+ (%S+)')
head, before = tonumber(head), tonumber(before)
local place, nonce, most = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])

local kind = 'gap'
if ARGV[1] == '' then
  kind, place = 'page', before
elseif ARGV[1] == epoch then
  if place == head and nonce == head_nonce or place == before and nonce == before_nonce then
    kind = 'page'
  elseif place == head + 1 and nonce == ended then
    kind = 'over'
  elseif place > before and place < head then
    kind = 'maybe' -- its entry says
  end
end

local entries, skipped = {}, 0
if place < head and (kind == 'page' or kind == 'maybe') then
  if kind == 'maybe' then
    skipped = 1
  end
  local from = string.format('%d', place + 1 - skipped)
  entries = redis.call('XRANGE', log, from, '+', 'COUNT', math.max(most, 1) + skipped)
  if #entries == 0 then -- expired or evicted
    before, before_nonce = head, head_nonce
    kind = ARGV[1] == '' and 'page' or 'gap'
    place = head
  elseif kind == 'maybe' then
    kind = string.match(entries[1][2][2], '^[^\n]+') == nonce and 'page' or 'gap'
  end
end

local reply = {string.format('%s %s %d %s %d %s %s %d',
  kind, epoch, head, head_nonce, before, before_nonce, ended, place)}
if kind == 'page' and most > 0 then
  for i = 1 + skipped, #entries do
    reply[#reply + 1] = entries[i][2][2]
    reply[#reply + 1] = entries[i][2][4]
  end
end
return reply
