-- Let a stream's claim be made anew, if it is still this stream's. KEYS[1] the stream's hash. ARGV[1] its id.
local claim = redis.call('HGET', KEYS[1], 'claim')
local claimed = claim and redis.call('GET', claim)
if claimed and string.match(claimed, '^%S+') == ARGV[1] then
    redis.call('DEL', claim)
end
redis.call('HDEL', KEYS[1], 'claim')
