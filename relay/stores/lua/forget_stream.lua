-- Forget a stream and its claim. One that was refused is known for a moment more, to those who wait for it.
-- KEYS: its hash, its log, its owner's list. ARGV: id, the refusal or nothing, how many milliseconds it is known.
local claim = redis.call('HGET', KEYS[1], 'claim')
local claimed = claim and redis.call('GET', claim)
if claimed and string.match(claimed, '^%S+') == ARGV[1] then
    redis.call('DEL', claim)
end
redis.call('ZREM', KEYS[3], ARGV[1])
if ARGV[2] == '' then
    redis.call('DEL', KEYS[1], KEYS[2])
    redis.call('PUBLISH', KEYS[2], 'gone')
elseif redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('HSET', KEYS[1], 'refusal', ARGV[2])
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
    redis.call('PUBLISH', KEYS[2], '')
end
