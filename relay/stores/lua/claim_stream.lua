-- Enter a stream, unless its claim names another one that is still known.
-- KEYS: the stream's hash, its owner's list, its producer's lease, and its claim where it has one.
-- ARGV: id, fingerprint, subject, producer, how long it is known and how long the lease lasts in milliseconds.
-- Returns nothing when it was entered, else the id and the fingerprint that the claim names.
local id, fingerprint, ttl_ms = ARGV[1], ARGV[2], tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if KEYS[4] then
    local known = redis.call('GET', KEYS[4])
    if known then
        local known_id, known_fingerprint = string.match(known, '^(%S+) (%S*)$')
        if known_id ~= id and redis.call('EXISTS', 'relay:stream:' .. known_id .. ':head') == 1 then
            return {known_id, known_fingerprint}
        end
    end
    redis.call('SET', KEYS[4], id .. ' ' .. fingerprint, 'PX', ttl_ms)
    redis.call('HSET', KEYS[1], 'claim', KEYS[4])
end
redis.call('HSET', KEYS[1], 'subject', ARGV[3], 'producer', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ttl_ms)
redis.call('SET', KEYS[3], 1, 'PX', ARGV[6])

redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZADD', KEYS[2], now + ttl_ms, id)
if redis.call('PTTL', KEYS[2]) < ttl_ms then
    redis.call('PEXPIRE', KEYS[2], ttl_ms)
end
