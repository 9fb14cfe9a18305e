-- Enter what became of a stream, and prolong all that is known of it.
-- KEYS: its hash, its log, its owner's list. ARGV: id, for how many milliseconds, then fields and their values.
-- Returns 1, or 0 where Redis does not know it, or -1 where it has ended.
local ttl_ms = tonumber(ARGV[2])
local state = redis.call('HMGET', KEYS[1], 'subject', 'outcome', 'claim')
if not state[1] then
    return 0
elseif state[2] then
    return -1
end
local time = redis.call('TIME')
local expires_at = time[1] * 1000 + math.floor(time[2] / 1000) + ttl_ms

for number = 3, #ARGV, 2 do
    redis.call('HSET', KEYS[1], ARGV[number], ARGV[number + 1])
    if ARGV[number] == 'outcome' then
        redis.call('HSET', KEYS[1], 'expires_at', expires_at / 1000)
    end
end

redis.call('PEXPIRE', KEYS[1], ttl_ms)
redis.call('PEXPIRE', KEYS[2], ttl_ms)
redis.call('ZADD', KEYS[3], expires_at, ARGV[1])
if redis.call('PTTL', KEYS[3]) < ttl_ms then
    redis.call('PEXPIRE', KEYS[3], ttl_ms)
end
local claimed = state[3] and redis.call('GET', state[3])
if claimed and string.match(claimed, '^%S+') == ARGV[1] then
    redis.call('PEXPIRE', state[3], ttl_ms)
end

if #ARGV > 2 then
    redis.call('PUBLISH', KEYS[2], '')
end
return 1
