-- Ends a stream for good, and rings its bell.
-- KEYS  state
-- ARGV  new epoch or '', nonce, stream age (ms), bell command, bell channel
-- Gives {'stored'}, or {'known'} if it had ended, or {'unknown'} as append does.
local state = KEYS[1]
local epoch, ended = unpack(redis.call('HMGET', state, 'epoch', 'end'))
if ended then
  redis.call('PEXPIRE', state, ARGV[3])
  return {'known'}
end
if not epoch then
  if ARGV[1] == '' then
    return {'unknown'}
  end
  redis.call('HSET', state, 'epoch', ARGV[1], 'head', 0, 'head_nonce', '000', 'before', 0, 'before_nonce', '000')
end
redis.call('HSET', state, 'end', ARGV[2])
redis.call('PEXPIRE', state, ARGV[3])
redis.call(ARGV[4], ARGV[5], '')
return {'stored'}
