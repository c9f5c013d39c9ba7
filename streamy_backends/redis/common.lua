-- What stands before each of the scripts.

-- Whether this is a state of ours: see append.lua.
local function is_state(text)
  if type(text) ~= 'string' or #text > 128 then
    return false
  end
  local head, before, oldest =
    string.match(text, '^[%w_-]+ (%d+) [%w_-]+ (%d+) [%w_-]+ (%d+) [%w_-]+ %w+$')
  head, before, oldest = tonumber(head), tonumber(before), tonumber(oldest)
  return head and before <= head and head < 2 ^ 52 and oldest < 2 ^ 52
end

-- The nonce in a meta; '000' if there is none, since others may have written it.
local function nonce_of(meta)
  local nonce = string.match(meta, '^([%w_-]+)\n') or string.match(meta, '^([%w_-]+)$') or ''
  return #nonce > 0 and #nonce <= 16 and nonce or '000'
end

