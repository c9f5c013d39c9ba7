-- Reads a page of a stream behind a cursor. A state is described in append.lua.
-- KEYS  state, log
-- ARGV  the cursor's epoch ('' for the oldest), place (-1 if it is none) and nonce; the most entries
-- Gives {"unknown place"} if there is no stream: its first entry will lie behind the place. Else
-- {"kind epoch head head_nonce before before_nonce end place"}, and behind that meta and data of each entry. The
-- kind is "page", "gap", or "over" if the cursor is the end's own; the page lies behind the place; the end is its
-- nonce or '-'.
local state, log = KEYS[1], KEYS[2]
local found = redis.call('GET', state)
if not found then
  local lost = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1] -- append will go on behind it
  return {'unknown ' .. (lost and string.match(lost[1], '^%d+') or '0')}
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
  elseif ended ~= '-' and place == head + 1 and nonce == ended then
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
  local function at(i)
    return tonumber(string.match(entries[i][1], '^%d+'))
  end
  if #entries == 0 then -- expired or evicted
    before, before_nonce = head, head_nonce
    kind = ARGV[1] == '' and 'page' or 'gap'
    place = head
  elseif at(1) > place + 1 - skipped then -- somebody else has trimmed it
    before, before_nonce = at(1) - 1, '000'
    if ARGV[1] == '' or place == before and nonce == '000' then
      kind, place, skipped = 'page', before, 0
    else
      kind = 'gap'
    end
  elseif kind == 'maybe' then
    kind = string.match(entries[1][2][2], '^[^\n]+') == nonce and 'page' or 'gap'
  end
  if kind == 'page' and #entries > 0 and at(#entries) ~= place + #entries - skipped then -- a hole: only up to there
    local whole = skipped + 1
    while at(whole) == place + whole - skipped do
      whole = whole + 1
    end
    if whole == skipped + 1 then
      before, before_nonce, kind = at(whole) - 1, '000', 'gap'
    end
    for i = #entries, whole, -1 do
      entries[i] = nil
    end
  end
end

local reply = {string.format('%s %s %d %s %d %s %s %d',
  kind, epoch, head, head_nonce, before, before_nonce, ended, place)}
if kind == 'page' and most > 0 then
  for i = 1 + skipped, math.min(#entries, most + skipped) do
    reply[#reply + 1] = entries[i][2][2]
    reply[#reply + 1] = entries[i][2][4]
  end
end
return reply
