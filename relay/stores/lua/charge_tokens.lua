-- Count tokens that a key's request took, in the sum of this second; sums that have left the window are dropped.
-- KEYS[1] the hash of sums by second. ARGV: the tokens, for how many seconds a sum is kept.
local kept = tonumber(ARGV[2])
local now = tonumber(redis.call('TIME')[1])

redis.call('HINCRBY', KEYS[1], now, ARGV[1])
for _, second in ipairs(redis.call('HKEYS', KEYS[1])) do
    -- One in the future: the clock was set back.
    if tonumber(second) < now - kept or tonumber(second) > now then
        redis.call('HDEL', KEYS[1], second)
    end
end
redis.call('EXPIRE', KEYS[1], kept + 1)
