-- Reads a page of a stream after a cursor. A state is described in append.lua.
-- KEYS  state, log
-- ARGV  the cursor's epoch ('' for the oldest), sequence (-1 if it has none) and nonce; the most entries; the
--       most bytes of data, or '' for any number
-- Gives {"unknown sequence"} if there is no stream: its first entry comes after that sequence; with " damaged" if
-- there is a state that is none of ours. Else {"kind epoch head head_nonce before before_nonce end sequence secret"},
-- then meta and data of each entry. The kind is "page", "gap", or "over" if the cursor is the end's own; the page
-- begins after the sequence; the end is its nonce or '-'. What others have written has an empty meta, if it isn't
-- two texts; what they have put beyond the head isn't there.
local state, log = KEYS[1], KEYS[2]
local found = redis.pcall('GET', state)
local epoch, head, head_nonce, before, before_nonce, _, ended, secret = parts_of(found)
if not epoch then
  local lost = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)[1] -- append will go on after it
  local sequence = lost and string.match(lost[1], '^%d+') or '0'
  return {'unknown ' .. (tonumber(sequence) < 2 ^ 52 and sequence or '0') .. (found and ' damaged' or '')}
end
local from_oldest = ARGV[1] == ''
local sequence, nonce = tonumber(ARGV[2]), ARGV[3]
local limit, max_bytes = tonumber(ARGV[4]), tonumber(ARGV[5]) or math.huge

local kind = 'gap'
if from_oldest then
  kind, sequence = 'page', before
elseif ARGV[1] == epoch then
  if sequence == head and nonce == head_nonce or sequence == before and nonce == before_nonce then
    kind = 'page'
  elseif ended ~= '-' and sequence == head + 1 and nonce == ended then
    kind = 'over'
  elseif sequence > before and sequence < head then
    kind = 'maybe' -- its entry says
  end
end

local function sequence_of(entry)
  return tonumber(string.match(entry[1], '^%d+'))
end

-- So many entries at least, if there are as many.
local function range(first, count)
  local asked = count
  while true do
    local found =
      redis.pcall('XRANGE', log, string.format('%d', first), string.format('%d', head), 'COUNT', asked)
    if found.err then -- a key of another kind
      return {}
    end
    local is_all = #found < asked
    if #found > 1 and sequence_of(found[#found]) - sequence_of(found[1]) < #found - 1 then
      for i = #found, 2, -1 do -- of those with one number, the first is ours
        if sequence_of(found[i]) == sequence_of(found[i - 1]) then
          table.remove(found, i)
        end
      end
    end
    if is_all or #found >= count then
      return found
    end
    asked = 2 * asked
  end
end

-- How many of these entries follow one another without a hole, if the first is to have this sequence.
local function count_whole(entries, first)
  local count = #entries
  if count > 0 and sequence_of(entries[count]) ~= first + count - 1 then
    count = 0
    while sequence_of(entries[count + 1]) == first + count do
      count = count + 1
    end
  end
  return count
end

-- With a bound in bytes the log is read in steps, since what doesn't fit is read for nothing.
local step = math.max(limit, 1)
if max_bytes < math.huge then
  step = math.min(step, 2)
end
local entries, whole, skipped = {}, 0, 0
if sequence < head and (kind == 'page' or kind == 'maybe') then
  if kind == 'maybe' then
    skipped = 1
  end
  local first = sequence + 1 - skipped
  entries = range(first, step + skipped)
  if #entries == 0 then -- expired or evicted
    before, before_nonce = head, head_nonce
    kind, sequence = from_oldest and 'page' or 'gap', head
  elseif sequence_of(entries[1]) > first then -- somebody else has trimmed it
    before, before_nonce = sequence_of(entries[1]) - 1, '000'
    if from_oldest or sequence == before and nonce == '000' then
      kind, sequence, skipped = 'page', before, 0
    else
      kind = 'gap'
    end
  elseif kind == 'maybe' then
    kind = nonce_of(texts_of(entries[1])) == nonce and 'page' or 'gap'
  end
  whole = count_whole(entries, sequence + 1 - skipped)
  if kind == 'page' and sequence < head and whole == skipped then -- what comes next was deleted
    kind = 'gap'
    if #entries > skipped then
      before, before_nonce = sequence_of(entries[skipped + 1]) - 1, '000'
    else
      before, before_nonce = head, head_nonce
    end
  end
end

local reply, count, size = {''}, 0, 0
local fits = kind == 'page' and #entries > 0
while fits do
  for i = skipped + 1, whole do
    local meta, data = texts_of(entries[i])
    size = size + #data
    if count == limit or count > 0 and size > max_bytes then
      fits = false
      break
    end
    count = count + 1
    reply[2 * count], reply[2 * count + 1] = meta, data
  end
  fits = fits and count < limit and whole == #entries and sequence + count < head
  if fits then
    local fitting = math.floor((max_bytes - size) * count / math.max(size, 1)) + 1
    step = math.min(limit - count, 4 * step, fitting)
    entries, skipped = range(sequence + count + 1, step), 0
    whole = count_whole(entries, sequence + count + 1)
    fits = #entries > 0
  end
end
reply[1] = string.format('%s %s %d %s %d %s %s %d %s',
  kind, epoch, head, head_nonce, before, before_nonce, ended, sequence, secret)
return reply
