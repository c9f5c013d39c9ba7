-- What stands before each of the scripts.

-- The parts of a state, as append.lua describes it; nothing if it is none of ours.
local function parts_of(text)
  if type(text) ~= 'string' or #text > 192 then
    return
  end
  local epoch, head, head_nonce, before, before_nonce, oldest, ended, secret, kept =
    string.match(text, '^([%w_-]+) (%d+) ([%w_-]+) (%d+) ([%w_-]+) (%d+) ([%w_-]+) (%w+) (%d+ %d+ %d+)$')
  head, before, oldest = tonumber(head), tonumber(before), tonumber(oldest)
  if head and before <= head and head < 2 ^ 52 and oldest < 2 ^ 52 then
    return epoch, head, head_nonce, before, before_nonce, oldest, ended, secret, kept
  end
end

-- What is kept: "history history_age forget_after", times in ms, as this publisher says, or else whoever said
-- something of the stream before; 0 where nobody did. Then each of them, with its default.
local function kept_of(said, before)
  local kept = said
  if before and said == '0 0 0' then
    kept = before
  elseif before and said ~= before then
    local theirs = string.gmatch(before, '%d+')
    kept = string.gsub(said, '%d+', function(own)
      local their = theirs()
      return own == '0' and their or own
    end)
  end
  local history, history_age, forget_after = string.match(kept, '(%d+) (%d+) (%d+)')
  history = history ~= '0' and tonumber(history) or 1000
  history_age = history_age ~= '0' and tonumber(history_age) or 86400000
  forget_after = forget_after ~= '0' and tonumber(forget_after) or 2592000000
  return kept, history, history_age, math.max(history_age, forget_after)
end

-- Whether the user may ring this bell. It is asked before anything is written, and so nothing is stored that nobody
-- hears of.
local function may_ring(publish, bell)
  if redis.acl_check_cmd then -- since Redis 7.0; raises an error for a command that isn't there
    local is_there, may = pcall(redis.acl_check_cmd, publish, bell, '')
    return is_there and may
  end
  local rung = redis.pcall(publish, bell .. '?', '')
  return type(rung) ~= 'table' or not rung.err
end

-- The nonce in a meta; '000' if there is none, since others may have written it.
local function nonce_of(meta)
  local nonce = string.match(meta, '^([%w_-]+)\n') or string.match(meta, '^([%w_-]+)$') or ''
  return #nonce > 0 and #nonce <= 16 and nonce or '000'
end

-- Meta and data; what others have written may be anything.
local function texts_of(entry)
  local fields = entry[2]
  if #fields ~= 4 or fields[1] ~= 'm' or fields[3] ~= 'd' then
    return '', ''
  end
  return fields[2], fields[4]
end

